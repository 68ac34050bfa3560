"""Whole commands on hostile folders, names, lists, models and settings, and a look at what they wrote.

Beside what `pool` notices, an input fails where the console gets a control character, a page holds markup of
a name, or a CSV file a cell that a spreadsheet would take for a formula.
"""

import contextlib
import csv
import importlib
import io
import json
import os
import pathlib
import re
import shutil
import socket
from collections.abc import Callable, Sequence

from asae_jax.cli import main
from asae_jax.csv_cells import guarded, unguarded
from asae_jax.errors import one_line
from benchmarks.hostile.bombs import makers
from benchmarks.hostile.images import sound_files
from benchmarks.hostile.pool import Refused
from tests.made_runs import random_model
from tests.training.tiny import tiny_config

PATIENCE = 30.0

Command = list[str]
_HTML = "<script>alert(1)</script><img src=x onerror=alert(1)>"
_NAMES = (
    b"a\nerror: all is lost", b"\x1b[2J\x1b]0;owned\x07", "\u202egpj.exe".encode(), b"\xff\xfe\xe4", b"-rf",
    b"--help", b"=cmd|' C calc'!A0", b"@SUM(1)", _HTML.replace("/", "\u2215").encode(), b"'\"`$(touch x)`",
    b"x" * 240, b"%s%n{}{0}", b"...", b" ", b"CON", "e\u0301\u200d\U0001f9eb".encode(), b"a,b;c\td",
    b"<title><svg onload=alert(1)",
)  # fmt: skip
_CLASSES = (
    "A",
    _HTML,
    "=1+1",
    "@x(1)",
    "'; DROP TABLE cells; --",
    "{{7*7}}",
    "\\frac{$",
    "\u5de8\u6838\u7ec6\u80de",
)


def prepare(folder: pathlib.Path) -> None:
    """Makes a tiny model whose classes have hostile names, and one with plain ones."""
    os.environ["XDG_CACHE_HOME"] = str(folder / "cache")  # compiled programs: not of these inputs
    os.environ["JAX_ENABLE_COMPILATION_CACHE"] = "false"
    os.environ["MPLCONFIGDIR"] = str(folder / "matplotlib")
    importlib.import_module("matplotlib.font_manager")  # it writes there what fonts there are
    if not (folder / "model").exists():
        random_model(folder / "model", tiny_config(data__hue="none"), _CLASSES)
        random_model(folder / "plain", tiny_config(data__hue="none"), ("A", "B", "C"))


def attempt(number: int, seed: int, folder: pathlib.Path) -> Callable[[], None]:
    """Makes the files of case `number`; what is given runs its command and looks at what it wrote."""
    arguments = CASES[number](folder)
    return lambda: _run(arguments, folder)


def _run(arguments: Command, folder: pathlib.Path) -> None:
    out, err = io.StringIO(), io.StringIO()
    before = os.getcwd()
    os.chdir(folder)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = main(arguments)
    finally:
        os.chdir(before)
    for line in re.split("[\n\r]", out.getvalue() + err.getvalue()):
        if one_line(line.replace("\t", " ")) != line.replace("\t", " "):
            raise AssertionError(f"control characters on the console: {line!r}")
    for path in folder.rglob("*"):
        if path.suffix in (".html", ".csv") and path.is_file() and "given" not in path.parts:
            _look_at(path)
    if status == 2:
        said = err.getvalue().strip().split("\n")[-1]
        raise Refused(said if said.startswith("error: ") else f"\0no error line: {said}")
    if status:
        raise AssertionError(f"exit status {status}")


def _look_at(path: pathlib.Path) -> None:
    text = path.read_text(encoding="utf-8", errors="surrogateescape")
    if path.suffix == ".html":
        found = re.search(r"<script>alert|<img src=x|<svg onload", text)
        if found:
            raise AssertionError(
                f"markup of a name in {path.name}: {text[found.start() - 80 : found.end() + 80]!r}"
            )
    else:
        for row in csv.reader(io.StringIO(text)):
            for cell in row:
                if guarded(unguarded(cell)) != cell:
                    raise AssertionError(f"a formula in {path.name}: {cell!r}")


