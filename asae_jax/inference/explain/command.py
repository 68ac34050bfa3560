"""`explain`: pictures of what a trained run looks at, and a test of whether it needs that."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from ml_collections import ConfigDict

from asae_jax.errors import UserError
from asae_jax.evaluation.uncertainty_files import conditions, matching_file, read_uncertainty
from asae_jax.files import disk_errors, remove, together
from asae_jax.inference.explain import figures, report
from asae_jax.inference.explain.examples import (
    UNKNOWN,
    Examples,
    evenly_spaced,
    given_examples,
    own_examples,
    spread_over_classes,
)
from asae_jax.inference.explain.explainer import Explainer
from asae_jax.inference.explain.explanations import EXPLAINING, Collector
from asae_jax.inference.explain.folder import ExplainFolder, chosen_folder
from asae_jax.input.cell_classes import display_order
from asae_jax.pages import NOTICE
from asae_jax.run.run import Run, check_one_look, open_for_inference
from asae_jax.terminal import Forecast, Part, plan, track

LAYER = "fig3.png"
"""The picture of one image's way through the layer."""

DRAWING = "drawing"
"""The part of the command's plan that counts pictures."""

_SECONDS_TO_DRAW = 0.5  # one picture, until it is measured

_T = TypeVar("_T")


def explain(config: ConfigDict, workdir: Path) -> int:
    """Explains the images of `explain.input`, or of the run's own test part, by the run in `workdir`.

    Written are `index.html`, a PNG file for each image shown in `images/`, `class_maps.png`, `fig3.png` where
    the run has the layer and, where true classes are known, `faithfulness.json` and `.csv`.

    Args:
      config: all settings; those of training as the run has them.
      workdir: the run folder.

    Returns:
      The exit status, 0.

    Raises:
      UserError: no run or no checkpoint in `workdir`, other settings or data, no images, or a folder that
        cannot be written to or holds something else (see `chosen_folder`).
    """
    check_one_look(config, "explain")
    run = open_for_inference(workdir, config)
    _ = run.classes  # a table that cannot be read is refused here
    text, given = config.explain.input, config.explain.output
    examples = given_examples(run) if text else own_examples(run)
    with chosen_folder(examples.source, text, given=given, workdir=workdir) as folder:
        _explain_to(folder, run, examples)
    print(f"written to {folder.output} and beside it. {NOTICE}")
    return 0


def _explain_to(folder: ExplainFolder, run: Run, examples: Examples) -> None:
    explainer = Explainer(run, fill=run.config.explain.fill)
    show, measure = _chosen(run.config, examples)
    parts = {
        EXPLAINING: Part(len(np.union1d(show, measure))),
        DRAWING: Part(len(show), ratio=_SECONDS_TO_DRAW),
    }
    with plan(Forecast(parts)):
        collector = _collect(run, explainer, examples, show, measure)
        with disk_errors(f"write to {folder.path}", remedy="choose another --output=DIR"), together():
            folder.write_record(conditions(run))
            _write(run, examples, explainer, collector, folder.path)


def _chosen(config: ConfigDict, examples: Examples) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the images to show, and of those to test faithfulness on."""
    settings, rows = config.explain, np.arange(len(examples.names))
    return (
        spread_over_classes(rows, examples.labels, settings.num_images),
        evenly_spaced(rows[examples.labels != UNKNOWN], settings.faithfulness_images),
    )


def _collect(
    run: Run, explainer: Explainer, examples: Examples, show: np.ndarray, measure: np.ndarray
) -> Collector:
    config, settings = run.config, run.config.explain
    collector = Collector(
        explainer,
        examples,
        image_size=config.augment.size,
        draws=settings.random_regions,
        seed=config.seed,
        temperature=_temperature(run),
    )
    collector(show, measure, batch_size=config.eval.batch_size)
    if not collector.explanations:
        name, reason = collector.bad[0]
        chosen, more = "", ""
        if len(collector.bad) < len(examples.names):
            chosen, more = " that was chosen to be shown", ": mend it, or have more shown (--num_images=)"
        raise UserError(f"not one image{chosen} can be read, the first, {name}, because: {reason}{more}")
    return collector


def _temperature(run: Run) -> float | None:
    """By which `predict` calibrates the run's probabilities; None where that is not known."""
    path = matching_file(run)
    found = None if path is None else read_uncertainty(run.workdir, path)
    return None if found is None else found.temperature.value


def _write(run: Run, examples: Examples, explainer: Explainer, collector: Collector, folder: Path) -> None:
    config = run.config
    for name in (LAYER, *report.FAITHFULNESS):
        remove(folder / name)  # of an earlier call, where this one does not write it
    layer = config.model.branching == "asae"
    shown = _write_images(collector, run, folder, layer=layer)
    example = _typical(shown).explanation if layer else None
    if example is not None:
        title = f"The ASAE layer after {explainer.stages[0]}, as in training: {example.name}"
        figures.plot_layer(example, folder / LAYER, title=title)
    alignments = [explainer.alignments[stage] for stage in explainer.stages]
    means = _in_display_order(collector.averages.means(), run)
    guessed = bool((examples.labels == UNKNOWN).any())
    what = "self-attention" if layer else "activation"
    figures.plot_class_maps(
        means, run.class_names, alignments, folder / "class_maps.png", what=what, guessed=guessed
    )
    found = _faithfulness(run, examples, explainer, collector, folder)
    name = config.explain.input or f"the {config.eval.split} part of its data"
    page = report.ExplainPage(
        shown,
        run.classes,
        title=f"{run.name}, step {run.step}: {name}",
        facts=_facts(config, examples, explainer, collector),
        report=found,
        means=means,
        alignments=alignments,
        example=example,
        bad=collector.bad,
        guessed=guessed,
    )
    report.write_page(folder / "index.html", page)


