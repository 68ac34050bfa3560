import contextlib
import itertools
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from asae_jax.errors import UserError
from asae_jax.input.cache import prepare_examples
from asae_jax.input.decode import BadImage
from asae_jax.input.feed import DRIVERS, STREAMS, eval_batches, train_batches, view_batches
from asae_jax.input.index import DataIndex
from asae_jax.input.preparation import Preparation
from asae_jax.input.sampler import BalancedSampler, ShuffledSampler, WeightedSampler

CLASSES = np.array([2] * 23 + [0] * 7 + [1] * 2 + [0] * 5, np.int32)
INDICES = np.flatnonzero(np.arange(len(CLASSES)) % 5)  # what a split leaves, classes of 2, 10 and 17 images
LABELS = CLASSES[INDICES]


def image_of(row):
    return np.random.default_rng(row).integers(0, 256, (8, 8, 3), dtype=np.uint8)


def prepared_images(cache_dir, read=image_of):
    names = np.array([f"image-{row}" for row in range(len(CLASSES))])
    index = DataIndex("test", ("a", "b", "c"), names, CLASSES, read)
    preparation = Preparation(8, hue="none")
    return prepare_examples(index, preparation, cache_dir=cache_dir, workers=2, progress=False)


def unevenly(row):
    """Lets later images overtake this one, where nothing keeps them from it."""
    time.sleep(0.002 * (row % 3 == 0))
    return image_of(row)


@pytest.fixture(params=["cached", "decoded"])
def prepared(request, tmp_path):
    return prepared_images(tmp_path if request.param == "cached" else None, unevenly)


def batches(prepared, count, **options):
    with contextlib.closing(train_batches(prepared, INDICES, LABELS, workers=2, **options)) as stream:
        return list(itertools.islice(stream, count))


@pytest.mark.parametrize("driver", ["tf.data", "threads"])
@pytest.mark.parametrize("kind", [BalancedSampler, ShuffledSampler, WeightedSampler])
@pytest.mark.parametrize("start_step", [0, 17])
def test_both_drivers_follow_the_sampler(prepared, driver, kind, start_step):
    sampler = kind(LABELS, 12, seed=5)
    found = batches(prepared, 20, sampler=sampler, start_step=start_step, driver=driver)
    for step, batch in enumerate(found, start_step):
        positions = kind(LABELS, 12, seed=5).batch(step)
        assert set(batch) == {"image", "label", "index"}
        np.testing.assert_array_equal(batch["index"], INDICES[positions])
        np.testing.assert_array_equal(batch["label"], LABELS[positions])
        np.testing.assert_array_equal(batch["image"], np.stack([image_of(row) for row in INDICES[positions]]))
    assert [found[0][name].dtype for name in ("image", "label", "index")] == [np.uint8, np.int32, np.int32]


@pytest.mark.parametrize("driver", ["tf.data", "threads"])
def test_the_processes_parts_join_to_the_whole_batch(prepared, driver):
    sampler = BalancedSampler(LABELS, 12, seed=1)
    whole = batches(prepared, 3, sampler=sampler, driver="threads")
    parts = [
        batches(prepared, 3, sampler=sampler, driver=driver, process_index=process, process_count=3)
        for process in range(3)
    ]
    for step in range(3):
        for name in ("image", "label", "index"):
            joined = np.concatenate([part[step][name] for part in parts])
            np.testing.assert_array_equal(joined, whole[step][name])


def test_the_processes_parts_of_views_join_too():
    class Numbers:
        """Record r is the number r."""

        def empty(self, count):
            return np.empty(count, np.int64)

        def read_batch(self, rows, out):
            out[...] = rows

    def some(**part):
        sampler = BalancedSampler(LABELS, 12, seed=1)
        stream = view_batches(Numbers(), INDICES, LABELS, sampler=sampler, views=2, workers=2, **part)
        with contextlib.closing(stream):
            return list(itertools.islice(stream, 4))

    whole, *parts = some(), *(some(process_index=process, process_count=3) for process in range(3))
    for step, batch in enumerate(whole):
        for name, array in batch.items():
            np.testing.assert_array_equal(np.concatenate([part[step][name] for part in parts]), array)


