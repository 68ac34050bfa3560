"""The command line: from arguments to one command, from mistakes to one line and exit status 2."""

import argparse
import contextlib
import importlib
import io
import os
import re
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from absl import logging
from ml_collections import ConfigDict

from asae_jax import config as settings
from asae_jax import shipped
from asae_jax.commands import COMMANDS, Command
from asae_jax.errors import UserError, did_you_mean, one_line
from asae_jax.files import disk_fault, user_path
from asae_jax.run import model_folder

_USAGE = "asae [COMMAND] [--config=FILE|NAME] [--workdir=DIR] [--config.section.field=value ...]"
_EXIT_USER_ERROR = 2
_EXIT_INTERRUPTED = 130
_EXIT_READER_GONE = 141  # as of a program that SIGPIPE ends
_TENSORFLOW = {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "0"}
"""Whatever loads it first, such as TensorBoard's writer, it prints nothing; nor does oneDNN, unused here."""
_LIST = "list"
_NAMES = (*COMMANDS, _LIST)
_HELP = frozenset({"-h", "--help"})


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command line; returns the exit status.

    Mistakes of the user, a full or read-only disk and a device that is not there end with one line on
    standard error and status 2. What the console cannot show is written as escapes.

    Args:
      arguments: without the program's name; None: those of this process.
    """
    _open_closed_streams()
    _escape_what_consoles_lack()
    try:
        with (
            _quiet(),
            contextlib.redirect_stdout(_Harmless(sys.stdout)),
            contextlib.redirect_stderr(_Harmless(sys.stderr)),
        ):
            return _run(list(sys.argv[1:] if arguments is None else arguments))
    except BrokenPipeError:  # the reader of our output, `head` or `less`, has ended
        sys.stderr.close()
        name, options = _split_command(list(sys.argv[1:] if arguments is None else arguments))
        return 0 if name == _LIST or _wants_help(options) else _EXIT_READER_GONE
    except BaseException as error:
        said = _explained(error)
        if said is None:
            raise
        line, status = said
        print(line, file=sys.stderr)
        return status


def _explained(error: BaseException) -> tuple[str, int] | None:
    """The line that says what ended a command, and its exit status; None for a fault of the program."""
    if isinstance(error, UserError):
        return f"error: {error}", _EXIT_USER_ERROR
    if isinstance(error, KeyboardInterrupt):
        return "interrupted.", _EXIT_INTERRUPTED
    fault = _fault_of_the_machine(error) if isinstance(error, Exception) else None
    return None if fault is None else (f"error: {fault}.", _EXIT_USER_ERROR)


def _fault_of_the_machine(error: Exception) -> str | None:
    """What disk or device refused, with the remedy, where `error` comes from that."""
    if (fault := disk_fault(error)) is not None:
        return f"{fault}: free some space or mend the permissions, then start the same command again"
    if "jax" not in sys.modules or not isinstance(error, RuntimeError | AssertionError):
        return None
    return importlib.import_module("asae_jax.run.devices").device_fault()


def _open_closed_streams() -> None:
    """A scheduler may start programs without output: Python has no stream there, and the next file to be
    opened would take its number, by which libraries write their messages."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115


