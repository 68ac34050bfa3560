"""The command line: from arguments to one command, from mistakes to one line and exit status 2."""

import contextlib
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

from absl import flags, logging
from ml_collections import ConfigDict, config_flags

from asae_jax.errors import UserError

COMMANDS = ("train", "evaluate", "audit")
_USAGE = "python main.py [COMMAND] --config=FILE [--workdir=DIR] [--config.field=value ...]"
_EXIT_USER_ERROR = 2


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


def _run(command: str, config: ConfigDict | None, workdir: Path) -> int:
    # Imported here so that a wrong command line is answered at once, before JAX has loaded.
    if command in ("train", "audit") and config is None:
        raise UserError(
            f"--config=FILE is missing; for example --config=configs/quickstart.py. Usage: {_USAGE}"
        )
    if command == "train":
        from asae_jax.training.loop import train

        return train(config, workdir)
    if command == "audit":
        from asae_jax.audit.command import audit

        return audit(config, workdir)
    from asae_jax.training.evaluate_command import evaluate_run

    return evaluate_run(config, workdir)


def _parse(arguments: list[str]) -> tuple[str, ConfigDict | None, Path]:
    values = flags.FlagValues()
    config = config_flags.DEFINE_config_file(
        "config",
        None,
        "Path of a configuration file.",
        flag_values=values,
        lock_config=True,
        sys_argv=arguments,
    )
    workdir = flags.DEFINE_string("workdir", None, "The run folder.", flag_values=values)
    wants_help = flags.DEFINE_boolean("help", False, "Show the usage.", flag_values=values, short_name="h")
    file = _config_file(arguments)
    if file is not None and not file.is_file():
        raise UserError(f"configuration file not found: {file}; see the folder configs/.")
    try:
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
    command = rest[0] if rest else "train"
    if command not in COMMANDS or len(rest) > 1:
        raise UserError(f"unknown command {' '.join(rest)!r}; the commands are {', '.join(COMMANDS)}.")
    return command, config.value, _workdir(workdir.value, file)


def _config_file(arguments: list[str]) -> Path | None:
    """The value of --config, as `--config=FILE` or `--config FILE`."""
    for argument, following in zip(arguments, [*arguments[1:], ""], strict=True):
        name, _, value = argument.lstrip("-").partition("=")
        if argument.startswith("-") and name == "config":
            return Path(value or following)
    return None


def _workdir(given: str | None, config_file: Path | None) -> Path:
    """The run folder: as given, or runs/<name of the configuration file>."""
    if given:
        return Path(given)
    if config_file is None:
        raise UserError(f"--config=FILE or --workdir=DIR is missing. Usage: {_USAGE}")
    return Path("runs") / config_file.stem


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
