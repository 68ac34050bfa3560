"""The command line: from arguments to one command, from mistakes to one line and exit status 2."""

import contextlib
import importlib
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from absl import flags, logging
from ml_collections import ConfigDict, config_flags

from asae_jax.errors import UserError

_USAGE = "python main.py [COMMAND] --config=FILE [--workdir=DIR] [--config.field=value ...]"
_EXIT_USER_ERROR = 2


class Command(NamedTuple):
    """Where a command is, and how its settings are given."""

    function: str
    """`module:function`, called with (configuration, run folder); imported only when it is run, so that a
    wrong command line is answered before JAX has loaded."""
    section: str = ""
    """Section of the configuration whose fields may be given without it: `--input=DIR` for
    `--config.predict.input=DIR`."""
    of_a_run: bool = False
    """Takes the configuration from the run folder where no --config is given."""


COMMANDS = {
    "train": Command("asae_jax.training.loop:train"),
    "evaluate": Command("asae_jax.training.evaluate_command:evaluate_run", "eval", of_a_run=True),
    "predict": Command("asae_jax.inference.predict.command:predict", "predict", of_a_run=True),
    "explain": Command("asae_jax.inference.explain.command:explain", "explain", of_a_run=True),
    "export": Command("asae_jax.inference.export.command:export", "export", of_a_run=True),
    "reproduce": Command("asae_jax.experiments.command:reproduce", "reproduce"),
    "audit": Command("asae_jax.audit.command:audit"),
}


def main(arguments: list[str]) -> int:
    """Runs the command in `arguments` (with the program's name first); returns the exit status.

    Mistakes of the user end with one line on standard error and status 2.
    """
    try:
        with _quiet():
            command, config, workdir = _parse(arguments)
            return _run(command, config, workdir)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return _EXIT_USER_ERROR
    except KeyboardInterrupt:
        print("interrupted.", file=sys.stderr)
        return 130


def _run(command: str, config: ConfigDict, workdir: Path) -> int:
    module, function = COMMANDS[command].function.split(":")
    return getattr(importlib.import_module(module), function)(config, workdir)


def _parse(arguments: list[str]) -> tuple[str, ConfigDict, Path]:
    """(command, configuration, run folder) of the arguments.

    Raises:
      UserError: anything that is not understood.
      SystemExit: help was asked for and given.
    """
    name = next((argument for argument in arguments[1:] if argument in COMMANDS), "train")
    arguments = _written_out(arguments, COMMANDS[name].section)
    file, folder = _given(arguments, "config"), _given(arguments, "workdir")
    values = flags.FlagValues()
    flags.DEFINE_string("workdir", None, "The run folder.", flag_values=values)
    wants_help = flags.DEFINE_boolean("help", False, "Show the usage.", flag_values=values, short_name="h")
    try:
        if file is None and folder and COMMANDS[name].of_a_run:
            config = _config_of_run(arguments, Path(folder), values)
        else:
            config = _config_from_file(arguments, file, values)
        rest = values(arguments)[1:]
    except flags.UnrecognizedFlagError as error:
        raise UserError(f"unknown option --{error.flagname}; usage: {_USAGE}") from error
    except (AttributeError, KeyError, TypeError, ValueError, flags.Error, SyntaxError, ImportError) as error:
        raise UserError(
            f"configuration: {_one_line(error)} See configs/default.py for the fields."
        ) from error
    if wants_help.value:
        print(f"usage: {_USAGE}\ncommands: {', '.join(COMMANDS)} (train when none is given)")
        raise SystemExit(0)
    if rest not in ([], [name]):
        raise UserError(f"unknown command {' '.join(rest)!r}; the commands are {', '.join(COMMANDS)}.")
    if config.value is None:
        raise UserError(
            f"--config=FILE is missing; for example --config=configs/quickstart.py. Usage: {_USAGE}"
        )
    return name, config.value, _workdir(folder, file)


def _config_from_file(arguments: list[str], file: str | None, values: flags.FlagValues) -> flags.FlagHolder:
    if file is not None and not Path(file).is_file():
        raise UserError(f"configuration file not found: {file}; see the folder configs/.")
    return config_flags.DEFINE_config_file(
        "config",
        None,
        "Path of a configuration file.",
        flag_values=values,
        lock_config=True,
        sys_argv=arguments,
    )


def _config_of_run(arguments: list[str], workdir: Path, values: flags.FlagValues) -> flags.FlagHolder:
    """Settings of the run in `workdir`; what has been added since it was trained has its default."""
    from asae_jax.training.run_folder import complete_config

    return config_flags.DEFINE_config_dict(
        "config", complete_config(workdir), flag_values=values, lock_config=True, sys_argv=arguments
    )


def _written_out(arguments: list[str], section: str) -> list[str]:
    """The arguments with `--FIELD` of the command's section as `--config.SECTION.FIELD`."""
    if not section:
        return arguments
    from configs import default

    fields = default.get_config()[section].keys()
    written = []
    for argument in arguments:
        name, equals, value = argument.lstrip("-").partition("=")
        negated = name.removeprefix("no")  # --nopage for --page=False, as flags have it
        if argument.startswith("--") and name in fields:
            argument = f"--config.{section}.{name}{equals}{value}"
        elif argument.startswith("--no") and negated in fields:
            argument = f"--noconfig.{section}.{negated}"
        written.append(argument)
    return written


def _given(arguments: list[str], flag: str) -> str | None:
    """The value of a flag, as `--flag=value` or `--flag value`."""
    for argument, following in zip(arguments, [*arguments[1:], ""], strict=True):
        name, _, value = argument.lstrip("-").partition("=")
        if argument.startswith("-") and name == flag:
            return value or following
    return None


def _workdir(given: str | None, config_file: str | None) -> Path:
    """The run folder: as given, or runs/<name of the configuration file>."""
    if given:
        return Path(given)
    if config_file is None:
        raise UserError(f"--config=FILE or --workdir=DIR is missing. Usage: {_USAGE}")
    return Path("runs") / Path(config_file).stem


def _one_line(error: Exception) -> str:
    text = " ".join(str(error.args[0] if error.args else error).split())
    return text if text.endswith((".", "!", "?")) else text + "."


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Warnings in one line each; of absl's log the errors only (Orbax notes checkpoints without a score)."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            yield
    finally:
        logging.set_verbosity(verbosity)


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    print(f"warning: {message}", file=sys.stderr)