def _escape_what_consoles_lack() -> None:
    """Letters that the console's encoding lacks, and bytes of names that are not UTF-8, end no command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


class _Harmless:
    """A stream on which names of files cannot steer the terminal: their control characters are escaped.

    Line ends stay, and the carriage returns of progress bars.
    """

    def __init__(self, stream: Any):
        self._stream = stream

    def write(self, text: str) -> int:
        self._stream.write("".join(map(_harmless_piece, re.split(r"([\t\n\r]+)", text))))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _harmless_piece(text: str) -> str:
    return text if not text.strip("\t\n\r") else one_line(text)


def _run(arguments: list[str]) -> int:
    name, options = _split_command(arguments)
    if name == _LIST and (unknown := [option for option in options if option not in _HELP]):
        raise UserError(f"unexpected argument {unknown[0]!r} of {_LIST}: it takes none.")
    if name == _LIST or _wants_help(options):
        print(_listing() if name == _LIST else _parser(name).format_help() if name else _overview())
        return 0
    call = parse(arguments)
    if call.config.train.distributed != "none":
        return _run_on_all_hosts(call)
    return _run_here(call)


def _wants_help(options: Sequence[str]) -> bool:
    return bool(_HELP & set(options))


def _run_here(call: "Call") -> int:
    module, function = COMMANDS[call.name].function.split(":")
    if call.model is not None:
        model_folder.unpack(call.model, call.workdir)
    command = getattr(importlib.import_module(module), function)
    if "jax" in sys.modules:
        importlib.import_module("asae_jax.run.compile_cache").switch_on()
    return command(call.config, call.workdir)


def _run_on_all_hosts(call: "Call") -> int:
    """Joins the other hosts before anything uses JAX, and does this host's part of the command."""
    if not COMMANDS[call.name].on_hosts:
        raise UserError(f"`{call.name}` works on one host: give it --config.train.distributed=none.")
    hosts = importlib.import_module("asae_jax.run.hosts")
    hosts.start()
    config = settings.copy_with(call.config, {"train.distributed": "none"}).lock()
    own = {name: value for name, value in settings.flatten(config).items() if name not in _OF_A_HOST}

    def work() -> int:
        hosts.check_same("settings", {"command": call.name} | own)
        if call.model is not None:
            hosts.first(lambda: model_folder.unpack(call.model, call.workdir))
        return _run_here(call._replace(config=config, model=None))

    return hosts.run(work, _explained)


_OF_A_HOST = frozenset(
    {"data.path", "data.class_map", "data.cache", "data.cache_dir", "data.driver", "data.workers"}
)
"""Settings that may differ between hosts."""


class Call(NamedTuple):
    """What a command line asks for.

    Attributes:
      name: of the command.
      config: every setting.
      workdir: the run folder.
      model: the model folder that the run folder is to be made from; None without --model.
    """

    name: str
    config: ConfigDict
    workdir: Path
    model: Path | None = None


def parse(arguments: Sequence[str]) -> Call:
    """What a command line without the program's name asks for; nothing is written.

    Raises:
      UserError: anything that is not understood; the nearest names are given.
    """
    name, options = _split_command(list(arguments))
    name = name or "train"
    return _understood(name, _parser(name), options)


def _split_command(arguments: list[str]) -> tuple[str | None, list[str]]:
    """The command, or None where none is named, and the other arguments."""
    if arguments and not arguments[0].startswith("-"):
        name, *others = arguments
        if name == "help" and (not others or others[0] in ("help", "--help", "-h")):
            return None, ["--help"]
        if name == "help":
            name, others = others[0], ["--help"]
        if name not in _NAMES:
            raise UserError(
                f"unknown command {name!r}.{did_you_mean(name, _NAMES)} The commands are {', '.join(_NAMES)}."
            )
        return name, others
    for place, argument in enumerate(arguments):
        if argument in _NAMES and not _takes_next(arguments[place - 1]):
            return argument, arguments[:place] + arguments[place + 1 :]
    return None, arguments


def _takes_next(argument: str) -> bool:
    """Whether the argument is an option, of any command, whose value is the argument behind it.

    Those that are True or False are not: a value may follow them, but no name of a command is one.
    """
    if argument in ("--config", "--workdir", "--model"):
        return True
    sections = {command.section for command in COMMANDS.values()} - {""}
    short = {name for command in COMMANDS.values() for name in command.short}
    for field in settings.FIELDS:
        names = _option_names(field, short=field.section in sections or field.name in short)
        if argument in names and type(field.default) is not bool:
            return True
    return False


