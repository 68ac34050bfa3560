"""From batches of images to what one or several trained networks say about them."""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from asae_jax.inference.predict import views
from asae_jax.inference.predict.reading import ReadBatch
from asae_jax.inference.trained import Trained
from asae_jax.input.workers import bounded
from asae_jax.models.asae import self_attention_map
from asae_jax.models.network import Network
from asae_jax.training import parallel
from asae_jax.training.step import pooled_features
from asae_jax.types import AttentionMap, Scores


class ViewOutput(NamedTuple):
    """What a network computes of one view of a batch."""

    logits: Scores
    """float32 `[batch, classes]`"""
    features: jax.Array
    """float32 `[batch, channels]`, what outliers are known by."""
    attention: AttentionMap
    """float32 `[batch, height, width]`, in front of the branching layer."""


@dataclasses.dataclass(frozen=True, eq=False)
class ScoredBatch:
    """A batch and what was computed of it; rows beyond its items have been cut off.

    Attributes:
      read: the images.
      logits: of every run float32 `[views, n, classes]`; meaningless where an image is bad.
      features: of the first run and the undisturbed view, float32 `[n, channels]`.
      attention: likewise, float32 `[n, height, width]`.
    """

    read: ReadBatch
    logits: Sequence[np.ndarray]
    features: np.ndarray
    attention: np.ndarray


class Scorer:
    """Applies the networks of `runs` to batches; each compiles once, whatever the number of batches."""

    def __init__(self, runs: Sequence[Trained], *, num_views: int = 1):
        """Takes the runs whose images the batches hold, one preparation each, and the views to score.

        Args:
          runs: one or more.
          num_views: 1 for the images as they are, 8 for `views.turn`'s.
        """
        self._num_views = num_views
        self._steps = [_compiled_step(run) for run in runs]
        # Copied to the devices once instead of with every batch.
        self._variables = [parallel.place(dict(run.variables)) for run in runs]

    def __call__(self, batches: Iterable[ReadBatch]) -> Iterator[ScoredBatch]:
        """Scores batches in order; the devices work on one while the one before is handed out."""
        for read, outputs in bounded(lambda batch: (batch, self._start(batch)), batches, 1):
            yield _collect(read, outputs)

    def _start(self, batch: ReadBatch) -> list[list[ViewOutput]]:
        """For every run every view's output, still being computed."""
        return [
            [step(variables, _view_of(images, view)) for view in range(self._num_views)]
            for step, variables, images in zip(self._steps, self._variables, batch.images, strict=True)
        ]


def _compiled_step(run: Trained) -> Callable[[Any, Mapping[str, np.ndarray]], ViewOutput]:
    return parallel.parallel_score(
        functools.partial(view_step, network=run.network, preprocess=run.preprocess)
    )


def view_step(
    variables: Mapping[str, Any], batch: Mapping[str, jax.Array], *, network: Network, preprocess: Any
) -> ViewOutput:
    """One view of one device's share of a batch.

    Args:
      variables: of the network.
      batch: `image` uint8 `[batch, stored, stored, 3]`; `view` int32 `[1]`, see `views.turn`.
      network: as at test.
      preprocess: uint8 images to normalised square ones.
    """
    images = views.turn(preprocess(batch["image"]), batch["view"][0])
    logits, endpoints = network.apply(variables, images, train=False, return_endpoints=True)
    # Rivals of the layer may act on class maps, which are no stage.
    watched = endpoints.get(network.insert_after, endpoints[network.backbone.stage_names[-1]])
    return ViewOutput(logits, pooled_features(network, endpoints), self_attention_map(watched))


def _view_of(images: np.ndarray, view: int) -> dict[str, np.ndarray]:
    return parallel.split({"image": images, "view": np.full(jax.local_device_count(), view, np.int32)})


def _collect(read: ReadBatch, outputs: list[list[ViewOutput]]) -> ScoredBatch:
    count, first = len(read.items), outputs[0][0]
    return ScoredBatch(
        read,
        [np.stack([parallel.join(view.logits)[:count] for view in run]) for run in outputs],
        parallel.join(first.features)[:count],
        parallel.join(first.attention)[:count],
    )
