"""The command line as a user meets it: mistakes end with one line on standard error and status 2."""

import contextlib
import errno
import importlib
import json
import os
import subprocess
import sys
import types
from pathlib import Path

import pytest

from asae_jax import cli
from asae_jax import config as settings
from tests.made_runs import random_model
from tests.training.tiny import tiny_config

ROOT = Path(__file__).resolve().parent.parent
CONFIG = f"--config={ROOT / 'configs' / 'quickstart.py'}"

SETTINGS = json.dumps(settings.base_config().to_dict())
"""Of a run that has the defaults."""


def _fails(capsys, *arguments):
    assert cli.main(arguments) == 2
    captured = capsys.readouterr()
    lines = captured.err.strip().splitlines()
    assert len(lines) == 1, captured.err
    assert lines[0].startswith("error: ")
    return lines[0]


@pytest.mark.parametrize(
    ("arguments", "name", "workdir", "path"),
    [
        (["--config", "own_cells", "--config.data.path", "train", "--workdir", "x"], "train", "x", "train"),
        (["--config=own_cells", "--workdir", "audit"], "train", "audit", ""),
        (["--workdir", "export", "train", "--config=own_cells"], "train", "export", ""),
        (["--workdir", "export", "--config", "own_cells", "audit"], "audit", "export", ""),
        (["--config=own_cells", "--config.data.unseen", "audit", "--workdir=x"], "audit", "x", ""),
    ],
)
def test_the_value_of_an_option_is_not_taken_for_the_command(arguments, name, workdir, path):
    call = cli.parse([*arguments, "--config.data.source=folder"])
    assert (call.name, call.workdir, call.config.data.path) == (name, Path(workdir), path)


@pytest.mark.parametrize("option", ["--input", "--name", "--formats", "--model"])
def test_the_value_of_a_short_option_is_not_taken_for_the_command(capsys, option):
    """So that no command is named, `train` is asked, which has no such option."""
    assert f"{option} of train." in _fails(capsys, option, "export")


@pytest.mark.parametrize("arguments", [["--help", "train"], ["train", "--help"], ["-h", "train"]])
def test_help_may_stand_before_and_behind_the_command(capsys, arguments):
    assert cli.main(arguments) == 0
    assert "usage: asae train" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["cut", "slide", "agreement"])
def test_the_usage_names_what_a_command_cannot_do_without(capsys, command):
    needed = cli.COMMANDS[command].needs.split()
    assert cli.main([command, "--help"]) == 0
    assert f"usage: asae {command} {' '.join(needed)} [options]\n" in capsys.readouterr().out
    for missing in needed:
        assert missing.split("=")[0] in _fails(capsys, command, *(one for one in needed if one != missing))


@pytest.mark.parametrize("arguments", [["list", "--foo"], ["list", "quickstart"], [CONFIG, "list"]])
def test_list_refuses_what_it_does_not_take(capsys, arguments):
    assert "of list: it takes none" in _fails(capsys, *arguments)


@pytest.mark.parametrize("word", ["nonsense", "trian", "evaluat"])
def test_help_of_an_unknown_command_lists_the_commands(capsys, word):
    assert cli.main(["help", word]) == 2
    assert f"unknown command {word!r}." in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["help"], ["help", "help"], ["help", "--help"], ["--help"]])
def test_help_of_help_is_the_overview(capsys, arguments):
    with contextlib.suppress(SystemExit):
        cli.main(arguments)
    assert "reproduce" in capsys.readouterr().out


def test_unknown_command_lists_the_commands(capsys):
    assert "train, evaluate" in _fails(capsys, "fly", CONFIG)


def test_missing_config_names_one(capsys):
    assert "configs/quickstart.py" in _fails(capsys, "train", "--workdir=somewhere")


def test_nothing_at_all_shows_the_usage(capsys):
    assert "--config=FILE" in _fails(capsys)


def test_config_file_that_does_not_exist(capsys):
    assert "nowhere.py" in _fails(capsys, "--config=nowhere.py")


@pytest.mark.parametrize("option", ["--config.train.epoch=3", "--config.trian.epochs=3"])
def test_unknown_field_is_named(capsys, option):
    line = _fails(capsys, CONFIG, option)
    assert option.split("=")[0].split(".")[-1] in line or option.split(".")[1] in line


def test_wrong_type_is_named(capsys):
    line = _fails(capsys, CONFIG, "--config.train.epochs=many")
    assert "epochs" in line
    assert "many" in line


def test_unknown_option(capsys):
    assert "--speed" in _fails(capsys, CONFIG, "--speed=fast")