def _understood(name: str, parser: argparse.ArgumentParser, options: list[str]) -> Call:
    """What the options of command `name` ask for."""
    known, rest = parser.parse_known_args(options)
    if rest:
        raise UserError(_unknown(name, rest[0], parser))
    given = vars(known)
    file, workdir, model = given.pop("config"), given.pop("workdir"), given.pop("model", None)
    folder = None if model is None else model_folder.find(model)
    if file is None and (folder or workdir) and COMMANDS[name].of_a_run:
        of_run = folder or user_path(workdir)
        config = settings.read_run_config(of_run)
        _warn_of_refused_places(name, of_run / settings.CONFIG_FILE, given)
    elif file is None and COMMANDS[name].alone:
        config = settings.base_config()
    elif file is None:
        command = COMMANDS[name]
        missing = "--config=FILE" if not command.of_a_run else "--workdir=RUN"
        missing += " or --model=NAME" if command.of_a_run and not command.of_images else ""
        hint = "" if command.of_a_run else ", or --config=configs/quickstart.py in a checkout"
        raise UserError(
            f"{missing} is missing; for example `asae {name} {command.example}`{hint}. Usage: {_USAGE}"
        )
    else:
        recipe = _recipe_file(file)
        config = settings.load_recipe(recipe)
        if recipe.suffix.lower() == ".json":
            _warn_of_refused_places(name, recipe, given, "data.cache_dir")
    for field, value in given.items():
        settings.set_field(config, field, value)
    if file is not None and not workdir and user_path(file).suffix.lower() == ".json":
        raise UserError(
            f"--workdir=DIR is missing: settings of another run ({file}) are for a folder of their own. "
            f"Usage: {_USAGE}"
        )
    default = os.path.basename(os.path.abspath(folder)) if folder else Path(file or name).stem
    place = user_path(workdir) if workdir else Path("runs") / default
    _check_not_shipped(place, folder)
    return Call(name, config.lock(), place, folder)


def _warn_of_refused_places(name: str, file: Path, given: Mapping[str, Any], *others: str) -> None:
    """Says which places of a run's settings `file` are replaced by the default of command `name`.

    Args:
      name: of the command; its output is looked at.
      file: a `config.json`.
      given: settings of the command line, which count anyway.
      others: settings to look at besides. The cache is otherwise spoken of when it is used.
    """
    for field, place in settings.refused_places(file).items():
        if field in (f"{COMMANDS[name].section}.output", *others) and field not in given:
            why = "is not there" if field == "data.cache_dir" else "is not taken over from a file"
            default = settings.BY_NAME[field].place
            instead = f": the default takes its place ({default.partition(',')[0]})" if default else ""
            warnings.warn(
                f"{field}={place} in {file} {why}{instead}; another by --config.{field}=", stacklevel=1
            )


def _check_not_shipped(workdir: Path, model: Path | None) -> None:
    """Raises a UserError where results would be written into a model that is included."""
    for name, folder in shipped.models().items():
        if workdir.resolve() == folder.resolve():
            remedy = "leave --workdir out" if model else f"use it by --model={name}"
            raise UserError(f"{workdir} is the model {name} itself, which stays as it is: {remedy}.")


def _recipe_file(given: str) -> Path:
    """The file that `--config` names: a path, or the name of an included recipe."""
    path = user_path(given)
    if path.is_file():
        return path
    if path.suffix or len(path.parts) > 1:
        names = shipped.recipes()
        hint = f" (the included recipe {path.stem} is --config={path.stem})" if path.stem in names else ""
        raise UserError(f"configuration file not found: {given}{hint}; `asae list` shows the included ones.")
    return settings.recipe_file(given)


_ONE_EACH = frozenset(
    {"data.path", "eval.path", "audit.other", "adapt.labels", "slide.labels", "merge.reviewed"}
    | {field.name for field in settings.FIELDS if field.name.endswith(".input")}
)
"""Settings that name what is worked on: of two, one would be left out in silence."""


class Once(argparse.Action):
    """Stores a value, and refuses another one. Of other options the last counts: scripts add to them."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """As of any action of argparse."""
        before = getattr(namespace, self.dest, None)
        if before not in (None, self.default, values):
            parser.error(f"{option_string} is given twice ({before} and {values}): give it once")
        setattr(namespace, self.dest, values)


class _Parser(argparse.ArgumentParser):
    """Raises what the user did wrong instead of ending the process."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}. Usage: {_USAGE}")


