"""Views of an image at test: the symmetries of a square, and means of probabilities."""

import jax
import numpy as np
import scipy.special

from asae_jax.run.test_time_augmentation import NUM_VIEWS, batches, mean_logits, prepare_view, turn


def test_views_are_the_symmetries_of_a_square():
    images = np.arange(2 * 3 * 3).reshape(2, 3, 3, 1)
    found = np.stack([jax.jit(turn)(images, view) for view in range(NUM_VIEWS)])
    square = images[..., 0]
    turned = [np.rot90(start, k, axes=(1, 2)) for start in (square, square[:, :, ::-1]) for k in range(4)]
    np.testing.assert_array_equal(found[..., 0], turned)
    assert len({view.tobytes() for view in found}) == 8


def test_a_network_sees_each_view_of_what_was_prepared():
    images = np.random.default_rng(0).integers(0, 256, (2, 4, 4, 3), np.uint8)
    (plain,) = batches(images, 1)
    assert set(plain) == {"image"}
    np.testing.assert_array_equal(prepare_view(plain, lambda raw: raw / 255), images / 255)
    shown = batches(images, NUM_VIEWS)
    assert [batch["view"].shape for batch in shown] == [(jax.local_device_count(),)] * NUM_VIEWS
    for number, batch in enumerate(shown):
        np.testing.assert_array_equal(prepare_view(batch, lambda raw: raw / 255), turn(images / 255, number))


def test_logits_of_several_views_give_the_mean_of_their_probabilities_and_energies():
    views = list(np.random.default_rng(1).normal(0, 5, (NUM_VIEWS, 6, 4)).astype(np.float32))
    found = mean_logits(views)
    assert found.dtype == np.float32
    expected = np.mean([scipy.special.softmax(view.astype(float), -1) for view in views], axis=0)
    np.testing.assert_allclose(scipy.special.softmax(found.astype(float), -1), expected, rtol=1e-5)
    energies = np.mean([scipy.special.logsumexp(view, axis=-1) for view in views], axis=0)
    np.testing.assert_allclose(scipy.special.logsumexp(found, axis=-1), energies, rtol=1e-5)
    assert mean_logits(views[:1]) is views[0]


def test_log_probabilities_of_views_give_log_probabilities():
    views = [scipy.special.log_softmax(view, -1) for view in np.random.default_rng(2).normal(0, 3, (3, 5, 4))]
    np.testing.assert_allclose(scipy.special.logsumexp(mean_logits(views), axis=-1), 0, atol=1e-6)


def test_a_class_that_no_view_allows_stays_impossible_and_what_is_not_a_number_stays_so():
    views = np.zeros((2, 2, 3))
    views[:, 0, 1] = -np.inf
    views[1, 1, 2] = np.nan
    found = mean_logits(list(views))
    np.testing.assert_allclose(scipy.special.softmax(found[0]), [0.5, 0, 0.5])
    assert np.isnan(found[1]).all()
