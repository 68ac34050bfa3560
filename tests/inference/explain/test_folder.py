"""Folders that `explain` writes to: of each input its own, and nothing else is replaced."""

import pytest

from asae_jax.errors import UserError
from asae_jax.inference.explain.folder import choose_folder, explained, write_record


@pytest.fixture
def folder(tmp_path):
    """Chooses a folder as the command does, and leaves its record there; gives the path in the run."""

    def choose(text="", *, names=(), split="test", given=""):
        source = explained(str(text), names, split)
        chosen = choose_folder(source, str(text), given=given and str(given), workdir=tmp_path / "run")
        write_record(chosen, source, {"step": 3})
        return chosen.relative_to(tmp_path / "run" if not given else tmp_path).as_posix()

    return choose


def test_inputs_of_one_name_get_folders_of_their_own_and_keep_them(folder, tmp_path):
    cells = [tmp_path / patient / "cells" for patient in ("p1", "p2")]
    for path in cells:
        path.mkdir(parents=True)
    for _ in range(2):
        assert [folder(path) for path in cells] == ["explain/cells", "explain/cells-2"]
    assert folder() == folder() == "explain"


def test_other_lines_of_standard_input_are_another_input(folder):
    assert folder("-", names=["a.png"]) == "explain/stdin"
    assert folder("-", names=["b.png"]) == "explain/stdin-2"


def test_an_input_named_as_a_folder_of_explain(folder, tmp_path):
    (tmp_path / "run" / "explain" / "images").mkdir(parents=True)
    (tmp_path / "run" / "explain" / "images" / "0000_cell.png").touch()
    (tmp_path / "images").mkdir()
    assert folder(tmp_path / "images") == "explain/images-2"


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
    cells = tmp_path / "cells"
    cells.mkdir()
    for given in (cells, cells / "explained", cells / "a" / "b"):
        with pytest.raises(UserError, match="taken for cells"):
            folder(cells, given=given)
    assert folder(cells, given=tmp_path / "beside") == "beside"