def _parser(name: str) -> argparse.ArgumentParser:
    """All settings as options; those of other commands are understood but not shown."""
    command = COMMANDS[name]
    parser = _Parser(
        prog=f"asae {name}",
        usage=f"asae {name} {_needs(command)}[options]",
        description=f"{command.summary[0].upper()}{command.summary[1:]}. For research, not a diagnosis. "
        f"Example: asae {name} {command.example}",
        allow_abbrev=False,
        add_help=False,
        argument_default=argparse.SUPPRESS,
        formatter_class=_Formatter,
    )
    _add_places(parser, command)
    own_first = sorted(settings.SECTIONS, key=lambda section: section.name != command.section)
    for section in own_first:
        group = parser.add_argument_group(section.title)
        for field in settings.FIELDS:
            if field.section == section.name:
                shown = section.name in command.shown or field.name in command.shown
                short = section.name == command.section != "" or field.name in command.short
                _add_option(group, field, short=short, shown=shown)
    return parser


def _add_places(parser: argparse.ArgumentParser, command: Command) -> None:
    """Where settings, run and model are."""
    of_a_run = command.of_a_run
    parser.add_argument(
        "--config",
        default=None,
        action=Once,
        metavar="FILE|NAME",
        help="configuration file, or the name of an included recipe"
        + (", in place of the settings of the run in --workdir" if of_a_run else ""),
    )
    parser.add_argument(
        "--workdir",
        default=None,
        action=Once,
        metavar="RUN" if of_a_run else "DIR",
        help=argparse.SUPPRESS
        if command.alone
        else "folder of a run that was trained; results go there too"
        if of_a_run
        else "run folder, where the results go; default: runs/<name of the configuration>",
    )
    if of_a_run:
        parser.add_argument(
            "--model",
            default=None,
            action=Once,
            metavar="NAME|FOLDER",
            help=argparse.SUPPRESS
            if command.of_images
            else "in place of a run a trained model: the name of an included one (`asae list`), or a model "
            "folder; it is copied to --workdir (default: runs/NAME), where the results go",
        )


def _needs(command: Command) -> str:
    """What a command cannot do without, as its usage says it."""
    if command.alone:
        place = ""
    elif command.of_images:
        place = "--workdir=RUN"
    else:
        place = "--workdir=RUN|--model=NAME" if command.of_a_run else "--config=FILE|NAME"
    return "".join(f"{option} " for option in (place, command.needs) if option)


def _add_option(group: Any, field: settings.Field, *, short: bool, shown: bool) -> None:
    bare = field.name.rpartition(".")[2]
    names = _option_names(field, short=short)
    text = argparse.SUPPRESS if not shown else _described(field)
    kind = type(field.default)
    if kind is bool:
        group.add_argument(*names, dest=field.name, type=_boolean, nargs="?", const=True, help=text,
                           metavar="True|False")  # fmt: skip
        negated = [f"--no{bare}"] * short + [f"--noconfig.{field.name}"]
        group.add_argument(*negated, dest=field.name, action="store_false",
                           default=argparse.SUPPRESS, help=argparse.SUPPRESS)  # fmt: skip
    else:
        once = {"action": Once} if field.name in _ONE_EACH else {}
        group.add_argument(*names, dest=field.name, type=kind, help=text, metavar=_METAVARS[kind], **once)


def _option_names(field: settings.Field, *, short: bool) -> list[str]:
    """What sets a field: `--input`, if it has a short form, and `--config.predict.input`."""
    return [f"--{field.name.rpartition('.')[2]}"] * short + [f"--config.{field.name}"]


_METAVARS = {str: "TEXT", int: "N", float: "X"}


def _described(field: settings.Field) -> str:
    allowed = f" Allowed: {field.allowed()}." if field.allowed() else ""
    where = "section " if field.paper[:1].isdigit() else ""
    paper = f" Paper: {where}{field.paper}." if field.paper else ""
    default = "empty" if field.default == "" else field.default
    return f"{field.described}{allowed}{paper} Default: {default}.".replace("%", "%%")


def _boolean(text: str) -> bool:
    values = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if text.lower() not in values:
        raise argparse.ArgumentTypeError(f"{text!r} is neither True nor False")
    return values[text.lower()]


class _Formatter(argparse.HelpFormatter):
    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=6, width=110)


