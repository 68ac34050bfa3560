"""ResNets with another method's attention inside: the rivals of the paper's Table 5."""

from functools import partial
from typing import Any

from asae_jax.models.adl import ADL
from asae_jax.models.nonlocal_block import NonLocalBlock
from asae_jax.models.norm import Norm
from asae_jax.models.resnet import ResNet, StageSizes


def se_resnet(**options: Any) -> ResNet:
    """SENet: squeeze-and-excitation with ratio 16 in every block of the `ResNet` with these fields."""
    return ResNet(squeeze=16, **options)


def nl_resnet(*, stage_sizes: StageSizes, norm: Norm, **options: Any) -> ResNet:
    """NLNet: a non-local block after every second block of layer2 and layer3 (res3 and res4).

    In ResNet-50 these are the authors' five (`lib/models/resnet_helper.py`), in ResNet-18 the rule gives two.

    Args:
      stage_sizes: blocks in layer1 .. layer4.
      norm: also of the non-local blocks.
      **options: other fields of `ResNet`.
    """
    sizes = {"layer2": stage_sizes[1], "layer3": stage_sizes[2]}
    places = tuple((stage, i) for stage, blocks in sizes.items() for i in range(1, blocks, 2))
    layer = partial(NonLocalBlock, norm=norm, dtype=options.get("dtype", ResNet.dtype))
    return ResNet(stage_sizes=stage_sizes, norm=norm, extra=layer, extra_after=places, **options)


def adl_resnet(
    *, stage_sizes: StageSizes, adl_rate: float = 0.75, adl_threshold: float = 0.8, **options: Any
) -> ResNet:
    """A ResNet with ADL after the first block of layer3, and the first and the last block of layer4.

    In ResNet-50 these are the places of the authors' code (clovaai/wsolevaluation, `wsol/resnet.py`). ADL has
    no parameters and is absent at test: the variables are those of the plain ResNet.

    Args:
      stage_sizes: blocks in layer1 .. layer4.
      adl_rate: `rate` of `ADL`.
      adl_threshold: `threshold` of `ADL`.
      **options: other fields of `ResNet`.
    """
    places = (("layer3", 0), ("layer4", 0), ("layer4", stage_sizes[3] - 1))
    layer = partial(ADL, rate=adl_rate, threshold=adl_threshold)
    return ResNet(stage_sizes=stage_sizes, extra=layer, extra_after=places, **options)