def _write_images(collector: Collector, run: Run, folder: Path, *, layer: bool) -> list[report.Shown]:
    """Writes the PNG files, by true class in display order and then by row; older ones are removed."""
    images = folder / "images"
    for old in images.glob("[0-9][0-9][0-9][0-9]_*.png"):
        remove(old)
    place = [*_in_display_order(dict.fromkeys(range(len(run.class_names))), run), UNKNOWN].index
    rows = sorted(collector.explanations, key=lambda row: (place(collector.explanations[row].label), row))
    shown = []
    for number, row in enumerate(track(rows, DRAWING, len(rows), "image", part=DRAWING)):
        explanation = collector.explanations[row]
        stem = re.sub(r"[^A-Za-z0-9.-]+", "_", Path(explanation.name).stem)[:60]
        shown.append(report.Shown(explanation, f"images/{number:04}_{stem}.png"))
        true = f"true {run.class_names[explanation.label]}, " if explanation.known else ""
        sure = report.percent(float(explanation.probabilities.max()))
        predicted = f"predicted {run.class_names[explanation.predicted]} ({sure})"
        figures.plot_panels(
            figures.panels(explanation, run.class_names, layer=layer),
            folder / shown[-1].file,
            title=f"{explanation.name}: {true}{predicted}",
        )
    return shown


def _in_display_order(by_label: Mapping[int, _T], run: Run) -> dict[int, _T]:
    return {label: by_label[label] for label in display_order(run.classes) if label in by_label}


def _typical(shown: list[report.Shown]) -> report.Shown:
    """The image for the figure of the layer: the one of most contrast, predicted correctly if any is."""

    def merit(one: report.Shown) -> tuple[bool, float]:
        attention = one.explanation.attention
        right = one.explanation.label == one.explanation.predicted
        return right, float((attention.max() - attention.min()) / max(np.abs(attention).max(), 1e-30))

    return max(shown, key=merit)


def _faithfulness(
    run: Run, examples: Examples, explainer: Explainer, collector: Collector, folder: Path
) -> Mapping[str, Any] | None:
    config, measured = run.config, collector.faithfulness.measured()
    if measured is None:
        return None
    found = report.summarise(
        measured,
        run.class_names,
        groups=None if examples.groups is None else examples.groups[measured.rows],
        resamples=config.eval.bootstrap,
        seed=config.seed,
    )
    found |= {
        "sentence": report.sentence(found),
        "method": _method(config, explainer),
        "split": "" if config.explain.input else config.eval.split,
        "step": run.step,
        "stage": explainer.stages[0],
        "map": [explainer.alignments[explainer.stages[0]].positions] * 2,
        "fill": config.explain.fill,
        "attention": explainer.attention,
        "random_regions": config.explain.random_regions,
    }
    report.write_faithfulness(folder, found, measured, examples.names, run.class_names)
    print(found["sentence"])
    return found


_FILL_IN_WORDS = {
    "border": "the image's mean colour along its border",
    "mean": "the image's mean colour",
    "blur": "the blurred image",
}


def _method(config: ConfigDict, explainer: Explainer) -> str:
    side = explainer.alignments[explainer.stages[0]].positions
    return (
        f"The positions of the {side} x {side} map after {explainer.stages[0]} that the layer would suppress "
        "around the top peak are occluded in the input image: the pixels nearest to their centres are "
        f"replaced by {_FILL_IN_WORDS[config.explain.fill]}. For comparison the same shape is put at "
        f"{config.explain.random_regions} random places, where it covers the most of Grad-CAM of the true "
        f"class ({explainer.stages[-1]}), and in the middle of the image. Grad-CAM is told the true class, "
        "the peak is not. Probabilities are those before calibration."
    )


_ATTENTIONS = {
    "mean": "mean over the channels",
    "magnitude": "mean of the magnitudes over the channels, relative to the map's mean",
}


def _facts(config: ConfigDict, examples: Examples, explainer: Explainer, collector: Collector) -> list[str]:
    side = explainer.alignments[explainer.stages[0]].positions
    stage = f"the {side} x {side} features after {explainer.stages[0]}"
    attention = _ATTENTIONS[explainer.attention]
    facts = [
        f"Self-attention ({attention}), peaks, hidden regions and enhancement are the layer's, on {stage}."
    ]
    if config.model.branching != "asae":
        facts = [
            f"This run was trained without the layer: activation ({attention}) is that of {stage}; the "
            "test hides the region that the layer would suppress around its highest value."
        ]
    left = len(examples.names) - len(collector.explanations) - len(collector.bad)
    if left > 0:
        known = (examples.labels != UNKNOWN).any()
        spread = "as many of each class as there are" if known else "evenly spaced"
        unreadable = f"; {len(collector.bad)} others cannot be read" if collector.bad else ""
        facts.append(
            f"{len(collector.explanations)} of {len(examples.names)} images are shown, {spread} "
            f"(--num_images){unreadable}."
        )
    calibrated = "not calibrated" if collector.temperature is None else "calibrated, as those of predict"
    return [*facts, f"Probabilities beside the images are {calibrated}; the test is of the network's own."]
