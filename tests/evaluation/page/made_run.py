"""A run folder with scores, estimates and curves, made by the real `evaluate` from made-up scores."""

import contextlib
import json

import numpy as np
import pytest
from PIL import Image
from scipy import special

from asae_jax.evaluation import command, evaluate, uncertainty_report
from asae_jax.run import folder
from asae_jax.run.data import load_data, write_data_record
from asae_jax.run.run import Run
from asae_jax.synthetic import render
from tests.run.test_data import folder_config

CLASSES = ("MON", "NGS", "PMO", "x<i>y")
"""The last is known to no table, and is to be escaped; people look at PMO and NGS before MON."""
STEP, STEPS_PER_EPOCH, EPOCHS = 12, 4, 5
SPIKE = 4321.0
"""A training loss."""
EACH = 40


class Network:
    """Scores drawn for each image: right mostly; at another laboratory seldom, with features far away."""

    def __init__(self, run, data=None):
        self._data = run.data if data is None else data

    def __call__(self, variables, indices, *, title=""):
        return special.log_softmax(self.with_features(variables, indices)[0], axis=1)

    def with_features(self, variables, indices, *, title=""):
        index = self._data.index
        far = 30.0 * ("theirs" in index.names[0])
        drawn = [np.random.default_rng(int(row)).normal(size=(2, 4)) for row in indices]
        known = np.eye(4)[index.labels[indices]]
        logits = 2 * np.stack([one[0] for one in drawn]) + (4.0 - far / 10) * known
        features = np.stack([one[1] for one in drawn]) + 4 * known + far * np.array([1, -1, 1, -1])
        return logits.astype(np.float32), features.astype(np.float32)


@contextlib.contextmanager
def made_network():
    """`evaluate` takes `Network` for the run's, and draws no PNG."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (evaluate, uncertainty_report):
            patch.setattr(module, "Scorer", Network)
        patch.setattr(Run, "variables", {})
        patch.setattr(Run, "step", STEP)
        for name in ("plot_confusion", "plot_per_class", "plot_reliability", "plot_risk_coverage"):
            patch.setattr(evaluate.figures, name, lambda *_, **__: None)
        yield


def put_cells(place, counts, prefix=""):
    """Drawn cells of 24 px, a folder for each class."""
    for number, (name, count) in enumerate(counts.items()):
        (place / name).mkdir(parents=True, exist_ok=True)
        for n in range(count):
            image = Image.fromarray(render(0, 1000 * number + n, size=24))
            image.save(place / name / f"{prefix}{n:03} <b>.png")
    return place


def write_metrics(workdir):
    """`metrics.jsonl` of five epochs of four steps, one of whose losses is a spike."""
    lines = []
    for step in range(2, STEPS_PER_EPOCH * EPOCHS + 1, 2):
        loss = SPIKE if step == 10 else 2.0 / step
        lines.append({"kind": "train", "step": step, "epoch": step / STEPS_PER_EPOCH, "loss": loss,
                      "accuracy": 1 - 1 / step, "learning_rate": 0.1 / step})  # fmt: skip
        if step % STEPS_PER_EPOCH == 0:
            scores = {"accuracy": 0.8, "balanced_accuracy": 0.8, "macro_f1": 0.79, "nll": 0.5, "ece": 0.1}
            epoch = step // STEPS_PER_EPOCH
            lines.append({"kind": "validation", "step": step, "epoch": epoch, **scores})
    (workdir / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def made_config(place, **changes):
    """Of the run in `made_run`."""
    return folder_config(
        str(place / "own"),
        data__validation_fraction=0.3,
        train__epochs=EPOCHS,
        uncertainty__certainty=0.0,  # so few images promise nothing
        **changes,
    )


def made_run(place):
    """A run in `place`/run, scored on validation and test part; returns its folder.

    `theirs` beside it are 60 cells of another laboratory, of three of the classes and one unknown.
    """
    workdir = place / "run"
    put_cells(place / "own", dict.fromkeys(CLASSES, EACH))
    put_cells(place / "theirs", {"MON": 30, "NGS": 20, "PMO": 10, "ERB": 3}, "theirs ")
    config = made_config(place)
    with made_network():
        data = load_data(config, workdir)
        folder.write(workdir, config, folder.record_of(data.index))
        write_data_record(data, workdir)
        write_metrics(workdir)
        evaluated(place, eval__split="validation")
        evaluated(place)
    return workdir


def evaluated(place, **changes):
    """Exit status of `evaluate` on the run in `place`/run."""
    with made_network():
        return command.evaluate_run(made_config(place, **changes), place / "run")


def evaluated_elsewhere(place):
    """Exit status of `evaluate` on the cells of the other laboratory."""
    return evaluated(place, eval__source="folder", eval__path=str(place / "theirs"), eval__name="theirs")
