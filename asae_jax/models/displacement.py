"""Where the positions of a feature map lie on the image: beside the tiles that they divide it into.

Taking positions as tiles of the image is right for stages that pool or cut patches without overlap. A
convolution or max-pool of odd size, stride 2 and equal padding centres position i on pixel 2i, half a pixel
up and left of its tile (with TensorFlow's padding below and right of it); at stride 16 that has grown to 7.5
pixels, half a position. A picture displaced by that shows the wrong part of a nucleus, a crop cuts beside the
cell, and a test that occludes the wrong pixels is unfair to the map: on 100 blood cells with maps of 8 x 8
(ResNet-18) occluding the top peak cost the true class 0.23 of its probability with tiles and 0.29 with these
places.
"""

from asae_jax.models.backbones.base import Backbone
from asae_jax.models.backbones.cell_classifiers import WBCNet
from asae_jax.models.backbones.efficientnet import EfficientNet
from asae_jax.models.backbones.resnet import ResNet

_ODD_AND_PADDED = (ResNet, EfficientNet, WBCNet)
"""Backbones in which every strided operation has an odd size and padding that keeps half of the side. In VGG,
ConvNeXt and the vision transformer positions are tiles; in Cell3Net too, up to half a pixel."""


def displacement(backbone: Backbone, positions: int, size: int) -> float:
    """Pixels by which the positions along a side lie below and to the right of their tiles.

    Args:
      backbone: whose stage the map is of.
      positions: along the side of the map.
      size: of the side of the image in pixels.
    """
    stride = size / positions
    if not isinstance(backbone, _ODD_AND_PADDED):
        return 0.0
    # Padded below and to the right alone, an even side has position i on pixel 2i + 1.
    below = isinstance(backbone, EfficientNet) and backbone.kind.same_padding
    return (stride - 1) / 2 if below else (1 - stride) / 2
