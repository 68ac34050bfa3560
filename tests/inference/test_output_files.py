"""Names of what `predict` writes: of each input its own, and nothing made from another is replaced."""

import contextlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from asae_jax.errors import UserError
from asae_jax.files import write_text
from asae_jax.inference.inputs import read_input
from asae_jax.inference.output_files import Source, chosen_files
from asae_jax.inference.predict.output import PREDICTIONS
from asae_jax.json_files import write_json
from tests.inference.test_inputs import tree

__all__ = ["tree"]


@pytest.fixture
def place(tmp_path):
    """Chooses a place as the command does, and leaves files there as it does; gives the name."""

    def choose(text, given="", *, lines=None, meanwhile=None):
        items = read_input(str(text), lines=lines)
        options = {"given": given and str(given), "workdir": tmp_path / "run", "kinds": PREDICTIONS}
        with chosen_files(str(text), items, **options) as chosen, meanwhile or contextlib.nullcontext():
            write_text(chosen.output, chosen.source.path)
            record = {"made_from": chosen.record()}
            write_json(chosen.stem.with_name(f"{chosen.stem.name}_differential.json"), record)
        return chosen.output.name

    return choose


@pytest.fixture
def folder(tmp_path):
    def make(*names):
        path = tmp_path.joinpath(*names)
        path.mkdir(parents=True)
        (path / "1.png").touch()
        return path

    return make


def test_folders_of_one_name_get_files_of_their_own_and_keep_them(place, folder, capsys):
    folders = [folder(patient, "cells") for patient in ("p1", "p2", "p3")]
    assert [place(path) for path in folders] == ["cells.csv", "cells-2.csv", "cells-3.csv"]
    assert "made from another input: these are called cells-3" in capsys.readouterr().out
    assert [place(path) for path in folders[::-1]] == ["cells-3.csv", "cells-2.csv", "cells.csv"]


