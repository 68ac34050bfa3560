"""What the network asks of a backbone."""

from typing import ClassVar, Protocol

import jax

from asae_jax.types import Features


class Backbone(Protocol):
    """A linen module whose stages can be run one by one, on features with or without a branch axis."""

    stage_names: ClassVar[tuple[str, ...]]
    """Names of the stages in their order."""

    def apply_stage(self, name: str, x: Features, *, train: bool) -> Features:
        """Run one stage; the first takes normalised images."""
        ...

    def classify(self, x: Features) -> jax.Array:
        """Features of the last stage -> float32 logits `[..., batch, classes]`."""
        ...
