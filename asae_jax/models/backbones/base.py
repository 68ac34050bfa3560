"""What the network asks of a backbone, and what all backbones share."""

from collections.abc import Collection
from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp

from asae_jax.models.layers import Head, Norm, check_choice
from asae_jax.models.placement import Placement, Shrinking, placement
from asae_jax.types import ClassMaps, Features, Logits, NextFeatures


class Backbone(nn.Module):
    """Base of the backbones: five stages that can be run one by one, and a head.

    A backbone says what its stages are (`stages`), and what shrinks the map in each (`shrinking`). Each stage
    is called as `stage(features, train=...)`, on features `[..., batch, height, width, channels]` with or
    without an axis of branches.

    Attributes:
      num_classes: logits out.
      stem: one of `stems`: how far the first layers shrink the image. After layer3 the map is the image's
        side divided by 16 ("imagenet"), 8 ("no_pool") or 4 ("small"); the ASAE layer wants at least 7 x 7.
      norm: what `make_norm` gives; None for a backbone without a choice of normalisation.
      dtype: of the computation; parameters, statistics and logits are float32.
      width: channels, in a unit of the backbone's own; 64 is the published network.
    """

    num_classes: int
    stem: str = "imagenet"
    norm: Norm | None = None
    dtype: Any = jnp.float32
    width: int = 64

    stage_names: ClassVar[tuple[str, ...]] = ("layer0", "layer1", "layer2", "layer3", "layer4")
    """Names of the stages in their order."""
    stems: ClassVar[Collection[str]]
    signed: ClassVar[bool] = False
    """Whether the features between stages have both signs alike, so that they cancel in a mean over the
    channels; behind a ReLU they are not negative, behind a leaky one hardly."""
    has_class_maps: ClassVar[bool] = True
    """Whether the head is one linear layer, so that it can as well be applied at each position."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("stem", self.stem, self.stems)

    def stages(self) -> tuple[nn.Module, ...]:
        """The stages in the order of `stage_names`."""
        raise NotImplementedError

    def shrinking(self, name: str) -> tuple[Shrinking, ...]:
        """The convolutions and pools of the stage `name` that shrink the map, in their order."""
        raise NotImplementedError

    def placement(self, name: str, size: int) -> Placement:
        """Where the positions of the map after the stage `name` lie on images of `size` pixels a side."""
        stages = self.stage_names[: self.stage_names.index(name) + 1]
        return placement((window for stage in stages for window in self.shrinking(stage)), size)

    def setup(self) -> None:
        """Build the stages and the head."""
        for name, stage in zip(self.stage_names, self.stages(), strict=True):
            setattr(self, name, stage)
        self.head = Head(self.num_classes)

    def apply_stage(self, name: str, x: Features, *, train: bool) -> NextFeatures:
        """Run the stage `name` of `stage_names`; the first takes normalised images."""
        return getattr(self, name)(x, train=train)

    def classify(self, x: Features) -> Logits:
        """Features of the last stage -> float32 logits `[..., batch, num_classes]`."""
        return self.head(x)

    def class_maps(self, x: Features) -> ClassMaps:
        """Features of the last stage -> float32 `[..., batch, height, width, num_classes]`; mean: logits."""
        return self.head(x, pool=False)