def test_files_keep_their_number_where_a_smaller_one_becomes_free(place, folder, tmp_path):
    folders = [folder(patient, "cells") for patient in ("p1", "p2", "p3")]
    for path in folders:
        place(path)
    for path in (tmp_path / "run" / "predictions").glob("cells[._]*"):
        path.unlink()
    assert place(folders[2]) == "cells-3.csv"
    assert place(folders[0]) == "cells.csv"
    assert place(folders[1]) == "cells-2.csv"


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Predicts in a folder that holds input and run; gives the name and what the record says of the input."""

    def predict(root, text="cells"):
        monkeypatch.chdir(tmp_path / root)
        with chosen_files(text, read_input(text), given="", workdir=Path("run"), kinds=PREDICTIONS) as chosen:
            write_text(chosen.output, "")
            write_json(chosen.beside("_differential.json"), {"made_from": chosen.record()})
        return chosen.output.name

    return predict


@pytest.mark.parametrize("number", [1, 2])
def test_what_was_moved_together_is_found_again(project, folder, tmp_path, number):
    """A folder that holds run and images is renamed."""
    for name in ("other", "cells")[-number:]:
        folder("before", name, "cells")
    texts = [f"{name}/cells" for name in ("other", "cells")[-number:]]
    names = [project("before", text) for text in texts]
    assert len(set(names)) == number
    (tmp_path / "before").rename(tmp_path / "after")
    assert [project("after", text) for text in texts[::-1]] == names[::-1]
    assert [project("after", text) for text in texts] == names, "where it lies now is recorded"


def test_a_list_that_was_moved_together_is_found_again(project, folder, tmp_path):
    folder("before", "cells")
    (tmp_path / "before" / "list.csv").write_text("path\ncells/1.png\n")
    assert project("before", "list.csv") == "list.csv"
    (tmp_path / "before").rename(tmp_path / "after")
    assert project("after", "list.csv") == "list.csv"


@pytest.mark.parametrize("change", ["copied", "another name", "another size", "another place"])
def test_what_only_looks_moved_is_another_input(project, folder, tmp_path, change):
    """The files there were made from what is or was elsewhere."""
    cells, after = folder("before", "cells"), tmp_path / "after"
    assert project("before") == "cells.csv"
    shutil.copytree(tmp_path / "before", after)
    if change != "copied":
        shutil.rmtree(tmp_path / "before")
    if change == "another name":
        (after / "cells" / "1.png").rename(after / "cells" / "2.png")
    elif change == "another size":
        (after / "cells" / "1.png").write_bytes(b"more")
    elif change == "another place":
        (after / "deeper").mkdir()
        (after / "cells").rename(after / "deeper" / "cells")
    assert project("after", "deeper/cells" if change == "another place" else "cells") == "cells-2.csv"
    assert cells.exists() == (change == "copied")


def test_brackets_in_a_folder_name_are_no_pattern(place, folder):
    assert [place(folder(f"batch [{number}]")) for number in (1, 2)] == ["batch [1].csv", "batch [2].csv"]


def test_what_differs_in_kind_only_is_another_input(place, folder, tmp_path):
    path = folder("cells")
    (tmp_path / "cells.csv").write_text("path\ncells/1.png\n")
    assert place(path) == "cells.csv"
    assert place(f"{path}/*.png") == "cells-2.csv"
    assert place(tmp_path / "cells.csv") == "cells-3.csv"
    assert place(f"{path}/") == place(path / ".." / "cells") == "cells.csv"


def test_a_link_that_leads_elsewhere_is_another_input(place, folder, tmp_path):
    link = tmp_path / "current"
    names = []
    for patient in ("p1", "p2"):
        link.unlink(missing_ok=True)
        link.symlink_to(folder(patient))
        names.append(place(link))
    assert names == ["current.csv", "current-2.csv"]


def test_other_lines_of_standard_input_are_another_input(place):
    assert place("-", lines=["a.png", "b.png"]) == "stdin.csv"
    assert place("-", lines=["a.png", "c.png"]) == "stdin-2.csv"
    assert place("-", lines=["a.png", "b.png"]) == "stdin.csv"


@pytest.mark.parametrize(
    "name", ["cells.csv", "cells.html", "cells_differential.csv", "cells_differential.json"]
)
@pytest.mark.parametrize("content", ["", "{}", "[]", '{"made_from": 1}'])
def test_files_that_do_not_say_what_they_were_made_from_stay(place, folder, tmp_path, name, content):
    (tmp_path / "run" / "predictions").mkdir(parents=True)
    kept = tmp_path / "run" / "predictions" / name
    kept.write_text(content)
    assert place(folder("cells")) == "cells-2.csv"
    assert kept.read_text() == content


def test_an_input_named_like_the_file_of_another_one(place, folder):
    assert place(folder("cells")) == "cells.csv"
    assert place(folder("cells_differential")) == "cells_differential.csv"


def test_a_given_file_is_replaced_by_the_same_input_only(place, folder, tmp_path):
    one, other = folder("p1", "cells"), folder("p2", "cells")
    output = tmp_path / "out.csv"
    assert place(one, output) == place(one, output) == "out.csv"
    for taken in (output, output.with_suffix(".jsonl")):
        with pytest.raises(UserError, match=rf"was made from {one} and would be lost: .*--output=FILE"):
            place(other, taken)
    assert output.read_text() == str(one)


@pytest.mark.parametrize("beside", ["labels.csv", "labels.html"])
def test_a_given_file_that_is_someone_elses_is_refused(place, folder, tmp_path, beside):
    (tmp_path / beside).write_text("path,label\n")
    with pytest.raises(UserError, match=rf"{beside} was not made from this input and would be lost"):
        place(folder("cells"), tmp_path / "labels.csv")
    assert (tmp_path / beside).read_text() == "path,label\n"


def test_the_input_stays_where_another_file_of_the_output_is_called_like_it(place, folder, tmp_path):
    """Also where a record says that the files there were made from it."""
    folder("cells")
    listed = tmp_path / "out_differential.csv"
    listed.write_text("path\ncells/1.png\n")
    write_json(tmp_path / "out_differential.json", {"made_from": {"input": str(listed)}})
    with pytest.raises(UserError, match=r"out_differential\.csv is the input and would be lost"):
        place(listed, tmp_path / "out.csv")


def test_a_given_folder_is_refused_at_once(place, folder, tmp_path):
    cells = folder("cells")
    for given in (tmp_path, cells, ".", "..", "/"):
        with pytest.raises(UserError, match=r"is a folder: give a file, such as --output="):
            place(cells, given)
    with pytest.raises(UserError, match=r"is a folder: give a file, such as --output=cells\.csv\."):
        place(cells, cells)


def test_a_name_that_is_not_utf8_tells_inputs_apart(place, folder):
    paths = [folder(patient, "caf\udce9") for patient in ("p1", "p\udcff")]
    assert [place(path) for path in paths * 2] == ["caf\udce9.csv", "caf\udce9-2.csv"] * 2
    assert Source.of(str(paths[0]), []).path == str(paths[0])


def _names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def at_work(tmp_path):
    """Starts `predict` on an input in another process, up to where it would write."""
    program = """
