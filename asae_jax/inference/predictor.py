"""From a list of images to one record for each, in order, by one or several trained runs and views."""

import dataclasses
import functools
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from asae_jax.config import copy_with, flatten, read_run_config
from asae_jax.errors import UserError
from asae_jax.evaluation.uncertainty import Uncertainty
from asae_jax.evaluation.uncertainty_files import of_one_view
from asae_jax.files import user_path
from asae_jax.inference.alignment import alignment_of
from asae_jax.inference.inputs import Item
from asae_jax.inference.reading import ReadBatch, read_batches
from asae_jax.inference.records import Record
from asae_jax.inference.scale_check import ScaleCheck
from asae_jax.inference.uncertainty import UncertaintyEstimator
from asae_jax.input.preparation import Preparation
from asae_jax.input.workers import bounded
from asae_jax.models.asae import self_attention_map
from asae_jax.models.network import Network
from asae_jax.run import parallel
from asae_jax.run import test_time_augmentation as tta
from asae_jax.run.run import Run, open_for_inference
from asae_jax.run.steps import pooled_features
from asae_jax.shipped import models
from asae_jax.types import AttentionMap, Scores

_HOW_TO_TEST = (
    "eval.checkpoint",
    "eval.test_mode",
    "eval.look_threshold",
    "eval.tta",
    "eval.batch_statistics",
)
"""Settings that all runs of an ensemble follow where a command changes them."""

_NOT_FINITE = "the network's scores are not finite"


def load_runs(config: ConfigDict, workdir: Path) -> list[Run]:
    """The run in `workdir`, then those of `predict.ensemble`, each under its own settings.

    What the command asks of the first run (`_HOW_TO_TEST`) in place of its own settings, it asks of all.
    Models are read where they are: nothing is written to the folders of the ensemble.

    Raises:
      UserError: one of them cannot be loaded, is named twice, also as a copy, or has other classes than the
        first.
    """
    names = [name for part in config.predict.ensemble.split(",") if (name := part.strip())]
    folders = [models().get(name, user_path(name)) for name in names]
    places = [os.path.realpath(folder) for folder in (workdir, *folders)]
    for folder, place in zip(folders, places[1:], strict=True):
        if places.count(place) > 1:
            raise UserError(
                f"{folder} would predict twice, and count as two opinions: name each run once, not that of "
                f"--workdir={workdir} (--ensemble=DIR,DIR)."
            )
    first = open_for_inference(workdir, config)
    others = [open_for_inference(folder, _as_asked(folder, first)) for folder in folders]
    for other in others:
        if other.class_names != first.class_names:
            differing = ", ".join(sorted(set(first.class_names) ^ set(other.class_names))) or "their order"
            raise UserError(
                f"{other.workdir} cannot predict together with {workdir}: their classes differ in "
                f"{differing}; give runs of the same classes (--ensemble=DIR,DIR)."
            )
    _refuse_copies([first, *others])
    return [first, *others]


def _refuse_copies(runs: Sequence[Run]) -> None:
    """Raises a UserError where two runs give every image the same scores: a model and its copy."""
    if len(runs) == 1:
        return
    known: dict[tuple[str, Preparation, str], Run] = {}
    for run in runs:
        same = known.setdefault((network_identity([run]), run.preparation, run.test_mode), run)
        if same is not run:
            raise UserError(
                f"{run.workdir} is a copy of {same.workdir}: it would predict twice, and count as two "
                "opinions: name each network once (--ensemble=DIR,DIR)."
            )


def _as_asked(workdir: Path, first: Run) -> ConfigDict | None:
    """The settings of the run in `workdir` with what is asked of `first`; None: its own."""
    own, now = flatten(read_run_config(first.workdir)), flatten(first.config)
    asked = {name: now[name] for name in _HOW_TO_TEST if now[name] != own[name]}
    return copy_with(read_run_config(workdir), asked) if asked else None