def _cells(folder: pathlib.Path, names: Sequence[bytes] = (), *, classes: bool = False) -> pathlib.Path:
    """A folder `given` of sound cells, and others under hostile names or in classes of such names."""
    place = folder / "given"
    for number in range(6):
        own = place / f"class{number % 2}"
        own.mkdir(parents=True, exist_ok=True)
        (own / f"{number}.png").write_bytes(_sound(number))
    for number, name in enumerate(names):
        path = os.fsencode(place) + b"/" + (name if classes else b"class0")
        os.makedirs(path, exist_ok=True)
        for copy in range(2 if classes else 1):
            with open(path + b"/" + (b"%d.png" % copy if classes else name + b".png"), "wb") as file:
                file.write(_sound(10 + 2 * number + copy))
    return place


def _sound(number: int) -> bytes:
    return sound_files()[5][1] + b"%d" % number


def _predict(folder: pathlib.Path, given: pathlib.Path | str, model: str = "model", *more: str) -> Command:
    return [
        "predict",
        f"--model={folder.parent / model}",
        f"--workdir={folder / 'run'}",
        f"--input={given}",
        *more,
    ]


def _specials(folder: pathlib.Path) -> pathlib.Path:
    place = _cells(folder)
    own = place / "class0"
    os.mkfifo(own / "fifo.png")
    (own / "zero.png").symlink_to("/dev/zero")
    (own / "random.png").symlink_to("/dev/urandom")
    (own / "tty.png").symlink_to("/dev/tty")
    (own / "self.png").symlink_to("self.png")
    (own / "up.png").symlink_to("..")
    (own / "loop").symlink_to("../..")
    (own / "nothing.png").symlink_to("/nowhere/at/all")
    (own / "proc.png").symlink_to("/proc/self/mem")
    (own / "folder.png").mkdir()
    (own / "locked.png").write_bytes(b"")
    (own / "locked.png").chmod(0)
    before = os.getcwd()
    os.chdir(own)  # names of sockets may have 107 bytes
    server = socket.socket(socket.AF_UNIX)
    with contextlib.suppress(OSError):
        server.bind("socket.png")
    server.close()
    os.chdir(before)
    return place


def _bombs(folder: pathlib.Path) -> pathlib.Path:
    place = _cells(folder)
    for number in (0, 8, 30, 60, 120, 331, 336, 343, 405, len(makers) - 1):
        makers[number](place / "class1" / f"bomb{number}.png")
    return place


def _changed_model(folder: pathlib.Path, **changes: object) -> Command:
    own = folder / "model"
    shutil.copytree(folder.parent / "plain", own)
    config = json.loads((own / "config.json").read_text())
    for name, value in changes.items():
        section, field = name.split("__")
        config[section][field] = value
    (own / "config.json").write_text(json.dumps(config))
    return ["predict", f"--model={own}", f"--workdir={folder / 'run'}", f"--input={_cells(folder)}"]


def _linked_run(folder: pathlib.Path, name: str, to: str) -> Command:
    run = folder / "run"
    shutil.copytree(folder.parent / "plain", run)
    (run / name).parent.mkdir(exist_ok=True)
    (folder.parent / "precious").mkdir(exist_ok=True)
    (run / name).symlink_to(folder.parent / "precious" / to)
    return ["predict", f"--workdir={run}", f"--input={_cells(folder)}"]


def _list(folder: pathlib.Path, text: str) -> pathlib.Path:
    place = _cells(folder) / "list.csv"
    place.write_text(text, encoding="utf-8", errors="surrogatepass")
    return place


def _label_list(folder: pathlib.Path) -> pathlib.Path:
    rows = [f"class{n % 2}/{n}.png,{_CLASSES[n % 4].replace(',', '')},<b>{n}</b>,yes" for n in range(6)]
    return _list(folder, "path,label,reviewer,seen\n" + "\n".join(rows) + "\n")


def _audit(
    folder: pathlib.Path, path: pathlib.Path, source: str = "folder", command: str = "audit"
) -> Command:
    recipe = ["--config=quickstart"] if command == "train" else []
    where = [f"--config.data.source={source}", f"--config.data.path={path}"]
    return [command, *recipe, f"--workdir={folder / 'run'}", *where]


def _of_model(folder: pathlib.Path, command: str, *more: str) -> Command:
    return [command, f"--model={folder.parent / 'model'}", f"--workdir={folder / 'run'}", *more]


def _with(folder: pathlib.Path, option: str) -> Command:
    return _predict(folder, _cells(folder), "plain", option)


def _lines(first: str, *rows: str) -> str:
    return "\n".join((first, *rows)) + "\n"