import sys
from pathlib import Path
from asae_jax.inference.inputs import read_input
from asae_jax.inference.output_files import chosen_files
from asae_jax.inference.predict.output import PREDICTIONS
text, given, workdir = sys.argv[1:]
with chosen_files(text, read_input(text), given=given, workdir=Path(workdir), kinds=PREDICTIONS) as place:
    print(place.output.name, flush=True)
    sys.stdin.read()
"""

    @contextlib.contextmanager
    def start(text, given=""):
        command = [
            sys.executable,
            "-W",
            "ignore",
            "-c",
            program,
            str(text),
            str(given),
            str(tmp_path / "run"),
        ]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout.readline()
            try:
                yield process
            finally:
                process.kill()

    return start


def test_two_at_once_do_not_write_to_one_file(place, folder, at_work, tmp_path):
    """Neither has written anything when the other chooses."""
    one, two, three = (folder(patient, "cells") for patient in ("p1", "p2", "p3"))
    with at_work(one):
        assert place(two) == "cells-2.csv"
        with pytest.raises(UserError, match=r"another command is writing .*cells\.csv"):
            place(one)
    # It was killed and has left nothing: its name is free.
    assert place(three) == "cells.csv"
    assert place(one) == "cells-3.csv"
    assert not [name for name in _names(tmp_path / "run" / "predictions") if name.endswith(".lock")]


def test_an_output_that_is_being_written_is_refused(place, folder, at_work, tmp_path):
    given = tmp_path / "mine.csv"
    with at_work(folder("p1", "cells"), given):
        for path in (folder("p2", "cells"), tmp_path / "p1" / "cells"):
            with pytest.raises(UserError, match=r"another command is writing .*mine\.csv"):
                place(path, given)
    assert place(tmp_path / "p2" / "cells", given) == "mine.csv"
    assert os.listdir(tmp_path).count(".mine.csv.lock") == 0


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="no list of open files on this system")
def test_a_claim_is_given_back_where_open_files_cannot_be_removed(place, folder, tmp_path, monkeypatch):
    """As on Windows, which has no such locks either."""
    remove = Path.unlink

    def refusing(path, missing_ok=False):
        open_files = {os.path.realpath(link) for link in Path("/proc/self/fd").iterdir()}
        if os.path.realpath(path) in open_files:
            raise PermissionError(13, "used by another process", str(path))
        remove(path, missing_ok=missing_ok)

    monkeypatch.setitem(sys.modules, "fcntl", None)
    monkeypatch.setattr(Path, "unlink", refusing)
    assert place(folder("cells")) == "cells.csv"
    assert not [name for name in _names(tmp_path / "run" / "predictions") if name.endswith(".lock")]


def test_a_result_that_is_open_elsewhere_is_named_before_the_work(place, folder, tmp_path, monkeypatch):
    path, worked = folder("cells"), []
    predictions = tmp_path / "run" / "predictions"
    assert place(path) == "cells.csv"
    (predictions / "cells.html").write_text("a page")
    replace = Path.replace

    def refuse(part, target):  # as Windows does
        if target.name == "cells.html":
            raise PermissionError(13, "Permission denied", str(part))
        return replace(part, target)

    @contextlib.contextmanager
    def work():
        worked.append(1)
        yield

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(UserError, match=r"cells\.html cannot be replaced: another program may have it open"):
        place(path, meanwhile=work())
    assert not worked
    assert (predictions / "cells.html").read_text() == "a page"
    monkeypatch.undo()
    assert place(path) == "cells.csv"


def test_a_claim_is_given_back_when_the_work_fails(place, folder, tmp_path):
    class Stop(Exception):
        pass

    @contextlib.contextmanager
    def failing():
        raise Stop
        yield

    path = folder("cells")
    with pytest.raises(Stop):
        place(path, meanwhile=failing())
    assert not (tmp_path / "run" / "predictions").exists()
    assert place(path) == "cells.csv"