def test_auto_chooses_tensorflow_where_it_is_installed(monkeypatch):
    chosen = []
    for name in STREAMS:
        monkeypatch.setitem(STREAMS, name, lambda *_, name=name, **__: chosen.append(name))
    sampler = ShuffledSampler(LABELS, 4, 0)
    for installed in (True, False):
        monkeypatch.setattr("importlib.util.find_spec", lambda name, found=installed: found or None)
        train_batches(None, INDICES, LABELS, sampler=sampler, driver="auto")
    assert chosen == ["tf.data", "threads"]


@pytest.mark.parametrize("driver", DRIVERS)
def test_an_image_lost_during_training_is_named(driver):
    removed = threading.Event()

    def read(row):
        if removed.is_set():
            raise BadImage(f"image-{row}.png", "unreadable (No such file or directory)")
        return image_of(row)

    prepared = prepared_images(None, read)
    removed.set()
    with pytest.raises(BadImage, match=r"cannot use image image-\d+\.png: unreadable"):
        batches(prepared, 1, sampler=ShuffledSampler(LABELS, 4, 0), driver=driver)


@pytest.mark.parametrize("leave", ["close", "drop"])
def test_no_thread_outlives_its_iterator(prepared, leave):
    stream = train_batches(prepared, INDICES, LABELS, sampler=ShuffledSampler(LABELS, 4, 0), driver="threads")
    next(stream)
    assert input_threads()
    if leave == "close":
        stream.close()
    else:
        del stream
    assert not input_threads()


def input_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("asae-input")]


def test_wrong_arguments_are_refused_at_once():
    sampler = ShuffledSampler(LABELS, 10, 0)
    with pytest.raises(UserError, match=r"unknown input driver 'tfdata'.*tf\.data"):
        train_batches(None, INDICES, LABELS, sampler=sampler, driver="tfdata")
    with pytest.raises(UserError, match="batch size 10 cannot be shared by 4 processes"):
        train_batches(None, INDICES, LABELS, sampler=sampler, driver="threads", process_count=4)
    with pytest.raises(UserError, match="batch size 10 cannot be shared by 4 processes"):
        eval_batches(None, INDICES, LABELS, 10, process_count=4)
    with pytest.raises(ValueError, match="29 indices but 28 labels"):
        train_batches(None, INDICES, LABELS[1:], sampler=sampler, driver="threads")


@pytest.mark.parametrize("batch_size", [1, 8, 29, 64])
def test_evaluation_sees_every_example_once_in_one_shape(prepared, batch_size):
    found = list(eval_batches(prepared, INDICES, LABELS, batch_size, workers=2))
    assert {batch["image"].shape for batch in found} == {(batch_size, 8, 8, 3)}
    assert len(found) == -(-len(INDICES) // batch_size)
    joined = {name: np.concatenate([batch[name] for batch in found]) for name in found[0]}
    real = joined["mask"] == 1
    np.testing.assert_array_equal(joined["index"][real], INDICES)
    np.testing.assert_array_equal(joined["label"][real], LABELS)
    np.testing.assert_array_equal(joined["image"][real], np.stack([image_of(row) for row in INDICES]))
    assert set(joined["mask"][~real]) <= {0}
    assert set(joined["index"][~real]) <= {-1}
    assert not joined["image"][~real].any()
    assert [joined[name].dtype for name in ("image", "label", "index", "mask")] == [
        np.uint8,
        np.int32,
        np.int32,
        np.float32,
    ]


def test_processes_evaluate_equally_many_batches(prepared):
    """29 examples in batches of 12: the last batch leaves the third process nothing but padding."""
    parts = [
        list(eval_batches(prepared, INDICES, LABELS, 12, process_index=process, process_count=3))
        for process in range(3)
    ]
    assert [len(part) for part in parts] == [3, 3, 3]
    assert [int(part[-1]["mask"].sum()) for part in parts] == [4, 1, 0]
    seen = np.concatenate([batch["index"][batch["mask"] == 1] for part in parts for batch in part])
    np.testing.assert_array_equal(np.sort(seen), INDICES)


def test_tensorflow_is_loaded_only_by_its_own_driver():
    program = (
        "import sys; from asae_jax.input import feed, sources, cache, split; "
        "sys.exit('tensorflow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
