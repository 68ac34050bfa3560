"""All layers trained on a few labels: which image is in which training, and what is said of it afterwards."""

import types

import numpy as np
import pytest

from asae_jax.inference.adapt import all_layers
from asae_jax.inference.adapt.cells import scorer
from asae_jax.losses import cross_entropy
from asae_jax.run import parallel
from asae_jax.run.run import open_run
from tests.inference.predict.conftest import _shallow, images, runs
from tests.training.tiny import tiny_config

__all__ = ["_shallow", "images", "runs"]

LABELS = np.array([0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 2])
FOLDS = [np.isin(np.arange(11), part) for part in ([0, 1, 8], [2, 3, 4, 9], [5, 6, 7, 10])]


@pytest.fixture
def trainings(monkeypatch):
    """What each training is given, in the place of training: lists of (image, label) by batch."""
    found = []

    def remember(state, batch):
        if state.step == 0:
            found.append([])
        seen = zip(batch["image"].reshape(-1, *batch["image"].shape[2:]), batch["label"].ravel(), strict=True)
        found[-1].append([(image.tobytes(), int(label)) for image, label in seen])
        return state.replace(step=state.step + 1), None

    step = types.SimpleNamespace(compiled_train_step=lambda *_: remember)
    monkeypatch.setattr(all_layers, "build", step)
    return found


def test_each_image_is_judged_by_a_copy_that_has_not_seen_it(runs, images, trainings):
    run = open_run(runs[0])
    with run.config.unlocked():
        run.config.adapt.epochs = 4
    score = scorer(run)
    trained, logits, distances = all_layers.cross_fit_all(run, run.variables, images, LABELS, score, FOLDS)
    numbers = {image.tobytes(): number for number, image in enumerate(images)}
    assert len(trainings) == 4
    for test, batches in zip([*FOLDS, np.zeros(11, bool)], trainings, strict=True):
        used = [(numbers[image], label) for batch in batches for image, label in batch]
        assert len(batches) == 4  # one batch holds all of the labels
        assert {number for number, _ in used} == set(np.flatnonzero(~test))
        assert all(LABELS[number] == label for number, label in used)
        assert sum(label == 0 for _, label in used) == len(used) / 2  # though most labels are of this class
    # Nothing was trained: the copies are the network itself, and distances are to images of other folds.
    before, features = score(run.variables, images)
    np.testing.assert_allclose(logits, before, atol=1e-5)
    np.testing.assert_allclose(score(trained, images)[0], before, atol=1e-5)
    directions = features / np.linalg.norm(features, axis=1, keepdims=True)
    for test in FOLDS:
        away = np.linalg.norm(directions[test][:, None] - directions[~test], axis=2)
        np.testing.assert_allclose(distances[test], np.sort(away, axis=1)[:, [-1]][:, 0], atol=1e-3)


def test_it_is_a_plain_training_whatever_the_run_s_own_was(monkeypatch):
    steps = []

    def compiled(step):
        steps.append(step.keywords)
        return lambda state, batch: (state, None)

    monkeypatch.setattr(parallel, "parallel_update", compiled)
    config = tiny_config(
        model__name="adl_resnet18", model__branching="asae", loss__name="gmmce", loss__label_smoothing=0.1,
        loss__agreement=0.5, augment__mix="mixup", init__freeze="layer1", init__views=2,
        optimizer__ema_decay=0.5, train__accumulate=2,
    )  # fmt: skip
    run = types.SimpleNamespace(config=config, num_classes=3)
    variables = {"params": {"kernel": np.zeros(2)}, "batch_stats": {}}
    all_layers.cross_fit_all(run, variables, np.zeros((11, 36, 36, 3), np.uint8), LABELS, None, [])
    (step,) = steps
    network, loss = step["network"], step["loss"]
    assert (network.branching, network.frozen_stages, network.start_after) == (None, (), None)
    assert network.backbone.extra is None
    assert (loss.func, loss.keywords) == (cross_entropy, {"label_smoothing": 0.0})
    assert (step["agreement"], step["mix"], step["accumulate"]) == (0, None, 1)
    assert step["ema_decay"] == 0.98


@pytest.mark.parametrize("classes", [2, 5, 8, 11, 21, 40])
def test_every_class_is_drawn_as_often_whether_or_not_their_number_divides_the_batch(classes):
    labels = np.repeat(np.arange(classes), np.arange(1, classes + 1))
    config = types.SimpleNamespace(seed=0)
    batches = all_layers._drawn(labels, 30, 240, config)
    assert [len(batch) for batch in batches] == [30] * 240
    counts = np.bincount(labels[np.concatenate(batches)], minlength=classes)
    assert counts.max() - counts.min() <= 1
    first = labels[np.concatenate(batches)[:classes]]
    assert sorted(first) == list(range(classes))