def network_identity(runs: Sequence[Run]) -> str:
    """32 hexadecimal digits of what predicts together: classes and all weights, wherever the runs lie."""
    digest = hashlib.blake2b(repr(runs[0].class_names).encode("utf-8", "surrogateescape"), digest_size=16)
    for run in runs:
        for path, leaf in jax.tree_util.tree_leaves_with_path(dict(run.variables)):
            array = np.asarray(leaf)
            digest.update(f"{jax.tree_util.keystr(path)} {array.dtype} {array.shape}".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def attention_extent(config: ConfigDict) -> float:
    """What a network sees of an image, and its attention map covers: a fraction of the shorter side.

    It is the side of a square in the middle; above 1 where `data.scale` below 1 continues the image by its
    mirror image.
    """
    return config.augment.size / config.data.stored_size / config.data.scale


@dataclasses.dataclass(frozen=True)
class Options:
    """How images are predicted.

    Attributes:
      batch_size: images per step over all devices, 1 or more.
      pictures: whether to keep pictures and attention map of each image, for a page.
      workers: decoding threads; None: one per processor.
      features: whether to keep the pooled features of each image, those of the first run and view.
      picture_side: pixels of the longer side of a large picture, at most; 0: small ones only.
      scale_check: whether to measure how large the cells are, for `Predictor.notes`.
    """

    batch_size: int
    pictures: bool
    workers: int | None = None
    features: bool = False
    picture_side: int = 0
    scale_check: bool = False


class ViewOutput(NamedTuple):
    """What a network computes of one view of a batch."""

    logits: Scores
    """float32 `[batch, classes]`"""
    features: jax.Array
    """float32 `[batch, channels]`, from which outlier scores are computed."""
    attention: AttentionMap
    """float32 `[batch, height, width]`, in front of the branching layer."""


class Predictor:
    """One or several trained runs, made ready for any number of images; each compiles once."""

    def __init__(self, runs: Sequence[Run], fitted: Sequence[Uncertainty | None], options: Options):
        """Makes the runs ready.

        Args:
          runs: one or more, of the same classes; each gets the images in its own preparation.
          fitted: uncertainty estimates of each run; None where it has none.
          options: how images are predicted.
        """
        self._preparations = [run.preparation for run in runs]
        self._num_views = [tta.num_views(run.config) for run in runs]
        self._steps = [_compiled_step(run) for run in runs]
        # Copied to the devices once instead of with every batch.
        self._variables = [parallel.copy_to_devices(dict(run.variables)) for run in runs]
        self._options = options
        network, size = runs[0].network, runs[0].config.augment.size
        self._alignment = alignment_of(network.backbone, network.watched_stage, size)
        self.uncertainty = UncertaintyEstimator(fitted, of_one_view=of_one_view(runs[0], fitted[0]))
        self._own_nuclei = None if fitted[0] is None or not options.scale_check else fitted[0].nuclei
        self._scale_check = ScaleCheck(None, 0)

    def notes(self) -> list[str]:
        """Sentences for a reader of the results, once all images are predicted."""
        return [*self.uncertainty.notes(), *self._scale_check.notes()]

    def __call__(self, items: Sequence[Item]) -> Iterator[Record]:
        """One record for each item, in order; the record of a bad image carries its error."""
        size = parallel.even_batches(len(items), self._options.batch_size)
        self._scale_check = ScaleCheck(self._own_nuclei, len(items))
        batches = read_batches(
            items,
            self._preparations,
            size,
            thumbnails=self._options.pictures,
            picture_side=self._options.picture_side,
            workers=self._options.workers,
        )
        # The devices work on one batch while the one before is handed out.
        for read, outputs in bounded(lambda batch: (batch, self._start(batch)), batches, 1):
            yield from self._records(read, outputs)

    def _start(self, batch: ReadBatch) -> list[list[ViewOutput]]:
        """For every run every view's output, still being computed."""
        return [
            [step(variables, parallel.split(shown)) for shown in tta.batches(images, count)]
            for step, variables, images, count in zip(
                self._steps, self._variables, batch.images, self._num_views, strict=True
            )
        ]

    def _records(self, read: ReadBatch, outputs: Sequence[Sequence[ViewOutput]]) -> Iterator[Record]:
        """Of a batch without the rows that fill it up; features and attention are those of run and view 0."""
        count, first = len(read.items), outputs[0][0]
        logits = [tta.mean_logits([parallel.join(view.logits)[:count] for view in run]) for run in outputs]
        features, attention = (parallel.join(of)[:count] for of in (first.features, first.attention))
        probabilities = self.uncertainty.probabilities(logits)
        finite = np.isfinite(probabilities).all(1)
        estimates = self.uncertainty.estimate(probabilities, logits[0], features)
        for row, item in enumerate(read.items):
            error = read.errors[row] or ("" if finite[row] else _NOT_FINITE)
            if error:
                yield Record(item.path, item.file, item.group, error, position=item.position)
                continue
            self._scale_check.see(read.images[0][row])
            pictures = read.pictures[row]
            yield Record(
                item.path,
                item.file,
                item.group,
                content=read.contents[row],
                implausible=read.implausible[row],
                probabilities=probabilities[row].astype(np.float32),
                uncertainty=estimates[row],
                attention=self._picture(attention[row]) if self._options.pictures else None,
                thumbnail=pictures.thumbnail if pictures else None,
                picture=pictures.whole if pictures else None,
                size=pictures.size if pictures else (0, 0),
                features=features[row] if self._options.features else None,
                position=item.position,
                several=item.several,
            )

    def _picture(self, attention: np.ndarray) -> np.ndarray:
        """The map on a regular grid over the image, as the page draws it, at twice the resolution."""
        return _as_bytes(self._alignment.on_image(attention, 2 * len(attention), smooth=True))


def _as_bytes(attention: np.ndarray) -> np.ndarray:
    """uint8 of the same shape, 0 at the lowest position and 255 at the highest; 0 where all are equal."""
    low, high = float(attention.min()), float(attention.max())
    return np.round((attention - low) * (255 / max(high - low, 1e-30))).astype(np.uint8)


def _compiled_step(run: Run) -> Callable[[Any, Mapping[str, np.ndarray]], ViewOutput]:
    return parallel.parallel_score(
        functools.partial(score_view, network=run.network, preprocess=run.preprocess)
    )


def score_view(
    variables: Mapping[str, Any], batch: Mapping[str, jax.Array], *, network: Network, preprocess: Any
) -> ViewOutput:
    """One view of one device's share of a batch.

    Args:
      variables: of the network.
      batch: see `tta.prepare_view`.
      network: applied as at test time.
      preprocess: from uint8 images to normalised square ones, float32 `[batch, size, size, 3]`.
    """
    images = tta.prepare_view(batch, preprocess)
    logits, endpoints = network.apply(variables, images, train=False, return_endpoints=True)
    # Class maps are in front of the layer where it takes them, and not a stage.
    watched = endpoints.get(network.insert_after, endpoints[network.watched_stage])
    attention = self_attention_map(watched, network.shown_attention)
    return ViewOutput(logits, pooled_features(network, endpoints), attention)
