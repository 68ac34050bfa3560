"""What is said of an adaptation: the record `adaptation.json`, and sentences for whoever uses the model."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from asae_jax.errors import quoted
from asae_jax.evaluation.abstention import fewest_images
from asae_jax.evaluation.metrics import counted_share
from asae_jax.evaluation.provenance import CANNOT_BE_TOLD
from asae_jax.evaluation.shares import share_text
from asae_jax.evaluation.uncertainty_report import without_a_person
from asae_jax.inference.adapt.cells import Cells
from asae_jax.inference.adapt.folder import PROPOSALS
from asae_jax.inference.adapt.learning import Learned
from asae_jax.inference.class_prior import ClassPrior
from asae_jax.inference.inputs import input_name
from asae_jax.input.csv_rows import files_of_labels
from asae_jax.pages import NOTICE
from asae_jax.run.adaptation import OLD_LAYER, made_from

FAR = 0.3
"""Distance of two mixtures (share of cells in another class) from which on it is warned of."""


def record(
    source: Mapping[str, Any],
    config: ConfigDict,
    cells: Cells,
    done: Mapping[str, Any],
    learned: Learned | None,
    prior: ClassPrior,
    class_names: Sequence[str],
    before: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The content of `adaptation.json`.

    Args:
      source: what was adapted, by what and when.
      config: with the section `adapt`.
      cells: that were read.
      done: `appearance`, `statistics` and `mixture`; `trained_on`, how many labelled images were left out
        as the run was trained on them, None where that cannot be told.
      learned: from labels; None without.
      prior: class prior of the model that is written.
      class_names: of the run.
      before: of a model that was adapted before, its record.
    """
    content = {
        "source": dict(source),
        "input": {
            "given": _given(config.adapt),
            "images": len(cells.images),
            "unreadable": len(cells.errors),
        },
        **done,
        "labels": None if learned is None else _labels(learned, class_names),
        "learnt": {
            "mixture": dict(zip(class_names, prior.shares.tolist(), strict=True)),
            "known": prior.known,
            "labels": prior.labels,
            "unlabelled": [n for n in prior.unlabelled if n in (source["only"] or class_names)],
        },
        "confusion_matrix": None if learned is None else learned.confusion.tolist(),
        "before": None if before is None else dict(before),
        "notice": NOTICE,
    }
    return content | {"notes": list(_notes(content))}


def _given(settings: ConfigDict) -> str:
    """What the images were named by, without folders, which are nobody's business where the model travels."""
    if settings.input:
        return input_name(settings.input)
    return ", ".join(file.name for file in files_of_labels(settings.labels, "--labels"))


def _labels(learned: Learned, class_names: Sequence[str]) -> dict[str, Any]:
    counts = np.bincount(learned.labels, minlength=len(class_names))
    total = len(learned.labels)
    rule, right = learned.estimates.abstention, learned.after == learned.labels
    return {
        "count": total,
        "of_class": {name: int(n) for name, n in zip(class_names, counts, strict=True) if n},
        "layers": "all" if learned.layer is None else "last",
        "folds_of": "groups" if learned.by_group else "images",
        "strength": OLD_LAYER if learned.strength == np.inf else learned.strength,
        "right_before": _share(learned.before == learned.labels),
        "right_cross_fitted": _share(right),
        "temperature": learned.estimates.temperature.value,
        "labelled_by_threshold": rule.coverage,
        "error_of_these": rule.error,
        **without_a_person(learned.for_a_person, right),
        "target_error": rule.target_error,
        "certainty": rule.certainty,
    }


def _share(chosen: np.ndarray) -> dict[str, Any]:
    return counted_share(int(chosen.sum()), len(chosen))


def _notes(content: Mapping[str, Any]) -> Iterator[str]:
    source, given = content["source"], content["input"]
    yield (
        f"Adapted on {source['date']} from {source['name']} (step {source['step']:,}) to {given['images']:,} "
        f"images of another laboratory, {given['given']}, by {source['by']}."
    )
    yield from _done(content)
    yield from _done_before(content["before"])
    if source["only"]:
        yield f"Only these classes are ever given: {', '.join(source['only'])}."
    yield from _of_mixture(content)
    yield from _of_labels(content["labels"], content["learnt"]["unlabelled"])
    if content["labels"] and content["trained_on"] is None:
        yield f"{CANNOT_BE_TOLD} If it was, these scores are too high."
    if count := content["trained_on"]:
        images = "1 labelled image is" if count == 1 else f"{count:,} labelled images are"
        yield f"{images} left out, as the run was trained on them: its scores of them would be too high."


def _done_before(record: Mapping[str, Any] | None) -> Iterator[str]:
    """What earlier adaptations did to the model; not what was measured then, which no longer holds."""
    while record is not None:
        before = f"Before that, from {made_from(record)}:"
        for sentence in _done(record):
            yield f"{before} {sentence}"
        labels = record.get("labels")
        if labels and labels["strength"] != OLD_LAYER:
            fitted = "all layers were" if labels["layers"] == "all" else "the last layer was"
            yield f"{before} {fitted} fitted to {labels['count']:,} labelled cells."
        record = record.get("before")


