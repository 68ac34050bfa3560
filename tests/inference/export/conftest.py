"""A run folder as training and evaluation leave it, and its export in every form."""

import numpy as np
import pytest

from asae_jax import commands, keys, trust
from asae_jax.input.configured import configured_table
from asae_jax.input.split_record import SPLITS_FILE, write_splits
from asae_jax.metrics import evaluate_scores
from asae_jax.training import build, run_folder
from asae_jax.training import trust as measuring
from asae_jax.training.checkpoint import Checkpoints
from asae_jax.training.optimizer import create_optimizer, create_schedule
from asae_jax.training.state import create_state
from tests.inference.export import made
from tests.training.tiny import shallow

TEMPERATURE = 1.5


@pytest.fixture(autouse=True)
def _shallow():
    """Around each test by itself: a process may run other packages' tests in between."""
    with shallow():
        yield


@pytest.fixture(scope="package")
def run(tmp_path_factory):
    """A run on the built-in cells; its scores and trust are made up."""
    workdir = tmp_path_factory.mktemp("runs") / "tiny"
    config = made.config(data__num_examples=70)
    table = configured_table(config.data)
    run_folder.open_run(workdir, config, run_folder.describe(table.class_names, table.fingerprint()))
    write_splits(workdir / SPLITS_FILE, table, np.resize(["train", "train", "test"], len(table)))
    with shallow():
        _write_checkpoint(config, table.num_classes, workdir)
    _write_scores(config, table, workdir)
    return workdir


@pytest.fixture(scope="package")
def exported(run):
    """The folder of an export in every form."""
    with shallow():
        assert commands.main(["main.py", "export", f"--workdir={run}"]) == 0
    return run / "export"


def _write_checkpoint(config, num_classes, workdir):
    schedule = create_schedule(config.optimizer, steps_per_epoch=1, epochs=1)
    state = create_state(
        build.create_network(config, num_classes),
        create_optimizer(config.optimizer, schedule),
        keys.stream_key(0, "init"),
        image_size=made.SIZE,
    )
    checkpoints = Checkpoints(workdir)
    checkpoints.save(state, score=0.5)
    checkpoints.close()


def _write_scores(config, table, workdir):
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(len(table), table.num_classes)) + 3 * np.eye(table.num_classes)[table.labels]
    log_probs = np.log(np.exp(logits) / np.exp(logits).sum(1, keepdims=True))
    scores = evaluate_scores(log_probs, table.labels, table.class_names, bootstrap=20)
    conditions = measuring.conditions(config, 0)
    (workdir / "evaluation").mkdir()
    run_folder._write_json(
        workdir / "evaluation" / "test.json", scores | conditions | {"intervals_over": "groups"}
    )
    probabilities = np.exp(log_probs)
    fitted = trust.Trust(
        table.class_names,
        len(table),
        conditions,
        trust.Temperature(TEMPERATURE, 1.2, 1.9),
        trust.choose_abstention(
            probabilities.max(1), probabilities.argmax(1) == table.labels, target_error=0.05
        ),
        trust.fit_conformal(probabilities, table.labels, error=0.1, method="aps"),
        trust.Outliers("energy", 0.98, 0.0, None),
    )
    trust.write_trust(fitted, workdir, {})
