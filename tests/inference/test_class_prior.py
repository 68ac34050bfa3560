"""The mixture of classes that a run's probabilities are of."""

import json
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize, special

from asae_jax.config import base_config, copy_with
from asae_jax.errors import UserError
from asae_jax.evaluation.predictions import write_predictions
from asae_jax.inference import class_prior
from asae_jax.inference.class_prior import ClassPrior, ensemble_prior, run_prior, training_prior
from asae_jax.input.run_split import SPLITS_FILE
from asae_jax.losses import create_loss
from asae_jax.run import folder
from asae_jax.run.adaptation import FILE

COUNTS = np.array([400, 90, 10])
SETTINGS = {"loss.beta": 0.99, "loss.tau": 0.5}


def _blind(loss, drawn):
    """What a network learns that sees nothing in the images: the shares of least loss."""
    loss = create_loss(loss, num_classes=3, class_counts=COUNTS, beta=0.99, tau=0.5)

    def total(scores):
        return drawn @ loss(jnp.broadcast_to(scores, (3, 3)), jnp.arange(3)) / drawn.sum()

    step = jax.jit(jax.value_and_grad(total))
    found = optimize.minimize(lambda x: tuple(map(np.float64, step(jnp.float32(x)))), np.zeros(3), jac=True)
    return special.softmax(found.x)


@pytest.mark.parametrize("loss", ["ce", "class_balanced", "logit_adjusted"])
@pytest.mark.parametrize("sampler", ["shuffled", "balanced", "weighted"])
def test_the_mixture_is_what_a_network_that_sees_nothing_would_answer(sampler, loss):
    config = copy_with(base_config(), SETTINGS | {"data.sampler": sampler, "loss.name": loss})
    drawn = COUNTS if sampler == "shuffled" else np.ones(3)
    np.testing.assert_allclose(training_prior(config, COUNTS), _blind(loss, drawn), atol=2e-3)


@pytest.mark.parametrize(
    ("sampler", "loss", "known"),
    [("shuffled", "ce", False), ("balanced", "ce", True), ("weighted", "logit_adjusted", False)],
)
def test_without_the_numbers_of_images_it_is_known_of_equal_draws_only(sampler, loss, known):
    config = copy_with(base_config(), {"data.sampler": sampler, "loss.name": loss})
    found = training_prior(config, np.zeros(3))
    assert found is None if not known else found.tolist() == [1 / 3] * 3


LEARNT = {"mixture": {"A": 0.75, "B": 0.25}, "known": True, "labels": 15, "unlabelled": ["B"]}


@pytest.mark.parametrize(
    "damage",
    [
        {"notes": 3},
        {"learnt": {**LEARNT, "mixture": {"A": 1.0}}},
        {"learnt": {**LEARNT, "mixture": [0.5, 0.5]}},
        {"learnt": {**LEARNT, "mixture": {"A": 1.0, "B": 0.0}}},
        {"learnt": {**LEARNT, "unlabelled": None}},
        {"confusion_matrix": None},
        {"confusion_matrix": [[1, 2, 3], [4, 5, 6]]},
        {"confusion_matrix": [[1, 2], [3, -4]]},
        {"confusion_matrix": [[1, 2], [3, 10**400]]},
    ],
    ids=lambda damage: str(damage)[:40],
)
def test_a_damaged_record_of_labels_is_named(tmp_path, damage):
    run = SimpleNamespace(workdir=tmp_path, class_names=("A", "B"))
    content = {
        "labels": {"count": 15}, "learnt": LEARNT, "confusion_matrix": [[5, 1], [2, 7]], "notes": [],
    }  # fmt: skip
    (tmp_path / FILE).write_text(json.dumps(content))
    assert run_prior(run).shares.tolist() == [0.75, 0.25]
    with pytest.raises(UserError, match="without a label of B"):
        ensemble_prior([run], [None])
    (tmp_path / FILE).write_text(json.dumps(content | damage))
    with pytest.raises(UserError, match=rf"{FILE} is damaged"):
        run_prior(run)


def test_the_mixture_is_of_the_images_that_could_be_read(tmp_path, monkeypatch):
    config = copy_with(base_config(), {"data.sampler": "shuffled", "loss.name": "ce"})
    names = tuple(f"{number}.png" for number in range(8))
    rows = [f"{name},{'A' if name < '6' else 'B'},train,\n" for name in names]
    folder.write(tmp_path, config, folder.Record(("A", "B"), "none", {}, unreadable=names[:4]))
    (tmp_path / SPLITS_FILE).write_text("name,label,split,content\n" + "".join(rows))
    run = SimpleNamespace(workdir=tmp_path, class_names=("A", "B"), config=config)
    monkeypatch.setattr(class_prior, "read_scores", lambda run, **_: None)
    assert run_prior(run).shares.tolist() == [0.5, 0.5]


def test_of_means_over_views_that_were_not_scored_the_scores_of_one_view_tell_the_confusions(
    tmp_path, monkeypatch
):
    config = copy_with(base_config(), {"data.sampler": "shuffled", "loss.name": "ce", "eval.tta": True})
    folder.write(tmp_path, config, folder.Record(("A", "B"), "none", {}))
    run = SimpleNamespace(workdir=tmp_path, class_names=("A", "B"), config=config)
    scores = {"confusion_matrix": [[5, 1], [2, 4]]}
    monkeypatch.setattr(class_prior, "read_scores", lambda run, *, tta=None: scores if tta is False else None)
    assert run_prior(run).confusion.tolist() == [[5, 1], [2, 4]]