def _done(content: Mapping[str, Any]) -> Iterator[str]:
    yield from _seen(content.get("appearance", {}))
    statistics = content.get("statistics", {"kept": True})
    if not statistics["kept"]:
        drawn = ", drawn so that predicted classes come as in training" * (statistics["balance"] != "none")
        yield (
            f"Batch statistics are averaged: {100 * statistics['share_new']:.0f} % those of the new "
            f"images{drawn}, the rest the run's own (AdaBN)."
        )


def _seen(done: Mapping[str, Any]) -> Iterator[str]:
    if scale := done.get("scale"):
        how = ""
        if scale["estimated"]:
            how = ", by the size of nuclei, 95 % interval {:.2f} to {:.2f}".format(*scale["interval"])
        yield f"Cells are shown {scale['value']:.2f} times as large{how}."
    if "background" in done:
        yield "The light of each background is brought to that of the run's own images."
    if "stain" in done:
        yield f"Stain normalisation: {done['stain']}."


def _of_mixture(content: Mapping[str, Any]) -> Iterator[str]:
    mixture = content["mixture"]
    if mixture["distance"] < FAR:
        return
    told = (
        f"The mixture of classes seems far from the training's: {100 * mixture['distance']:.0f} % of the "
        "cells would have to be of another class"
    )
    if content["statistics"]["kept"]:
        yield f"{told}, if probabilities are right here."
    else:
        others = "--statistics=keep"
        if content["statistics"]["balance"] == "none":
            others += " and --balance=predicted"
        yield (
            f"{told}. Batch statistics take a part of that for a change of stain: compare with {others} on "
            "labelled cells."
        )


def _of_labels(labels: Mapping[str, Any] | None, unlabelled: Sequence[str]) -> Iterator[str]:
    if labels is None:
        yield (
            "Calibration, the threshold of certainty and outlier scores of the run do not hold for these "
            "images and were left out: probabilities are not calibrated, and no cell is left to a person. "
            "How many are right is not known: label a hundred cells and adapt again with --labels."
        )
        return
    before, after = labels["right_before"], labels["right_cross_fitted"]
    all_of_them, grouped = labels["layers"] == "all", labels["folds_of"] == "groups"
    what, by = ("All layers", "network") if all_of_them else ("Last layer", "layer")
    of_whom = " nor another of the same slide or patient" * grouped
    stays = labels["strength"] == OLD_LAYER
    if stays:
        yield (
            f"No last layer that was fitted to the {labels['count']} labels was better than the old one, "
            f"which stays: {share_text(after)} are right. Calibration and thresholds were fitted to the "
            "labels."
        )
    else:
        yield (
            f"{what}, calibration and thresholds were fitted to {labels['count']} labels. Scored by a {by} "
            f"that has not seen the cell's label{of_whom}, {share_text(after)} are right "
            f"({share_text(before)} before)."
        )
    yield "Where cells were chosen for labelling because they are difficult, others are easier."
    if grouped:
        yield "These intervals are over cells: new slides or patients differ more."
    else:
        yield (
            "Cells of one slide or patient may have been on both sides (they are not known of all these "
            "cells, or there is one alone), and a new patient's cells are harder."
        )
    if unlabelled and not stays:
        fate = "may have been unlearnt" if all_of_them else "are given more rarely than before"
        yield (
            f"Classes without a label ({', '.join(unlabelled)}) {fate}: label some cells of each class that "
            "can occur, or name those that can (--only)."
        )
    if after["count"] < before["count"]:
        yield "That is fewer than before: the run without these labels may be the better one."
    if not labels["labelled_by_threshold"]:
        yield _nothing_labelled(labels)
    elif (itself := labels["labelled_without_a_person"])["count"]:
        yield (
            f"By itself it labels {share_text(itself)} of these cells, "
            f"{share_text(labels['error_without_a_person'])} of them wrongly; what it is not sure of, or "
            "what looks unlike the labelled cells, is left to a person."
        )


def _nothing_labelled(labels: Mapping[str, Any]) -> str:
    """Why every cell is left to a person, and what changes it."""
    target = f"{100 * labels['target_error']:.3g} %"
    fewest = fewest_images(labels["target_error"], labels["certainty"])
    if labels["count"] < fewest:
        return (
            f"To promise errors of {target} takes at least {fewest} labels, all right: every cell is left to "
            "a person. Label more."
        )
    return (
        f"No threshold keeps errors at {target} with the asked certainty, as the network is wrong too often: "
        "every cell is left to a person (fewer with a higher --config.uncertainty.target_error)."
    )


def next_steps(output: Path, *, to_label: bool) -> str:
    """The commands that go on from here."""
    if to_label:
        return (
            f"label these: asae predict --workdir={quoted(output)} --input={quoted(output / PROPOSALS)}; "
            "save the labels on its page, then adapt the run again with --labels=FILE"
        )
    return f"use it: asae predict --workdir={quoted(output)} --input=CELLS"
