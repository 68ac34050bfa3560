"""The curves of a training: loss, scores and learning rate over epochs, with the chosen epoch marked."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from markupsafe import Markup
from ml_collections import ConfigDict

from asae_jax.evaluation.figures import drawn_score
from asae_jax.evaluation.page.charts import Axis, Marks, Series, above, draw, loss_axis
from asae_jax.evaluation.page.words import score_name
from asae_jax.run.words import LOSSES

Records = Sequence[Mapping[str, Any]]
"""Lines of `metrics.jsonl` of one kind."""


class Chart(NamedTuple):
    """A chart of the page: heading, drawing, and a sentence below it or nothing."""

    title: str
    drawing: Markup
    note: str = ""


def chosen_epoch(step: int, training: Records) -> float | None:
    """The epoch after which `step` steps were done; None where no line tells how long an epoch is."""
    known = [record for record in training if record["epoch"] > 0]
    return round(step * known[-1]["epoch"] / known[-1]["step"], 2) if known else None


def curves(config: ConfigDict, training: Records, validation: Records, chosen: float | None) -> list[Chart]:
    """Charts of a training, from the lines of its `metrics.jsonl`; empty where there are none.

    Args:
      config: of the run.
      training: lines of kind "train", by step.
      validation: lines of kind "validation", by step.
      chosen: epoch of the checkpoint that was scored; None where it is not known.
    """
    if not training:
        return []
    last = max(record["epoch"] for record in [*training, *validation])
    epochs = Axis("epoch", 0.0, float(max(last, 1)))
    marks = Marks() if chosen is None else Marks(upright=(chosen, f"chosen: epoch {chosen:g}"))
    return [
        _loss(config, epochs, training, validation, marks),
        _scores(config, epochs, training, validation, marks),
        _rate(epochs, training),
    ]


def _loss(config: ConfigDict, epochs: Axis, training: Records, validation: Records, marks: Marks) -> Chart:
    series = [_line(f"training: {config.loss.name}", training, "loss", 1)]
    if validation:
        series.append(_line("validation: NLL", validation, "nll", 2, dots=True))
    # Each by itself: the scale of one tells nothing of the spikes of the other.
    axes = [loss_axis("", one.y) for one in series]
    log = all(axis.log for axis in axes)
    low, high = min(axis.low for axis in axes), max(axis.high for axis in axes)
    axis = Axis(f"loss, nats{' (logarithmic)' if log else ''}", low, high, log)
    beyond = [point for one in series for point in above(axis, one)]
    note = (
        f"Training loss: {LOSSES[config.loss.name]}, mean over augmented images. NLL: negative "
        "log-likelihood, 0 if every true class were certain."
    )
    if beyond:
        at, value = max(beyond, key=lambda point: point[1])
        note += (
            f" {_number(len(beyond), 'value')} above the axis, drawn as triangles; the highest is "
            f"{value:.4g}, at epoch {at:.3g}."
        )
    said = f"Loss by epoch. {_ends(series)}"
    return Chart("Loss", draw(epochs, axis, series, marks, said=said), note)


def _scores(config: ConfigDict, epochs: Axis, training: Records, validation: Records, marks: Marks) -> Chart:
    series = [_line("training accuracy", training, "accuracy", 1)]
    shown = drawn_score(config.eval.select_by, validation)
    if validation:
        series.append(_line("validation accuracy", validation, "accuracy", 2, dots=True))
        series.append(_line(f"validation {score_name(shown)}", validation, shown, 3, dots=True))
    lowest = min(value for one in series for value in one.y)
    axis = Axis("percent", max(0.0, min(0.9, lowest - 0.05)), 1.0, percent=True)
    note = "Training accuracy is of augmented images, while the network learns."
    if config.eval.checkpoint == "best" and validation:
        note += f" The checkpoint is chosen by validation {score_name(config.eval.select_by)}."
    said = f"Scores by epoch. {_ends(series)}"
    return Chart("Scores", draw(epochs, axis, series, marks, said=said), note)


def _rate(epochs: Axis, training: Records) -> Chart:
    series = [_line("learning rate", training, "learning_rate", 1)]
    high = max(series[0].y) or 1.0
    said = f"Learning rate by epoch. {_ends(series)}"
    return Chart("Learning rate", draw(epochs, Axis("", 0.0, 1.05 * high), series, said=said))


def _line(name: str, records: Records, field: str, style: int, *, dots: bool = False) -> Series:
    return Series(
        name, [r["epoch"] for r in records], [r[field] for r in records], style, dots and len(records) < 60
    )


def _ends(series: Sequence[Series]) -> str:
    """The last value of each line, in words."""
    return "; ".join(f"{one.name}: {one.y[0]:.3g} at first, {one.y[-1]:.3g} at the end" for one in series)


def _number(count: int, what: str) -> str:
    return f"{count} {what}{'s' if count > 1 else ''} lie{'s' if count == 1 else ''}"