class TestEnsemble:
    """Two runs that see four images of the test part: A, A, B, B."""

    LABELS = np.array([0, 0, 1, 1])

    @pytest.fixture
    def runs(self, tmp_path, monkeypatch):
        """Each with a prior and, where `scores` has it, the probability of class A of each image."""
        priors, found = {}, {}

        def make(name, prior, scores=None, *, images="abcd", known=True):
            run = SimpleNamespace(workdir=tmp_path / name, class_names=("A", "B"))
            run.workdir.mkdir()
            priors[name] = ClassPrior(np.array([prior, 1 - prior]), np.ones((2, 2)), known)
            if scores is not None:
                path, first = run.workdir / "test.json", np.array(scores)
                log_probs = np.log(np.stack([first, 1 - first], axis=1))
                digest = write_predictions(
                    path.with_name("test_predictions.csv"), list(images), self.LABELS, log_probs, ("A", "B")
                )
                found[name] = path, {
                    "predictions_sha256": digest, "data_fingerprint": "the same", "class_names": ["A", "B"],
                }  # fmt: skip
            return run

        monkeypatch.setattr(class_prior, "run_prior", lambda run: priors[run.workdir.name])
        monkeypatch.setattr(class_prior, "find_scores", lambda run, **_: found.get(run.workdir.name))
        return make

    def test_its_confusions_are_those_of_the_mean(self, runs):
        one = runs("one", 0.5, [0.9, 0.6, 0.2, 0.8])  # A, A, B, A by itself
        two = runs("two", 0.5, [0.3, 0.1, 0.2, 0.7])  # B, B, B, A
        prior = ensemble_prior([one, two], [None, None])  # means 0.6, 0.35, 0.2, 0.75: A, B, B, A
        assert prior.confusion.tolist() == [[1, 1], [1, 1]]
        soft = SimpleNamespace(temperature=SimpleNamespace(value=20.0))
        prior = ensemble_prior([one, two], [soft, None])  # `one` says about a half: `two` decides
        assert prior.confusion.tolist() == [[0, 2], [1, 1]]

    @pytest.mark.parametrize("other", [{}, {"scores": [0.5] * 4, "images": "abce"}])
    def test_without_scores_of_the_same_images_they_are_not_known(self, runs, other):
        one, two = runs("one", 0.5, [0.9, 0.6, 0.2, 0.8]), runs("two", 0.5, **other)
        assert ensemble_prior([one, two], [None, None]).confusion is None
        assert ensemble_prior([one], [None]).confusion is not None

    def test_of_a_run_adapted_with_labels_no_scores_of_its_own_test_part_count(self, runs):
        one, two = (runs(name, 0.5, [0.9, 0.6, 0.2, 0.8]) for name in ("one", "two"))
        assert ensemble_prior([one, two], [None, None]).confusion is not None
        (two.workdir / FILE).write_text('{"notes": []}')
        assert ensemble_prior([one, two], [None, None]).confusion is None

    def test_its_mixture_is_that_of_all_runs_or_none(self, runs):
        one, near, far = runs("one", 0.50), runs("near", 0.54), runs("far", 0.56)
        np.testing.assert_allclose(ensemble_prior([one, near], [None, None]).shares, [0.52, 0.48])
        with pytest.raises(UserError, match=r"far learnt another mixture .*differ in 6 %"):
            ensemble_prior([one, near, far], [None] * 3)
        with pytest.raises(UserError, match="not both known"):
            ensemble_prior([one, runs("blind", 0.5, known=False)], [None, None])


@pytest.mark.parametrize(("only", "possible"), [([], [True, True]), (["A"], [True, False])])
def test_classes_that_adapt_removed_are_never_given(tmp_path, only, possible):
    content = {"labels": None, "learnt": LEARNT, "notes": [], "source": {"name": "run", "only": only}}
    (tmp_path / FILE).write_text(json.dumps(content))
    found = run_prior(SimpleNamespace(workdir=tmp_path, class_names=("A", "B")))
    assert found.possible.tolist() == possible


@pytest.mark.parametrize(
    ("of_runs", "together"),
    [
        ([[True, False, False], [False, True, False]], [True, True, False]),
        ([[True, False, False], None], None),  # the second gives all of them
        ([None, None], None),
    ],
)
def test_an_ensemble_gives_what_any_of_its_runs_gives(tmp_path, monkeypatch, of_runs, together):
    runs = [SimpleNamespace(workdir=tmp_path / name, class_names=("A", "B", "C")) for name in "xy"]
    priors = {
        run.workdir: ClassPrior(np.full(3, 1 / 3), None, True, possible=None if p is None else np.array(p))
        for run, p in zip(runs, of_runs, strict=True)
    }
    monkeypatch.setattr(class_prior, "run_prior", lambda run: priors[run.workdir])
    monkeypatch.setattr(class_prior, "find_scores", lambda run, **_: None)
    found = ensemble_prior(runs, [None, None]).possible
    assert (found if found is None else found.tolist()) == together
