import os
import subprocess
import sys
from pathlib import Path

import pytest

from data.__main__ import main

ROOT = Path(__file__).resolve().parents[2]


def test_prepares_and_says_what_is_there(made, tmp_path, capsys):
    made.jpeg("Train/Basophil/1.jpg")
    made.jpeg("TestA/Basophil/2.jpg")
    arguments = ["raabin_wbc", f"--manual_dir={made.root}", f"--data_dir={tmp_path / 'prepared'}"]
    assert main(arguments) == 0
    said = capsys.readouterr().out
    assert "raabin_wbc/test_a/1.0.0: 1 train, 1 test images in " in said
    assert "made before" not in said
    made.jpeg("Train/Basophil/3.jpg")
    assert main(arguments) == 0  # it is there, and stays as it is
    assert ": 1 train, 1 test images in" in (said := capsys.readouterr().out)
    assert said.rstrip().endswith(", made before: delete that folder to make it of what lies there now")


def test_a_place_that_cannot_be_made_is_told_in_one_line(made, tmp_path, capsys):
    made.jpeg("Train/Basophil/1.jpg")
    made.jpeg("TestA/Basophil/2.jpg")
    (tmp_path / "file").write_text("")
    assert main(["raabin_wbc", f"--manual_dir={made.root}", f"--data_dir={tmp_path / 'file' / 'sets'}"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: cannot prepare raabin_wbc in ")
    assert error.count("\n") == 1


def test_links_that_lead_nowhere_or_round_in_circles_are_left_out(made, tmp_path, capsys):
    made.jpeg("Train/Basophil/1.jpg")
    made.jpeg("TestA/Basophil/2.jpg")
    basophils = made.root / "Train" / "Basophil"
    os.symlink(basophils, basophils / "loop")
    os.symlink(basophils / "self.jpg", basophils / "self.jpg")
    os.symlink(basophils / "gone.jpg", basophils / "dangling.jpg")
    assert main(["raabin_wbc", f"--manual_dir={made.root}", f"--data_dir={tmp_path / 'prepared'}"]) == 0
    assert ": 1 train, 1 test images in " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mnist", "error: no data set 'mnist' here"),
        ("bloodmnist/32", "error: bloodmnist has no configuration '32': take one of 28, 64, 128, 224"),
        ("mll23/28", "error: mll23 has no configuration '28': take one of none"),
        ("mll23", "(--manual_dir). Download the class archives of MLL23"),
    ],
)
def test_mistakes_are_told_in_one_line(tmp_path, capsys, name, message):
    assert main([name, f"--manual_dir={tmp_path / 'absent'}", f"--data_dir={tmp_path}"]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--manual_dir=x", "--data_di=y"], "--data_dir"),
        (
            ["--manual_dir=x", "--data_dir=y", "--data_dir=z"],
            "--data_dir is given twice (y and z): give it once",
        ),
    ],
)
def test_options_are_written_out_and_given_once(capsys, options, message):
    with pytest.raises(SystemExit) as ended:
        main(["mll23", *options])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_help_needs_no_docstrings():
    """`python -OO` has none."""
    shown = subprocess.run(
        [sys.executable, "-OO", "-m", "data", "--help"], cwd=ROOT, capture_output=True, check=False
    )
    assert (shown.returncode, shown.stderr) == (0, b"")
