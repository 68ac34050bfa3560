"""A trained run's two compiled steps: maps of what it looks at, and its scores with a region occluded."""

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from asae_jax.errors import UserError
from asae_jax.inference.alignment import Alignment, alignment_of
from asae_jax.inference.explain.faithfulness import mean_change, occlude
from asae_jax.inference.explain.maps import LayerMaps, grad_cams, layer_maps
from asae_jax.models.network import Network
from asae_jax.run import parallel
from asae_jax.run.run import Run
from asae_jax.types import Images, Scores


class Outputs(NamedTuple):
    """Scores and maps of a batch."""

    log_probs: Scores
    """float32 `[batch, classes]`"""
    maps: LayerMaps
    """Of the stage that the layer follows, or would follow."""
    grad_cams: dict[str, jax.Array]
    """Of that stage and of the last one, by name: float32 `[batch, 2, height, width]`, of the predicted and
    of the true class, before the ReLU."""


class Explainer:
    """A trained run, made ready for batches of one size; each of the two steps compiles once.

    Attributes:
      stages: where maps are taken, see `explained_stages`.
      alignments: stage -> how its maps lie on the image.
      attention: what self-attention is, see `self_attention_map`.
    """

    def __init__(self, run: Run, *, fill: str):
        """Takes the run, and what occluded pixels are replaced by (see `faithfulness.occlude`)."""
        parts: dict[str, Any] = {"network": run.network, "preprocess": run.preprocess}
        self.stages = explained_stages(run.network)
        self.attention = run.network.shown_attention
        size = run.config.augment.size
        self.alignments = {name: alignment_of(run.network.backbone, name, size) for name in self.stages}
        self._explain = parallel.parallel_score(
            functools.partial(explain_step, **parts, stages=self.stages, settings=run.config.asae)
        )
        self._occlude = parallel.parallel_score(
            functools.partial(occlude_step, **parts, alignment=self.alignments[self.stages[0]], fill=fill)
        )
        self._variables = parallel.place(dict(run.variables))

    def explain(self, images: np.ndarray, labels: np.ndarray) -> Outputs:
        """Scores and maps of images, as NumPy arrays.

        Args:
          images: uint8 `[batch, stored, stored, 3]`.
          labels: int32 `[batch]`, -1 where unknown.

        Raises:
          UserError: scores that are not finite.
        """
        outputs = self._explain(self._variables, parallel.split({"image": images, "label": labels}))
        outputs = jax.tree.map(parallel.join, outputs)
        if not np.isfinite(outputs.log_probs).all():
            raise UserError("the network's scores are not finite: the run has diverged, train another one.")
        return outputs

    def occlude(self, images: np.ndarray, region: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Log-probabilities `[batch, classes]` with `region` occluded, and how much that changed `[batch]`.

        Args:
          images: uint8 `[batch, stored, stored, 3]`.
          region: bool `[batch, height, width]`, positions of the layer's map.
        """
        batch = parallel.split({"image": images, "region": region})
        log_probs, change = self._occlude(self._variables, batch)
        return parallel.join(log_probs), parallel.join(change)


def explained_stages(network: Network) -> tuple[str, ...]:
    """The stage that the layer follows, or would follow, and the last one: one name if they are the same."""
    return tuple(dict.fromkeys((network.watched_stage, network.backbone.stage_names[-1])))


def explain_step(
    variables: Mapping[str, Any],
    batch: Mapping[str, jax.Array],
    *,
    network: Network,
    preprocess: Any,
    stages: tuple[str, ...],
    settings: ConfigDict,
) -> Outputs:
    """Scores and maps of one device's share of a batch.

    Args:
      variables: of the network.
      batch: `image`, uint8 `[n, stored, stored, 3]`, and `label`, int32 `[n]`, -1 where unknown.
      network: applied as at test.
      preprocess: uint8 `[n, stored, stored, 3]` -> normalised float `[n, size, size, 3]`.
      stages: see `explained_stages`.
      settings: the section `asae` of the configuration.
    """
    images = preprocess(batch["image"])
    logits, endpoints, cams = grad_cams(network, variables, images, stages, batch["label"])
    maps = layer_maps(endpoints[stages[0]], settings, network.shown_attention)
    return Outputs(jax.nn.log_softmax(logits), maps, cams)


def occlude_step(
    variables: Mapping[str, Any],
    batch: Mapping[str, jax.Array],
    *,
    network: Network,
    preprocess: Any,
    alignment: Alignment,
    fill: str,
) -> tuple[Scores, jax.Array]:
    """Log-probabilities `[n, classes]` of one device's share of a batch, occluded, and `mean_change` `[n]`.

    Args:
      variables: of the network.
      batch: `image`, uint8 `[n, stored, stored, 3]`, and `region`, bool `[n, positions, positions]`.
      network: applied as at test.
      preprocess: uint8 `[n, stored, stored, 3]` -> normalised float `[n, size, size, 3]`.
      alignment: of the map that `region` belongs to.
      fill: one of `faithfulness.FILLS`.
    """
    images: Images = preprocess(batch["image"])
    occluded = occlude(images, batch["region"], alignment, fill=fill)
    logits: Any = network.apply(variables, occluded, train=False)
    return jax.nn.log_softmax(logits), mean_change(images, occluded, batch["region"], alignment)
