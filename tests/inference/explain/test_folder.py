"""Folders that `explain` writes to: of each input its own, and nothing else is replaced."""

from pathlib import Path

import pytest

from asae_jax.errors import UserError
from asae_jax.inference.explain.folder import chosen_folder
from asae_jax.inference.inputs import read_input
from asae_jax.inference.output_files import Source


@pytest.fixture
def folder(tmp_path):
    """Chooses a folder as the command does, and leaves its record there; gives the path in the run."""

    def choose(text="", *, lines=(), split="test", given="", root=tmp_path, meanwhile=None):
        text, given = str(text), given and str(given)
        files = [item.file for item in read_input(text, lines=lines)] if text else []
        source = Source.of(text, files) if text else Source(f"the {split} part of the run's own data")
        with chosen_folder(source, text, given=given, workdir=root / "run") as chosen:
            if meanwhile:
                meanwhile()
            chosen.write_record({"step": 3})
        return chosen.path.relative_to(root if given else root / "run").as_posix()

    return choose


def _cells(*names):
    path = Path(*names)
    path.mkdir(parents=True)
    (path / "1.png").touch()
    return path


def test_inputs_of_one_name_get_folders_of_their_own_and_keep_them(folder, tmp_path):
    cells = [_cells(tmp_path, patient, "cells") for patient in ("p1", "p2")]
    for _ in range(2):
        assert [folder(path) for path in cells] == ["explain/cells", "explain/cells-2"]
    assert folder() == folder() == "explain"


def test_other_lines_of_standard_input_are_another_input(folder):
    assert folder("-", lines=["a.png"]) == "explain/stdin"
    assert folder("-", lines=["b.png"]) == "explain/stdin-2"


def test_what_was_moved_together_is_found_again(folder, tmp_path):
    """A folder that holds run and images is renamed; where the images alone were moved, they are others."""
    before, after = tmp_path / "before", tmp_path / "after"
    for patient in ("p1", "p2"):
        _cells(before, patient, "cells")
    names = {patient: folder(before / patient / "cells", root=before) for patient in ("p1", "p2")}
    assert list(names.values()) == ["explain/cells", "explain/cells-2"]
    assert folder(before / "p1" / "cells", given=before / "out", root=before) == "out"
    before.rename(after)
    for _ in range(2):  # where it lies now is recorded
        assert folder(after / "p2" / "cells", root=after) == names["p2"]
        assert folder(after / "p1" / "cells", given=after / "out", root=after) == "out"
    (after / "p1").rename(after / "p3")
    assert folder(after / "p3" / "cells", root=after) == "explain/cells-3"


def test_two_at_once_do_not_write_to_one_folder(folder, tmp_path):
    """Neither has written anything when the other chooses."""
    one, two = (_cells(tmp_path, patient, "cells") for patient in ("p1", "p2"))
    chosen = []

    def other_command():
        chosen.append(folder(two))
        with pytest.raises(UserError, match=r"another command is writing .*explain/cells/index\.html"):
            folder(one)

    assert folder(one, meanwhile=other_command) == "explain/cells"
    assert chosen == ["explain/cells-2"]

    def own_data():
        with pytest.raises(UserError, match="another command is writing"):
            folder()

    assert folder(meanwhile=own_data) == "explain"
    assert not list(tmp_path.rglob("*.lock"))


def test_a_command_that_was_stopped_leaves_no_folder(folder, tmp_path):
    def stop():
        raise KeyboardInterrupt

    cells = _cells(tmp_path, "cells")
    with pytest.raises(KeyboardInterrupt):
        folder(cells, meanwhile=stop)
    assert not (tmp_path / "run" / "explain" / "cells").exists()
    assert folder(cells) == "explain/cells"


def test_an_input_named_as_a_folder_of_explain(folder, tmp_path):
    (tmp_path / "run" / "explain" / "images").mkdir(parents=True)
    (tmp_path / "run" / "explain" / "images" / "0000_cell.png").touch()
    assert folder(_cells(tmp_path, "images")) == "explain/images-2"


def test_another_part_of_the_data_replaces_nothing(folder):
    assert folder() == "explain"
    with pytest.raises(UserError, match=r"holds explanations of the test part .*--output=DIR"):
        folder(split="validation")


def test_a_folder_of_an_earlier_version_is_written_anew(folder, tmp_path):
    (tmp_path / "run" / "explain").mkdir(parents=True)
    (tmp_path / "run" / "explain" / "index.html").touch()
    assert folder() == "explain"


def test_a_given_folder_with_other_files_is_refused(folder, tmp_path):
    """Pictures in its folder `images` would have been removed."""
    cell = tmp_path / "mine" / "images" / "0001_cell.png"
    cell.parent.mkdir(parents=True)
    cell.touch()
    with pytest.raises(UserError, match=r"mine holds other files, which would be lost: give an empty folder"):
        folder(given=tmp_path / "mine")
    with pytest.raises(UserError, match="is a file"):
        folder(given=cell)
    (tmp_path / "empty").mkdir()
    for _ in range(2):
        assert folder(given=tmp_path / "empty") == "empty"
    with pytest.raises(UserError, match="holds explanations of the test part"):
        folder(tmp_path / "mine", given=tmp_path / "empty")


def test_no_folder_in_the_folder_of_the_cells_is_written_to(folder, tmp_path):
    """Its pictures would be cells for the next command."""
    cells = _cells(tmp_path, "cells")
    for given in (cells, cells / "explained", cells / "a" / "b"):
        with pytest.raises(UserError, match="taken for cells"):
            folder(cells, given=given)
    assert folder(cells, given=tmp_path / "beside") == "beside"