def _unknown(name: str, argument: str, parser: argparse.ArgumentParser) -> str:
    """What is wrong with an argument that the parser of command `name` does not know."""
    if not argument.startswith("-"):
        takes_input = f"{COMMANDS[name].section}.input" in settings.BY_NAME
        near = f" Did you mean --input={argument}?" if takes_input else ""
        return f"unexpected argument {argument!r} of {name}.{near} `asae {name} --help` lists its settings."
    option = argument.partition("=")[0]
    known = [text for action in parser._actions for text in action.option_strings]
    bare = option.rpartition(".")[2].lstrip("-")
    same_name = [f"--config.{field}" for field in settings.BY_NAME if field.rpartition(".")[2] == bare]
    near = f" Did you mean {' or '.join(same_name[:3])}?" if same_name else did_you_mean(option, known)
    return f"unknown option {option} of {name}.{near} `asae {name} --help` lists its settings."


def _overview() -> str:
    width = max(map(len, _NAMES))
    lines = [f"  {name:{width}}  {command.summary}" for name, command in COMMANDS.items()]
    lines.append(f"  {_LIST:{width}}  show models, networks, recipes, class maps and public data sets")
    return "\n".join(
        [
            "ASAE-Net: fine-grained classification of bone-marrow and blood cells. For research, not a "
            "diagnosis.",
            "",
            f"usage: {_USAGE}",
            "       (`asae` and `python main.py` are the same)",
            "",
            "commands (train when none is given):",
            *lines,
            "",
            "for example:",
            "  asae predict --model=blood11 --input=NEW_CELLS",
            f"  asae train {COMMANDS['train'].example}",
            "",
            "`asae COMMAND --help` lists a command's settings; its own have short forms, such as --input for",
            "--config.predict.input. `asae list` shows what --config, --model and others can name.",
        ]
    )


def _listing() -> str:
    recipes = [f"{name:22}{_first_line(file)}" for name, file in shipped.recipes().items()]
    prefixes = "se_: squeeze and excitation, nl_: non-local blocks, adl_: attention-based dropout"
    guide = shipped.data_folder() / "README.md"
    maps, sets = list(shipped.class_maps()), list(shipped.data_sets())
    trained = [
        f"{name:18}{_heading(folder).removeprefix(f'{name}: ')}" for name, folder in shipped.models().items()
    ]
    parts = {"trained models (--model=NAME, --config.init.pretrained=NAME)": trained} if trained else {}
    parts |= {
        f"networks (--config.model.name=); {prefixes}": list(settings.MODELS),
        "recipes (--config=)": recipes,
        "class maps (--config.data.class_map=); stages: of maturity, types: of cells": maps,
        f"public data sets (--config.data.source=tfds:NAME), prepared as {guide} says": sets,
    }
    return "\n\n".join(
        "\n".join([f"{title}:", *(f"  {entry}" for entry in entries)]) for title, entries in parts.items()
    )


def _heading(folder: Path) -> str:
    """The first heading of a model's card; without a card its network."""
    return model_folder.title(folder) or settings.read_run_config(folder).model.name


def _first_line(file: Path) -> str:
    return file.read_text(encoding="utf-8").lstrip('"').partition("\n")[0].rstrip('"')


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Warnings in one line each, and nothing of absl's and TensorFlow's logs.

    Orbax notes there checkpoints without a score, and a full disk with a traceback from each of its threads
    besides the error that it raises.
    """
    verbosity, hook = logging.get_verbosity(), sys.unraisablehook
    logging.set_verbosity(logging.FATAL)
    for name, value in _TENSORFLOW.items():
        os.environ.setdefault(name, value)
    sys.unraisablehook = lambda said: None if _of_a_closed_loop(said) else hook(said)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            yield
    finally:
        logging.set_verbosity(verbosity)
        sys.unraisablehook = hook


def _of_a_closed_loop(said: Any) -> bool:
    """Whether a thread of TensorStore found its loop closed: after an error that Orbax has raised already."""
    return isinstance(said.exc_value, RuntimeError) and "loop is closed" in str(said.exc_value)


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    print(f"warning: {one_line(str(message))}", file=sys.stderr)
