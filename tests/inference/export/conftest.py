"""A run folder as training and evaluation leave it, and its export in every format."""

import numpy as np
import pytest

from asae_jax import cli, json_files
from asae_jax.evaluation.abstention import choose_abstention
from asae_jax.evaluation.calibration import Temperature
from asae_jax.evaluation.conformal import fit_conformal
from asae_jax.evaluation.metrics import evaluate_scores
from asae_jax.evaluation.outliers import Outliers
from asae_jax.evaluation.uncertainty import Uncertainty
from asae_jax.evaluation.uncertainty_files import write_uncertainty
from asae_jax.input.run_split import SPLITS_FILE, write_splits
from asae_jax.input.sources import configured_index
from asae_jax.run import folder
from tests.inference.export import made
from tests.made_runs import untrained_run
from tests.training.tiny import shallow

TEMPERATURE = 1.5


@pytest.fixture(autouse=True)
def _shallow():
    """Around each test by itself: a process may run other packages' tests in between."""
    with shallow():
        yield


@pytest.fixture(scope="package")
def run(tmp_path_factory):
    """A run on the built-in cells; its scores and uncertainty estimates are made up."""
    workdir = tmp_path_factory.mktemp("runs") / "tiny"
    config = made.config(data__num_examples=70)
    table = configured_index(config.data)
    with shallow():
        untrained_run(workdir, config, table.class_names, folder.record_of(table), score=0.5)
    write_splits(workdir / SPLITS_FILE, table, np.resize(["train", "train", "test"], len(table)))
    _write_scores(config, table, workdir)
    return workdir


@pytest.fixture(scope="package")
def exported(run):
    """The folder of an export in every format."""
    with shallow():
        assert cli.main(["export", f"--workdir={run}"]) == 0
    return run / "export"


def _write_scores(config, table, workdir):
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(len(table), table.num_classes)) + 3 * np.eye(table.num_classes)[table.labels]
    log_probs = np.log(np.exp(logits) / np.exp(logits).sum(1, keepdims=True))
    scores = evaluate_scores(log_probs, table.labels, table.class_names, bootstrap=20)
    conditions = {"step": 0, "test_mode": "skip", "batch_statistics": "running"}
    groups = {"intervals_over": "groups", "num_groups": 5, "num_groups_trained_on": 2}
    said = conditions | {"split": "test"} | groups
    (workdir / "evaluation").mkdir()
    json_files.write_json(workdir / "evaluation" / "test.json", scores | said)
    probabilities = np.exp(log_probs)
    fitted = Uncertainty(
        table.class_names,
        len(table),
        conditions,
        Temperature(TEMPERATURE, 1.2, 1.9),
        choose_abstention(probabilities.max(1), probabilities.argmax(1) == table.labels, target_error=0.05),
        fit_conformal(probabilities, table.labels, error=0.1, method="aps"),
        Outliers("energy", 0.98, 0.0, None),
    )
    write_uncertainty(fitted, workdir, {})
