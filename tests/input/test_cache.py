import collections
import dataclasses
import errno
import json
import os
import shutil
import subprocess
import threading
from pathlib import Path

import numpy as np
import pytest

from asae_jax.errors import UserError
from asae_jax.input import cache
from asae_jax.input.cache import prepare_examples
from asae_jax.input.class_map import map_classes
from asae_jax.input.decode import BadImage, read_image
from asae_jax.input.folder import folder_index
from asae_jax.input.index import DataIndex
from asae_jax.input.manifest import manifest_index
from asae_jax.input.preparation import Preparation
from asae_jax.input.store import RecordStore
from tests.input.same_looks import put_cells, uncompressed

PREPARATION = Preparation(8, hue="none")
ROOT = Path(__file__).parents[2]


class Images:
    """A source that counts its reads; rows in `bad` cannot be read."""

    def __init__(self, bad=()):
        self.bad = set(bad)
        self.reads = collections.Counter()
        self.lock = threading.Lock()

    def __call__(self, row):
        with self.lock:
            self.reads[row] += 1
        if row in self.bad:
            raise BadImage(f"image-{row}", "broken")
        return np.random.default_rng(row).integers(0, 256, (8, 8, 3), dtype=np.uint8)


def index_of(images, count=20, **fields):
    names = np.array([f"image-{row}" for row in range(count)])
    return DataIndex("test", ("a",), names, np.zeros(count, np.int32), images, **fields)


def prepare(index, cache_dir, preparation=PREPARATION):
    return prepare_examples(index, preparation, cache_dir=cache_dir, workers=3, progress=False)


def assert_right(prepared, rows):
    expected = np.stack([Images()(row) for row in rows])
    np.testing.assert_array_equal(prepared.read_batch(np.array(rows)), expected)


def store_files(cache_dir):
    (directory,) = cache_dir.iterdir()
    return directory / "images.u8", directory / "filled.u8"


def test_without_a_cache_every_image_is_examined_and_nothing_kept():
    images = Images(bad={3, 5})
    prepared = prepare(index_of(images), None)
    assert prepared.bad == ((3, "broken"), (5, "broken"))
    assert prepared.good.tolist() == [row for row in range(20) if row not in (3, 5)]
    assert_right(prepared, [19, 0, 19])
    assert images.reads[19] == 3
    assert prepared.store is None


def test_the_cache_holds_what_the_preparation_made(tmp_path):
    images = Images()
    prepared = prepare(index_of(images), tmp_path)
    assert_right(prepared, [7, 0, 19, 7])
    np.testing.assert_array_equal(prepared.read(4), images(4))
    assert images.reads[7] == 1
    assert prepared.bad == ()


def test_read_batch_fills_the_array_it_is_given(tmp_path):
    prepared = prepare(index_of(Images()), tmp_path)
    out = prepared.empty(2)
    assert prepared.read_batch(np.array([1, 2]), out) is out
    np.testing.assert_array_equal(out[1], Images()(2))


def test_a_second_start_reads_nothing_but_bad_images(tmp_path):
    prepare(index_of(Images(bad={3})), tmp_path)
    again = Images(bad={3})
    prepared = prepare(index_of(again), tmp_path)
    assert again.reads == {3: 1}
    assert prepared.bad == ((3, "broken"),)
    mended = prepare(index_of(Images()), tmp_path)
    assert mended.bad == ()
    assert_right(mended, range(20))


@pytest.mark.parametrize("cached", [True, False])
def test_bad_images_are_refused_when_read(tmp_path, cached):
    prepared = prepare(index_of(Images(bad={0, 19})), tmp_path if cached else None)
    for row in (0, 19):
        with pytest.raises(BadImage, match=f"image-{row}: broken"):
            prepared.read_batch(np.array([1, row]))