_POSITIONS = _lines(
    "path,group,slide,x,y",
    "class0/0.png,=1+1,=cmd|'x'!A0,1,2",
    "../../etc/passwd,a,b,3,4",
    "/dev/zero,a,b,5,6",
)
_SLIDE = _lines("path,slide,x,y,label", f"class0/0.png,{_HTML},1,2,=1+1")
_LONG = _lines("path,label", "class0/0.png," + "A" * 100_000)
_MANY = _lines("path,label", "class0/0.png,A", *(f"a{n}.png,c{n}" for n in range(100_000)))
_READ = {"predict__label_studio": "/etc", "predict__classes": "/dev/zero", "predict__ensemble": "/dev/zero"}
_WRITE = {"predict__output": "/tmp/stolen.csv", "data__cache_dir": "/nowhere/cache"}

CASES: tuple[Callable[[pathlib.Path], Command], ...] = (
    lambda f: _predict(f, _cells(f, _NAMES)),
    lambda f: _predict(f, _cells(f, _NAMES[3:], classes=True)),
    lambda f: _predict(f, _specials(f)),
    lambda f: _predict(f, _bombs(f)),
    lambda f: _predict(f, _list(f, _POSITIONS)),
    lambda f: _predict(f, _list(f, "path\n" + "class0/0.png\n" * 500), "plain"),
    lambda f: _predict(f, f"{_cells(f, _NAMES)}/*/*.png", "plain", f"--output={f}/out/\x1b[2J.csv"),
    lambda f: _predict(f, "/dev/zero", "plain"),
    lambda f: _predict(f, "\x1b]0;owned\x07", "plain"),
    lambda f: _audit(f, _cells(f, _NAMES)),
    lambda f: _audit(f, _cells(f, _NAMES[:1], classes=True)),
    lambda f: _audit(f, _cells(f, _NAMES[3:], classes=True)),
    lambda f: _audit(f, _specials(f)),
    lambda f: _audit(f, _bombs(f)),
    lambda f: _audit(f, _label_list(f), "csv"),
    lambda f: _of_model(f, "embed", f"--input={_cells(f, _NAMES)}"),
    lambda f: _of_model(
        f, "explain", f"--input={_cells(f, _NAMES)}", "--num_images=4", "--faithfulness_images=4"
    ),
    lambda f: _of_model(f, "export", "--formats=orbax,torch"),
    lambda f: _of_model(f, "evaluate", "--source=csv", f"--path={_label_list(f)}"),
    lambda f: ["agreement", f"--reviewed={_label_list(f)}", f"--output={f / 'out'}"],
    lambda f: ["agreement", f"--reviewed={_list(f, _LONG)}", f"--output={f / 'out'}"],
    lambda f: ["cut", f"--input={_specials(f)}", f"--output={f / 'out'}"],
    lambda f: ["cut", f"--input={_cells(f, _NAMES)}/class0", f"--output={f / 'out'}"],
    lambda f: ["slide", f"--input={_list(f, _SLIDE)}", f"--output={f / 'out' / 'x'}"],
    lambda f: _changed_model(f, eval__batch_size=2**31 - 1),
    lambda f: _changed_model(f, augment__size=2**31 - 1, data__stored_size=2**31 - 1),
    lambda f: _changed_model(f, data__workers=2**31 - 1),
    lambda f: _changed_model(f, model__width=2**31 - 1),
    lambda f: _changed_model(f, model__width=1024),
    lambda f: _changed_model(f, **_WRITE),
    lambda f: _changed_model(f, eval__name="../x"),
    lambda f: _changed_model(f, **_READ),
    lambda f: _linked_run(f, "predictions", ""),
    lambda f: _linked_run(f, "metrics.jsonl", "x"),
    lambda f: _linked_run(f, "evaluation/test.json", "x"),
    lambda f: _with(f, "--config.eval.batch_size=99999999999999999999"),
    lambda f: _with(f, "--config.eval.batch_size=\x1b[2J"),
    lambda f: _with(f, "--" + "x" * 100_000),
    lambda f: _with(f, "--config.uncertainty.target_error=nan"),
    lambda f: ["x" * 100_000],
    lambda f: _audit(f, _list(f, _MANY), "csv", "train"),
    lambda f: _audit(f, _cells(f, _NAMES[1:2], classes=True), command="train"),
)
COUNT = len(CASES)
