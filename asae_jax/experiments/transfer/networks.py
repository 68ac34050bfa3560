"""The remedies that change images or batch statistics: each makes of a run a network to be scored."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from asae_jax.config import copy_with
from asae_jax.errors import UserError
from asae_jax.experiments.transfer.cells import Listed
from asae_jax.inference.adapt.appearance import adapted
from asae_jax.inference.adapt.cells import MEASURED, read_cells
from asae_jax.inference.adapt.statistics import between, drawn_rows, estimated_statistics, share_of_new
from asae_jax.inference.class_prior import run_prior
from asae_jax.input.appearance import evenly
from asae_jax.run.run import Run

APPEARANCES: Mapping[str, Mapping[str, Any]] = {
    "nothing": {},
    "Reinhard, built-in template": {"adapt.stain": "reinhard"},
    "Macenko, built-in template": {"adapt.stain": "macenko"},
    "background": {"adapt.background": "match"},
    "scale": {"adapt.scale": 0.0},
    "scale, background": {"adapt.scale": 0.0, "adapt.background": "match"},
}
"""Remedies that change images -> settings of `adapt`."""

_TO_WHICH_STATISTICS = ("nothing", "scale", "scale, background")  # batch statistics are added
_TO_WHICH_LABELS = (("nothing", ""), ("scale, background", ""), ("scale, background", "averaged"))
_WORTH = 1000.0  # images that the old batch statistics count for, the default of `adapt`
_BATCH = 128


@dataclasses.dataclass(frozen=True, eq=False)
class Part:
    """Scored images: logits `[N, K]`, pooled features `[N, C]`, and labels `[N]`, -1 where none is known."""

    logits: np.ndarray
    features: np.ndarray
    labels: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Network:
    """A run's network with one set of remedies, and its scores.

    Attributes:
      name: the remedies.
      gets_labels: whether labels are tried with it.
      variables: of the network.
      test: the scored test part.
      train: the scored training part.
      images: part -> its images as the network gets them, uint8 `[N, stored, stored, 3]`.
    """

    name: str
    gets_labels: bool
    variables: Mapping[str, Any]
    test: Part
    train: Part
    images: Mapping[str, np.ndarray]


def networks(run: Run, listed: Listed, name: str, score: Callable, *, seed: int) -> Iterator[Network]:
    """The run's network on images changed as the remedy `name` says, without and with new batch statistics.

    Args:
      run: trained elsewhere.
      listed: cells of the other laboratory.
      name: one of `APPEARANCES`.
      score: made by `adapt.cells.scorer` for the run.
      seed: of what is drawn.

    Raises:
      UserError: images that cannot be read, or a remedy that cannot be measured, as of images without nuclei.
    """
    wanted = Run(run.workdir, copy_with(run.config, APPEARANCES[name]).lock(), run.class_names)
    seen, _, _ = adapted(wanted, evenly(listed.items["train"], MEASURED))
    images = {part: _images(seen, items) for part, items in listed.items.items()}
    variants = [(name, "", dict(seen.variables))]
    if name in _TO_WHICH_STATISTICS and seen.variables["batch_stats"]:
        predicted = score(seen.variables, images["train"])[0].argmax(1)
        variants += _with_statistics(seen, name, images["train"], predicted, seed)
    for title, statistics, variables in variants:
        test, train = (
            _scored(score(variables, images[part]), listed.labels[part]) for part in ("test", "train")
        )
        yield Network(title, (name, statistics) in _TO_WHICH_LABELS, variables, test, train, images)


def _scored(scores: tuple[np.ndarray, np.ndarray], labels: np.ndarray) -> Part:
    logits, features = scores
    return Part(logits, features, labels)


def _images(run: Run, items: Sequence[Any]) -> np.ndarray:
    """The images as the run prepares them."""
    cells = read_cells(items, run.preparation, workers=run.config.data.workers or None, doing="")
    for path, error in cells.errors.items():
        raise UserError(f"{path} cannot be read ({error}): take it out of the list.")
    return cells.images


def _with_statistics(
    run: Run, name: str, images: np.ndarray, predicted: np.ndarray, seed: int
) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(name, kind, variables) with batch statistics of the new images: averaged with the old ones, and alone.

    Either with all images alike or drawn so that predicted classes are as frequent as in training.
    """
    old, count = run.variables["batch_stats"], len(images)
    for how, mixture in (("", None), (", balanced", run_prior(run).shares)):
        batches = drawn_rows(count, _BATCH, wanted=mixture, predicted=predicted, seed=seed)
        new = estimated_statistics(run, run.variables, images, batches)
        for kind, share in (("averaged", share_of_new(count, _WORTH)), ("alone", 1.0)):
            title = f"{name}, batch statistics, {100 * share:.0f} % new{how}"
            variables = dict(run.variables) | {"batch_stats": between(old, new, share)}
            yield title, kind + how, variables