def test_an_interrupted_fill_goes_on_where_it_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "MARK_EVERY", 4)
    monkeypatch.setattr(cache, "_AT_ONCE", 4)

    class Interrupted(Images):
        def __call__(self, row):
            if row == 14:
                raise KeyboardInterrupt
            return super().__call__(row)

    with pytest.raises(KeyboardInterrupt):
        prepare(index_of(Interrupted()), tmp_path)
    rest = Images()
    prepared = prepare(index_of(rest), tmp_path)
    assert set(rest.reads) == set(range(12, 20))
    assert_right(prepared, range(20))


def test_no_image_is_marked_before_it_is_on_the_disk(tmp_path, monkeypatch):
    def fail(descriptor):
        raise OSError(errno.EIO, "lost")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(UserError, match="lost"):
        prepare(index_of(Images()), tmp_path)
    assert not any(store_files(tmp_path)[1].read_bytes())


def test_two_fills_at_once_leave_one_valid_cache(tmp_path):
    results = {}

    def fill(name):
        results[name] = prepare(index_of(Images(bad={11}), 300), tmp_path)

    threads = [threading.Thread(target=fill, args=[name]) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    untouched = Images(bad={11})
    for prepared in (*results.values(), prepare(index_of(untouched, 300), tmp_path)):
        assert prepared.bad == ((11, "broken"),)
        assert_right(prepared, prepared.good)
    assert untouched.reads == {11: 1}


_FILL = """
import sys
from tests.input.test_cache import Images, cache, index_of, prepare

class Held(Images):
    def __call__(self, row):
        if row == 100:
            print("begun", flush=True)
            sys.stdin.readline()
        return super().__call__(row)

cache.MARK_EVERY = 8
prepare(index_of(Held(), 300), sys.argv[1])
"""


def test_a_fill_beside_one_that_is_killed_leaves_one_valid_cache(tmp_path, start_process):
    """Both have begun, and neither is done, when the first is killed."""
    first, second = (
        start_process(_FILL, tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT)
        for _ in range(2)
    )
    for fill in (first, second):
        assert fill.stdout.readline() == b"begun\n"
    first.kill()
    second.communicate(b"\n")
    assert second.returncode == 0
    images = Images()
    prepared = prepare(index_of(images, 300), tmp_path)
    assert images.reads.total() == 0
    assert_right(prepared, range(300))


def test_a_cache_that_cannot_be_mended_still_gives_whole_images(tmp_path, capsys, monkeypatch):
    prepared = prepare(index_of(Images()), tmp_path)
    store_files(tmp_path)[0].write_bytes(bytes(20 * 192))

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(RecordStore, "write", full)
    assert_right(prepared, range(20))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5
    assert all("prepared again, but not written there (No space left" in line for line in lines)
    assert lines[-1].endswith("further ones are not listed")


def test_another_index_or_preparation_has_a_cache_of_its_own(tmp_path):
    prepare(index_of(Images()), tmp_path)
    for index, preparation in [
        (index_of(Images(), 21), PREPARATION),
        (index_of(Images(), modified=np.arange(20)), PREPARATION),
        (index_of(Images()), Preparation(8, hue="paper")),
    ]:
        prepare(index, tmp_path, preparation)
        assert index.read.reads.total() == len(index)
    assert len(list(tmp_path.iterdir())) == 4


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("length", [0, 5, 100_000])
def test_a_cache_of_a_wrong_length_is_filled_anew(tmp_path, which, length):
    prepare(index_of(Images()), tmp_path)
    os.truncate(store_files(tmp_path)[which], length)
    prepared = prepare(index_of(Images()), tmp_path)
    assert_right(prepared, range(20))
    assert [path.stat().st_size for path in store_files(tmp_path)] == [20 * 192, 20]


@pytest.mark.parametrize("again", [False, True], ids=["while in use", "before it is opened"])
@pytest.mark.parametrize("damage", ["one bit", "zeros"])
def test_a_damaged_image_is_prepared_again(tmp_path, capsys, damage, again):
    images = Images()
    prepared = prepare(index_of(images), tmp_path)
    right = [prepared.read(row).copy() for row in range(20)]
    file = store_files(tmp_path)[0]
    content = bytearray(file.read_bytes())
    if damage == "zeros":
        content[7 * 192 : 9 * 192] = bytes(2 * 192)
    else:
        content[7 * 192 + 5] ^= 4
    file.write_bytes(content)
    if again:
        prepared = prepare(index_of(images), tmp_path)
    for row in (*range(20), 7, 8):
        np.testing.assert_array_equal(prepared.read(row), right[row])
    told = capsys.readouterr().out.count("is damaged in the cache")
    assert told == (2 if damage == "zeros" else 1)


def test_a_damaged_checksum_is_mended_with_its_image(tmp_path, capsys):
    images = Images()
    prepared = prepare(index_of(images), tmp_path)
    file = store_files(tmp_path)[0].with_name("crc32.u32")
    content = bytearray(file.read_bytes())
    content[4 * 7] ^= 1
    file.write_bytes(content)
    for _ in range(2):
        assert_right(prepared, range(20))
    assert_right(prepare(index_of(images), tmp_path), range(20))
    assert capsys.readouterr().out.count("is damaged in the cache") == 1
    assert images.reads[7] == 2


def test_a_file_cut_short_while_in_use_is_filled_again(tmp_path):
    prepared = prepare(index_of(Images()), tmp_path)
    right = prepared.read(19).copy()
    os.truncate(store_files(tmp_path)[0], 19 * 192 + 10)
    np.testing.assert_array_equal(prepared.read(19), right)
    assert store_files(tmp_path)[0].stat().st_size == 20 * 192


def test_marks_cut_short_while_in_use_mark_nothing_behind_the_cut(tmp_path):
    store = RecordStore(tmp_path, 5, 4, name="images")
    for row in (1, 2, 4):
        store.write(row, np.zeros(4, np.uint8))
    store.mark([1, 2, 4])
    assert store.filled().tolist() == [False, True, True, False, True]
    os.truncate(tmp_path / "filled.u8", 2)
    assert store.filled().tolist() == [False, True, False, False, False]


def test_two_threads_may_mend_the_same_record(tmp_path):
    store = RecordStore(tmp_path, 2, 4, name="images")
    record = np.arange(4, dtype=np.uint8)
    for _ in range(2):
        store.write(1, record)
    for _ in range(2):
        store.mark([1])
    read = np.empty(4, np.uint8)
    store.read(1, read)
    np.testing.assert_array_equal(read, record)


def test_a_damaged_record_that_cannot_be_made_again_is_refused(tmp_path):
    store = RecordStore(tmp_path, 3, 4, name="features")
    store.write(1, np.arange(4, dtype=np.uint8))
    store.mark([1])
    (tmp_path / "features").write_bytes(bytes([0, 0, 0, 0, 0, 1, 2, 4, 0, 0, 0, 0]))
    with pytest.raises(UserError, match=r"record 1 is not as it was written.*delete it"):
        store.read(1, np.empty(4, np.uint8))


def test_too_little_room_is_found_before_anything_is_written(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=3839))
    images = Images()
    with pytest.raises(UserError, match=r"3,840 bytes needed, 3,839 free.*cache_dir=DIR.*cache=False"):
        prepare(index_of(images), tmp_path)
    assert images.reads.total() == 0
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=3840))
    assert_right(prepare(index_of(images), tmp_path), [0])


