"""A grid without training: runs that leave their files at once, with scores made to order."""

import json

import numpy as np

from asae_jax.config import recipe
from asae_jax.evaluation.metrics import evaluate_scores
from asae_jax.evaluation.predictions import predictions_file, write_predictions
from asae_jax.experiments.grid import run_folder, scores_file
from asae_jax.experiments.slots import Slot

CLASSES = ("BLA", "LYT", "MON", "PMO", "MYB", "EBO", "EOS", "BAS & <co>")
NUM_IMAGES = 240


def base_config(**changes):
    """The small preset's settings; `changes` as `section__field=value`."""
    config = recipe("comparison")
    config.train.batch_size = 56
    config.eval.bootstrap = 50
    for name, value in changes.items():
        section, field = name.split("__")
        config[section][field] = value
    return config


def labels():
    return np.arange(NUM_IMAGES) % len(CLASSES)


def write_run(workdir, run, *, accuracy, seed=0, images=None):
    """The files of a finished run that is right about a share `accuracy` of the images.

    Whether an image is right depends on its difficulty, the same in all runs, and a little on `seed`: so runs
    are alike as real ones are.
    """
    true, classes = labels(), len(CLASSES)
    difficulty = np.random.default_rng(7).uniform(size=NUM_IMAGES)
    rng = np.random.default_rng(seed)
    right = difficulty + 0.05 * rng.normal(size=NUM_IMAGES) < accuracy
    predicted = np.where(right, true, (true + 1 + rng.integers(2, size=NUM_IMAGES)) % classes)
    log_probs = np.log(np.full((NUM_IMAGES, classes), 0.3 / (classes - 1)))
    log_probs[np.arange(NUM_IMAGES), predicted] = np.log(0.7)
    folder = run_folder(workdir, run.name)
    scores_file(workdir, run.name).parent.mkdir(parents=True, exist_ok=True)
    scores = evaluate_scores(log_probs, true, CLASSES, bootstrap=0) | {"intervals_over": "images"}
    for name in ("test", "validation"):
        text = json.dumps(scores | {"split": name})
        scores_file(workdir, run.name).with_name(f"{name}.json").write_text(text)
    images = images or [f"{i:03d}.png" for i in range(NUM_IMAGES)]
    write_predictions(predictions_file(scores_file(workdir, run.name)), images, true, log_probs, CLASSES)
    (folder / "config.json").write_text(json.dumps(run.config.to_dict()))
    info = {"class_names": CLASSES, "data_fingerprint": "f", "versions": {"jax": "0", "device": "2 x cpu"}}
    (folder / "run.json").write_text(json.dumps(info))
    lines = [{"kind": "train", "step": s, "epoch": s, "images_per_second": 100.0 + s} for s in range(1, 5)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


class FakeProcess:
    """Takes a number of polls, then writes a run or fails.

    Args:
      run: as of a process.
      workdir: of the grid.
      accuracy: None: it fails.
      polls: until it ends by itself.
    """

    def __init__(self, run, workdir, *, accuracy=0.6, polls=1):
        self.run, self.killed = run, False
        self._workdir, self._accuracy, self._left, self._interrupted = workdir, accuracy, polls, False

    def poll(self):
        self._left -= 1
        if self._interrupted:
            return 143
        if self._left > 0:
            return None
        if self._accuracy is None:
            return 2
        write_run(self._workdir, self.run, accuracy=self._accuracy, seed=self.run.seed)
        return 0

    def interrupt(self):
        self._interrupted = True

    def kill(self):
        self.killed = True

    def seconds(self):
        return 60.0

    def peak_memory(self):
        return 2**30

    def error(self):
        return "the loss is not finite at step 3"


def two_slots():
    return [Slot(frozenset({0})), Slot(frozenset({1}))]
