import jax
import jax.numpy as jnp
import numpy as np

from asae_jax import keys


def data(key):
    return np.asarray(jax.random.key_data(key))


def test_streams_are_the_same_in_every_process_and_differ_by_name_and_seed():
    literal = jax.random.fold_in(jax.random.key(3), 0x83DCEFB7)  # CRC-32 of "1"
    np.testing.assert_array_equal(data(keys.stream_key(3, "1")), data(literal))
    others = [keys.stream_key(0, "asae"), keys.stream_key(0, "augment"), keys.stream_key(1, "asae")]
    assert len({data(key).tobytes() for key in others}) == 3


def test_steps_differ_and_repeat():
    key = keys.stream_key(0, "augment")
    steps = [data(keys.step_key(key, step)).tobytes() for step in (0, 1, 2, 1)]
    assert len(set(steps)) == 3
    assert steps[1] == steps[3]


def test_a_step_may_be_traced():
    key = keys.stream_key(0, "augment")
    np.testing.assert_array_equal(data(jax.jit(keys.step_key)(key, 7)), data(keys.step_key(key, 7)))


def test_example_keys_do_not_depend_on_how_the_batch_is_divided():
    key = keys.stream_key(0, "augment")
    whole = data(keys.example_keys(key, 6))
    parts = [data(keys.example_keys(key, 2, first)) for first in (0, 2, 4)]
    np.testing.assert_array_equal(whole, np.concatenate(parts))
    assert len(np.unique(whole, axis=0)) == 6


def test_view_keys_belong_to_view_and_example():
    key = keys.stream_key(3, "views")
    views, examples = jnp.array([0, 0, 1, 1]), jnp.array([7, 9, 7, 0])
    found = data(keys.view_keys(key, views, examples))
    assert len({tuple(row) for row in found}) == 4
    for one, view, example in zip(found, views, examples, strict=True):
        np.testing.assert_array_equal(one, data(jax.random.fold_in(jax.random.fold_in(key, view), example)))