def test_a_disk_that_fills_up_meanwhile_is_an_error(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(RecordStore, "write", full)
    with pytest.raises(UserError, match=r"No space left.*cache_dir=DIR"):
        prepare(index_of(Images()), tmp_path)


def test_a_place_that_cannot_be_written_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot write the cache.*cache_dir"):
        prepare(index_of(Images()), tmp_path / "file")


def test_no_usable_image_is_an_error(tmp_path):
    with pytest.raises(UserError, match=r"none of the 2 images .* broken"):
        prepare(index_of(Images(bad={0, 1}), 2), tmp_path)


def test_the_folder_says_what_it_is(tmp_path):
    prepare(index_of(Images()), tmp_path)
    about = json.loads((store_files(tmp_path)[0].parent / "about.json").read_text())
    assert about["examples"] == 20
    assert about["preparation"]["stored_size"] == 8


def _prepared_level(index, cache_dir):
    return prepare(index, cache_dir).read(0)


@pytest.mark.parametrize("write", [uncompressed, None])
def test_two_folders_alike_in_names_sizes_and_times_have_caches_of_their_own(tmp_path, write):
    here, there = (put_cells(tmp_path / name, seed, write) for seed, name in enumerate(["a", "b"]))
    one, other = folder_index(here), folder_index(there)
    assert one.fingerprint() == other.fingerprint()
    images = [prepare(index, tmp_path / "cache") for index in (one, other)]
    for index, prepared in zip((one, other), images, strict=True):
        for row in range(len(index)):
            np.testing.assert_array_equal(prepared.read(row), PREPARATION(index.read(row)))
    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_a_folder_filled_again_with_fixed_times_has_another_cache(tmp_path):
    root = put_cells(tmp_path / "cells", 0)
    before = prepare(folder_index(root), tmp_path / "cache").read(0)
    put_cells(root, 1)
    after = prepare(folder_index(root), tmp_path / "cache").read(0)
    assert not np.array_equal(before, after)


def test_one_file_exchanged_is_noticed(tmp_path):
    root, donor = put_cells(tmp_path / "cells", 0), put_cells(tmp_path / "donor", 1)
    prepare(folder_index(root), tmp_path / "cache")
    shutil.copy2(donor / "EBO" / "2.bmp", root / "EBO" / "2.bmp")
    index = folder_index(root)
    row = index.names.tolist().index("EBO/2.bmp")
    np.testing.assert_array_equal(prepare(index, tmp_path / "cache").read(row), PREPARATION(index.read(row)))


def test_two_lists_of_one_text_have_caches_of_their_own(tmp_path):
    rows = "".join(f"{name}/{n}.bmp,{name}\n" for name in ("BLA", "EBO") for n in range(3))
    levels = []
    for seed, name in enumerate(["a", "b"]):
        root = put_cells(tmp_path / name, seed)
        (root / "list.csv").write_text(f"path,label\n{rows}")
        levels.append(prepare(manifest_index(root / "list.csv"), tmp_path / "cache").read(0))
    assert not np.array_equal(*levels)


def test_a_label_that_is_corrected_costs_no_decoding(tmp_path):
    root = put_cells(tmp_path / "cells", 0)
    rows = [f"{name}/{n}.bmp,{name}" for name in ("BLA", "EBO") for n in range(3)]
    lists = ["path,label\n" + "\n".join(rows)]
    lists.append(lists[0].replace("BLA/0.bmp,BLA", "BLA/0.bmp,EBO").replace("EBO/1.bmp,EBO", "EBO/1.bmp,MON"))
    lists.append("path,label,patient,split\n" + "\n".join(f"{row},p{n},train" for n, row in enumerate(rows)))
    for number, text in enumerate(lists):
        (root / "list.csv").write_text(text)
        index = manifest_index(root / "list.csv")
        if number:  # every image comes from the cache
            index = dataclasses.replace(index, read=None, reduced=None)
        prepared = prepare(index, tmp_path / "cache")
        assert len(prepared.good) == 6
        for row, name in enumerate(index.names):
            np.testing.assert_array_equal(prepared.read(row), PREPARATION(read_image(root / name)))
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_a_copy_of_the_folder_shares_the_cache_also_under_a_class_map(tmp_path):
    root = put_cells(tmp_path / "cells", 0)
    shutil.copytree(root, tmp_path / "copy")
    for place in (root, tmp_path / "copy"):
        index = map_classes(folder_index(place), {"EBO": ""})
        prepare(index, tmp_path / "cache")
    assert len(list((tmp_path / "cache").iterdir())) == 1