def test_missing_data_folder(capsys, tmp_path):
    line = _fails(capsys, CONFIG, "--config.data.source=folder", f"--config.data.path={tmp_path / 'no'}",
                  f"--workdir={tmp_path / 'run'}")  # fmt: skip
    assert str(tmp_path / "no") in line


def test_folder_source_without_a_path(capsys, tmp_path):
    line = _fails(capsys, CONFIG, "--config.data.source=folder", f"--workdir={tmp_path / 'run'}")
    assert "--config.data.path=DIR" in line


def test_batch_size_that_classes_do_not_divide(capsys, tmp_path):
    """With 8 devices and 11 classes a batch must be a multiple of 88."""
    line = _fails(capsys, CONFIG, "--config.train.batch_size=110", f"--workdir={tmp_path / 'run'}")
    assert "11 classes and 8 devices" in line
    assert "88 or 176" in line


def test_the_settings_of_a_run_start_another_in_a_folder_of_its_own(capsys, tmp_path):
    file = tmp_path / "config.json"
    file.write_text(json.dumps(tiny_config(train__epochs=7).to_dict()))
    call = cli.parse([f"--config={file}", f"--workdir={tmp_path / 'next'}", "--config.seed=3"])
    assert (call.config.train.epochs, call.config.seed) == (7, 3)
    assert "--workdir=DIR is missing" in _fails(capsys, f"--config={file}")


def test_settings_of_another_run_that_do_not_exist_are_refused(capsys, tmp_path):
    file = tmp_path / "config.json"
    content = tiny_config().to_dict()
    content["predict"]["lineages"] = "as.csv"  # was removed, and is ignored
    file.write_text(json.dumps(content))
    cli.parse([f"--config={file}", f"--workdir={tmp_path / 'next'}"])
    content["train"]["epoch"] = 3
    file.write_text(json.dumps(content))
    line = _fails(capsys, f"--config={file}", f"--workdir={tmp_path / 'next'}")
    assert f"config.train.epoch in {file} does not exist. Did you mean --config.train.epochs" in line


def _write_settings(folder, **changes):
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(tiny_config(**changes).to_dict()))
    return folder / "config.json"


def test_an_output_that_a_run_names_is_not_taken_over_in_silence(tmp_path):
    file = _write_settings(tmp_path / "run", predict__output="/tmp/elsewhere.csv", embed__output="/tmp/e.npz")
    with pytest.warns(UserWarning, match=r"predict.output=/tmp/elsewhere.csv in .*RUN/predictions") as said:
        assert cli.parse(["predict", f"--workdir={file.parent}"]).config.predict.output == ""
    assert len(said) == 1  # what `embed` would do does not matter here
    cli.parse(["predict", f"--workdir={file.parent}", "--output=mine.csv"])  # warnings are errors


def test_a_cache_that_the_settings_of_another_run_name_is_not_dropped_in_silence(tmp_path):
    gone = tmp_path / "gone"
    file = _write_settings(tmp_path / "run", data__cache_dir=str(gone))
    command = [f"--config={file}", f"--workdir={tmp_path / 'next'}"]
    with pytest.warns(UserWarning, match=f"cache_dir={gone} in .* is not there: .*`cache` beside the run"):
        assert cli.parse(command).config.data.cache_dir == ""
    cli.parse([*command, f"--config.data.cache_dir={tmp_path / 'mine'}"])
    cli.parse(["predict", f"--workdir={file.parent}"])  # which uses no cache
    gone.mkdir()
    assert cli.parse(command).config.data.cache_dir == str(gone)


def test_evaluate_without_a_run(capsys, tmp_path):
    assert "train first" in _fails(capsys, "evaluate", f"--workdir={tmp_path}")


def test_a_short_name_of_another_command_is_unknown(capsys):
    assert "--test_mode" in _fails(capsys, "train", CONFIG, "--test_mode=mean")


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_is_there(name):
    module, function = cli.COMMANDS[name].function.split(":")
    assert callable(getattr(importlib.import_module(module), function))


def test_help_and_errors_of_the_script_itself(tmp_path):
    """Through main.py, in a process of its own, from another folder."""
    script = [sys.executable, str(ROOT / "main.py")]
    shown = subprocess.run([*script, "--help"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert shown.returncode == 0
    assert "usage: asae" in shown.stdout
    wrong = subprocess.run([*script, "--oops"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert wrong.returncode == 2
    assert wrong.stderr.count("\n") == 1


def test_a_field_that_the_run_s_configuration_does_not_have_is_named(capsys, tmp_path):
    (tmp_path / "config.json").write_text(SETTINGS)
    assert "speed" in _fails(capsys, "predict", f"--workdir={tmp_path}", "--config.predict.speed=fast")


@pytest.fixture
def called(monkeypatch):
    """What commands are called with, in the place of running them."""
    seen = []

    def run(config, workdir):
        seen.append((config, workdir))
        return 0

    command = cli.COMMANDS["predict"]._replace(function=f"{__name__}:run")
    monkeypatch.setitem(cli.COMMANDS, "predict", command)
    monkeypatch.setitem(sys.modules, __name__, types.SimpleNamespace(run=run))
    return seen


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--input=cells", "--nopage"], ("cells", False)),
        (["--input", "cells", "--page=False"], ("cells", False)),
        (["--config.predict.input=a", "--page"], ("a", True)),
        (["--input", "-", "--noconfig.predict.page"], ("-", False)),
    ],
)
def test_short_names_set_the_fields_of_the_command_s_section(tmp_path, called, options, expected):
    (tmp_path / "config.json").write_text(SETTINGS)
    assert cli.main(["predict", f"--workdir={tmp_path}", *options]) == 0
    ((config, workdir),) = called
    assert (config.predict.input, config.predict.page) == expected
    assert workdir == tmp_path


def test_a_recipe_may_be_given_by_its_name_and_home_is_expanded(called, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert (
        cli.main(["predict", "--config=quickstart", "--workdir=~/run", "--config.data.test_fraction=0"]) == 0
    )
    ((config, workdir),) = called
    assert config.model.name == "efficientnet_lite0"
    assert config.data.test_fraction == 0.0
    assert workdir == tmp_path / "run"


@pytest.mark.parametrize(
    ("arguments", "nearest"),
    [
        (["evalute"], "evaluate"),
        (["--config=quikstart"], "quickstart"),
        ([CONFIG, "--config.train.epoch=3"], "--config.train.epochs"),
        ([CONFIG, "--config.trian.epochs=3"], "--config.train.epochs"),
        ([CONFIG, "--epochs=3"], "--config.train.epochs"),
        (["train", CONFIG, "--input=cells"], "--config.predict.input"),
        (["predict", "--workdir=x", "--inptu=cells"], "--input"),
    ],
)
def test_what_is_misspelt_is_answered_with_the_nearest(capsys, arguments, nearest):
    assert f"Did you mean {nearest}" in _fails(capsys, *arguments)


@pytest.mark.parametrize("name", ["predict", "explain", "embed", "adapt", "export"])
def test_help_offers_nothing_that_acts_in_training_alone(name, capsys):
    assert cli.main([name, "--help"]) == 0
    shown = capsys.readouterr().out
    assert "--config.eval.checkpoint" in shown
    assert "select_by" not in shown


def test_help_of_a_command_lists_its_settings_with_default_and_meaning(capsys):
    assert cli.main(["predict", "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    for field in settings.FIELDS:
        if field.section == "predict":
            assert f"--config.{field.name}" in text
            assert " ".join(field.described.split()) in text
    assert "--config.train.epochs" not in text
    assert "Default: 5000" in text


@pytest.fixture
def model(monkeypatch, tmp_path):
    """The folder of an included model `blood3`; it is used from the folder `tmp_path`."""
    place = tmp_path / "data" / "models" / "blood3"
    random_model(place, tiny_config(augment__size=16, model__width=4), ("BLA", "EBO", "NGS"))
    monkeypatch.setattr(cli.shipped, "data_folder", lambda: tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    return place


@pytest.mark.parametrize("name", [name for name, command in cli.COMMANDS.items() if command.of_a_run])
def test_a_model_s_settings_are_taken_and_parsing_writes_nothing(model, name):
    call = cli.parse([name, "--model=blood3", "--config.eval.batch_size=3"])
    assert (call.name, call.workdir, call.model) == (name, Path("runs/blood3"), model)
    assert (call.config.model.width, call.config.eval.batch_size) == (4, 3)
    assert not Path("runs").exists()


def test_a_model_is_copied_to_the_run_folder_before_the_command_is_called(model, called):
    assert cli.main(["predict", "--model=blood3", "--input=a"]) == 0
    assert cli.main(["predict", f"--model={model}", "--workdir=mine"]) == 0
    assert [workdir for _, workdir in called] == [Path("runs/blood3"), Path("mine")]
    for workdir in ("runs/blood3", "mine"):
        assert (Path(workdir) / "weights.safetensors").exists()
    assert cli.main(["predict", "--workdir=runs/blood3"]) == 0  # from now on it is a run like any other


def test_nothing_is_copied_where_the_command_line_is_wrong(model, capsys):
    assert "Did you mean --input" in _fails(capsys, "predict", "--model=blood3", "--inptu=a")
    assert "Did you mean blood3" in _fails(capsys, "predict", "--model=blod3")
    assert "--model of train" in _fails(capsys, "train", "--config=quickstart", "--model=blood3")
    assert not Path("runs").exists()


@pytest.mark.parametrize("arguments", [["--model="], ["--model", "", "--workdir=x"]])
def test_a_model_without_a_name_is_not_the_folder_that_one_works_in(model, capsys, monkeypatch, arguments):
    monkeypatch.chdir(model)
    assert "--model= names no model" in _fails(capsys, "predict", *arguments, "--input=a")


@pytest.mark.parametrize("given", [".", "../blood3", "../blood3/"])
def test_the_run_folder_of_a_model_has_the_name_of_its_folder(model, monkeypatch, given):
    monkeypatch.chdir(model)
    assert cli.parse(["predict", f"--model={given}"]).workdir == Path("runs/blood3")


def test_results_are_not_written_into_an_included_model(model, capsys):
    assert "use it by --model=blood3" in _fails(capsys, "predict", f"--workdir={model}")
    assert "leave --workdir out" in _fails(capsys, "predict", f"--workdir={model}", "--model=blood3")


def test_list_shows_included_models_first_with_the_heading_of_their_card(model, capsys):
    assert cli.main(["list"]) == 0
    assert "  blood3            resnet18\n" in capsys.readouterr().out
    (model / "README.md").write_text("---\nlicense: mit\n---\n\n# Eleven classes of blood cells\n\n# More\n")
    assert cli.main(["list"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[:2] == [
        "trained models (--model=NAME, --config.init.pretrained=NAME):",
        "  blood3            Eleven classes of blood cells",
    ]


def test_list_shows_models_recipes_class_maps_and_public_sets(capsys):
    assert cli.main(["list"]) == 0
    shown = capsys.readouterr().out
    for name in ("resnet50", "quickstart", "stages/bm_cytomorphology", "bm_cytomorphology", "mll23"):
        assert name in shown


def test_help_and_the_package_itself_load_neither_jax_nor_tensorflow_nor_matplotlib():
    code = (
        "import sys, asae_jax, asae_jax.cli\n"
        "assert asae_jax.cli.main(['train', '--help']) == asae_jax.cli.main(['list']) == 0\n"
        "loaded = {'jax', 'flax', 'tensorflow', 'matplotlib', 'cv2', 'scipy'} & set(sys.modules)\n"
        "sys.exit(f'loaded: {loaded}' if loaded else 0)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8", "cp1252"])
def test_what_the_console_cannot_show_is_written_as_escapes(monkeypatch, tmp_path, encoding):
    """Chinese, and the byte of a Latin-1 file name, which not even UTF-8 can show."""
    (tmp_path / "config.json").write_text(SETTINGS)
    shown = tmp_path / "shown"
    with shown.open("w", encoding=encoding) as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        _command(monkeypatch, lambda config, workdir: print("淋巴 caf\udce9") or 0)
        assert cli.main(["predict", f"--workdir={tmp_path}"]) == 0
    text = shown.read_text(encoding=encoding)
    assert text == ("淋巴" if encoding == "utf-8" else r"\u6dcb\u5df4") + " caf\\udce9\n"


def _raises(error):
    def run(config, workdir):
        raise error

    return run


def _command(monkeypatch, run):
    """`predict` calls `run(config, workdir)`."""
    command = cli.COMMANDS["predict"]._replace(function=f"{__name__}:run")
    monkeypatch.setitem(cli.COMMANDS, "predict", command)
    monkeypatch.setitem(sys.modules, __name__, types.SimpleNamespace(run=run))


_FAULTS = {
    "full": OSError(errno.ENOSPC, "No space left on device", "scores.json"),
    "over quota": OSError(errno.EDQUOT, "Disk quota exceeded"),
    "read-only": OSError(errno.EROFS, "Read-only file system", "run/x"),
    "not allowed": PermissionError(errno.EACCES, "Permission denied", "run/x"),
    "name too long": OSError(errno.ENAMETOOLONG, "File name too long", "x" * 300),
    "a library's": ValueError("RESOURCE_EXHAUSTED: Failed to write 4 bytes: No space left on device [28]"),
}


@pytest.mark.parametrize("error", _FAULTS.values(), ids=_FAULTS)
def test_a_fault_of_the_disk_is_one_line_wherever_it_comes_from(monkeypatch, tmp_path, capsys, error):
    (tmp_path / "config.json").write_text(SETTINGS)
    _command(monkeypatch, _raises(error))
    line = _fails(capsys, "predict", f"--workdir={tmp_path}")
    assert "mend the permissions" in line
    if getattr(error, "filename", None):
        assert f"({error.filename})" in line


@pytest.mark.parametrize("error", [FileNotFoundError(errno.ENOENT, "none"), KeyError("x"), RuntimeError("y")])
def test_a_fault_of_the_program_keeps_its_traceback(monkeypatch, tmp_path, error):
    (tmp_path / "config.json").write_text(SETTINGS)
    _command(monkeypatch, _raises(error))
    with pytest.raises(type(error)):
        cli.main(["predict", f"--workdir={tmp_path}"])


@pytest.mark.parametrize("platform", ["cuda", "nonsense"])
def test_a_device_that_is_not_there_is_one_line(tmp_path, platform):
    """In a process of its own, as JAX runs here already."""
    shown = subprocess.run(
        [sys.executable, str(ROOT / "main.py"), "train", CONFIG, f"--workdir={tmp_path / 'run'}"],
        env={**os.environ, "JAX_PLATFORMS": platform}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert shown.returncode == 2, shown.stderr
    assert (
        shown.stderr.strip()
        .splitlines()[-1]
        .startswith(f"error: JAX cannot start with JAX_PLATFORMS={platform}")
    )
    assert "Traceback" not in shown.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "option",
    [
        "--config.seed=-1",
        "--config.seed=4294967296",
        "--config.seed=12345678901234567890",
        "--config.data.split_seed=12345678901234567890",
        "--config.data.synthetic_seed=-3",
        "--config.augment.jpeg=0.5",
        "--config.train.batch_size=12345678901234567890",
        "--config.eval.bootstrap=99999999999999999999999",
        "--config.eval.name=a/b",
        "--config.eval.name=..",
        "--config.eval.name=a\\b",
        "--config.eval.name=C:name",
        "--config.eval.name=two\nlines",
        f"--config.eval.name={'x' * 101}",
    ],
)
def test_values_that_end_badly_later_are_refused_first(capsys, tmp_path, option):
    line = _fails(capsys, "train", CONFIG, f"--workdir={tmp_path / 'run'}", option)
    assert line.startswith(f"error: {option[2:].partition('=')[0]}=")
    assert "cannot be used" in line
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["Aachen 2024", "labor_b-2.final", "Großhadern", "实验室"])
def test_names_that_files_can_have_are_accepted(name):
    config = settings.base_config()
    config.eval.name, config.seed = name, 2**32 - 1
    settings.check(config)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("--input=a", "--input=b"),
        ("--input=a", "--config.predict.input=b"),
        ("--model=blood11", "--model=marrow8"),
        ("--config.data.path=a", "--config.data.path=b"),
        ("--workdir=a", "--workdir=b"),
    ],
)
def test_two_of_what_is_worked_on_are_refused(capsys, first, second):
    assert "is given twice" in _fails(capsys, "predict", first, second)


def test_of_other_options_the_last_counts(called, tmp_path):
    """Scripts add to what they were given; the same input twice is one."""
    (tmp_path / "config.json").write_text(SETTINGS)
    options = ["--page_cells=3", "--input=a", "--config.predict.page_cells=5", "--input=a"]
    assert cli.main(["predict", f"--workdir={tmp_path}", *options]) == 0
    ((config, _),) = called
    assert (config.predict.input, config.predict.page_cells) == ("a", 5)


@pytest.mark.skipif(os.name == "nt", reason="a shell that closes streams")
@pytest.mark.parametrize(
    ("closed", "status"), [(">&-", 0), ("2>&-", 0), ("<&- >&- 2>&-", 0), ("2>&- --oops", 2)]
)
def test_programs_without_output_work_as_others(closed, status):
    command = f'"{sys.executable}" -m asae_jax list {closed}'
    found = subprocess.run(command, shell=True, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (found.returncode, found.stderr) == (status, "")


@pytest.mark.parametrize(("arguments", "status"), [(("list",), 0), (("--help",), 0), ((CONFIG,), 141)])
def test_a_command_whose_reader_has_gone_is_not_said_to_be_done(monkeypatch, arguments, status):
    """`train | head`: whatever was to follow a finished training must not follow it."""

    def gone(*_):
        raise BrokenPipeError

    monkeypatch.setattr(cli, "_run", gone)
    monkeypatch.setattr(sys, "stderr", types.SimpleNamespace(close=lambda: None, write=lambda _: 0))
    assert cli.main(arguments) == status
