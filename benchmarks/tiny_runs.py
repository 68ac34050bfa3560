"""Tiny runs and every command on them, for faults by the hundred: what `full_disk` and `damage` share.

A command is called in this process, as the console calls it (`cli.main`), with what it writes to the console
caught, also what libraries write there, and with a time limit.
"""

import contextlib
import functools
import os
import pathlib
import re
import shutil
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

SETTINGS = {
    "data.source": "folder", "data.stored_size": 36, "data.hue": "none", "data.workers": 1,
    "data.validation_fraction": 0.2, "augment.size": 32, "model.name": "resnet18", "model.width": 4,
    "model.branching": "none", "loss.name": "ce", "train.batch_size": 12, "train.epochs": 2,
    "train.log_every": 1, "optimizer.learning_rate": 0.02, "eval.batch_size": 12, "eval.bootstrap": 0,
    "uncertainty.keep_cells": True,
}  # fmt: skip
"""Of a run that trains in a second once it is compiled."""

QUICK_FLAGS = (
    "--xla_force_host_platform_device_count=1 --xla_backend_optimization_level=0 "
    "--xla_llvm_disable_expensive_passes=true"
)
"""One device, and compilation in a hurry."""

_CLASSES = ("EO", "LY", "NE")
_TABLE = "tiny"
"""Of `reproduce`: one row."""


class Outcome(NamedTuple):
    """What became of a command.

    Attributes:
      status: its exit status; None where it hung.
      output: what it wrote to the console.
    """

    status: int | None
    output: str

    @property
    def kind(self) -> str:
        """In a few words; "finished" and "one line" are what it should be."""
        if self.status is None:
            return "hang"
        if re.search(r"Traceback \(most|Exception ignored|Exception in thread|Fatal Python", self.output):
            return "traceback"
        errors = sum(line.startswith("error: ") for line in self.output.splitlines())
        if self.status == 2 and errors == 1:
            return "one line"
        return "finished" if self.status in (0, 1) and not errors else f"status {self.status}"

    @property
    def line(self) -> str:
        """The error, or the last line of the output."""
        lines = self.output.strip().splitlines() or [""]
        return next((line for line in reversed(lines) if line.startswith("error: ")), lines[-1])


def set_up() -> None:
    """One device, quick compilation that later processes share, and a network of few layers."""
    os.environ["JAX_PLATFORMS"] = "cpu"
    os.environ["XLA_FLAGS"] = QUICK_FLAGS
    import jax

    from asae_jax import models
    from asae_jax.experiments.rows import TABLES, Entry, Table
    from asae_jax.models.backbones.resnet import BasicBlock, ResNet

    compiled = pathlib.Path(tempfile.gettempdir()) / f"asae-tiny-runs-{os.getuid()}"
    jax.config.update("jax_compilation_cache_dir", str(compiled))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
    # Runs of `reproduce` are processes of their own, with the whole network.
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(compiled)
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.1"
    TABLES[_TABLE] = Table("One row", (Entry("plain", "Plain"),), ())  # type: ignore[index]
    shallow = functools.partial(ResNet, block=BasicBlock, stage_sizes=(1, 1, 1, 1))
    models.MODELS["resnet18"] = shallow  # type: ignore[assignment]


def call(arguments: Sequence[str], *, limit: float = 180) -> Outcome:
    """Runs a command line of the program, without the program's name; after `limit` seconds it hangs."""
    from asae_jax import cli

    status: int | None = 1
    with tempfile.TemporaryFile() as log:
        with _console(log.fileno()):
            try:
                with _limited(limit):
                    status = cli.main(list(arguments))
            except _Late:
                status = None
                traceback.print_exc(limit=-6)
            except BaseException:
                traceback.print_exc()
        log.seek(0)
        return Outcome(status, log.read().decode(errors="replace"))


class _Late(BaseException):
    pass


@contextlib.contextmanager
def _limited(seconds: float) -> Iterator[None]:
    def end(*_: Any) -> None:
        raise _Late

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def _console(file: int) -> Iterator[None]:
    """Standard output and error go to `file`, whoever writes them."""
    kept = [os.dup(number) for number in (1, 2)]
    try:
        for number in (1, 2):
            os.dup2(file, number)
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        for number, old in zip((1, 2), kept, strict=True):
            os.dup2(old, number)
            os.close(old)


def options(settings: dict[str, Any]) -> list[str]:
    """Settings as arguments."""
    return [f"--config.{name}={value}" for name, value in settings.items()]


def template(folder: pathlib.Path) -> pathlib.Path:
    """What commands work on, and a copy of their runs: a folder, which is made if missing.

    There are cells, photographs, people's labels and a list of cells on slides; and runs: `mine` trained,
    `half` stopped, `views` with kept features, a model folder of `mine`, and a finished grid of one run.
    `refill` puts them to `folder / "disk"`.
    """
    made = folder / "template"
    if not made.exists():
        _make_runs(folder)
        (folder / "disk").rename(made)
    (folder / "disk").mkdir(exist_ok=True)
    return made


def _make_runs(folder: pathlib.Path) -> None:
    draw_cells(folder / "cells")
    rng = np.random.default_rng(1)
    (folder / "photographs").mkdir()
    discs = [(60 + 90 * (n % 3), 60 + 90 * (n // 3), 14 + n) for n in range(9)]
    Image.fromarray(_blots(rng, 300, discs)).save(folder / "photographs" / "a.png")
    (folder / "classes.csv").write_text("class,name\nNE,Neutrophil\nEO,Eosinophil\nLY,Lymphocyte\n")
    runs, training = folder / "disk" / "runs", _training(folder)
    frozen = options({"init.pretrained": runs / "mine", "init.freeze": "layer2", "init.views": 2})
    for arguments in (
        [*training, f"--workdir={runs / 'mine'}"],
        [*training, f"--workdir={runs / 'half'}", "--config.train.max_steps=2"],
        [*training, f"--workdir={runs / 'views'}", "--config.train.max_steps=2", *frozen],
        ["predict", f"--workdir={runs / 'mine'}", f"--input={folder / 'cells' / 'LY'}"],
        ["export", f"--workdir={runs / 'mine'}", "--formats=model", f"--output={runs / 'out'}"],
        [*_reproducing(folder), f"--workdir={runs / 'grid'}"],
    ):
        outcome = call(arguments)
        if outcome.kind != "finished":
            raise SystemExit(f"{arguments}: {outcome.output}")
    (runs / "out" / "model").rename(runs / "model")
    shutil.rmtree(runs / "out")
    for person, other in (("ada", "EO"), ("bob", "LY")):
        rows = [f"{folder}/cells/EO/{n:02d}.png,{'EO' if n % 3 else other}" for n in range(10)]
        (folder / f"{person}.csv").write_text("\n".join(["path,label", *rows]) + "\n")
    rows = [f"{folder}/cells/LY/{n:02d}.png,slide {n % 2},{50 * n},20,48,48,LY" for n in range(8)]
    (folder / "slides.csv").write_text("\n".join(["path,slide,x,y,width,height,label", *rows]) + "\n")


def _training(folder: pathlib.Path) -> list[str]:
    own = {"data.path": folder / "cells", "data.classes": folder / "classes.csv"}
    return ["train", "--config=default", *options(SETTINGS | own)]


def _reproducing(folder: pathlib.Path) -> list[str]:
    _, *rest = _training(folder)
    return ["reproduce", *rest, f"--tables={_TABLE}", "--seeds=1", "--jobs=1"]


def commands(folder: pathlib.Path) -> dict[str, list[str]]:
    """Name -> arguments of each command on what `template` has made; all write to `folder / "disk"`."""
    runs, cells = folder / "disk" / "runs", folder / "cells"
    mine = f"--workdir={runs / 'mine'}"
    training = _training(folder)
    frozen = options({"init.pretrained": runs / "mine", "init.freeze": "layer2", "init.views": 2})
    own = options({"data.source": "folder", "data.path": cells})
    return {
        "train": [*training, f"--workdir={runs / 'new'}", f"--config.data.cache_dir={runs / 'cache2'}"],
        "train on": [*training, f"--workdir={runs / 'half'}"],
        "train views": [*training, f"--workdir={runs / 'views'}", *frozen],
        "evaluate": ["evaluate", mine],
        "evaluate others": ["evaluate", mine, f"--path={cells}", "--name=theirs"],
        "evaluate validation": ["evaluate", mine, "--split=validation"],
        "predict by the model": [
            "predict", f"--model={runs / 'model'}", f"--workdir={runs / 'of_model'}",
            f"--input={cells / 'LY'}",
        ],
        "predict": ["predict", mine, f"--input={cells / 'LY'}"],
        "predict new": ["predict", mine, f"--input={cells / 'NE'}", "--mixture=corrected"],
        "adapt": ["adapt", mine, f"--input={cells}", f"--output={runs / 'adapted'}", "--propose=3"],
        "explain": ["explain", mine, "--num_images=2", "--faithfulness_images=2", "--random_regions=1"],
        "embed": ["embed", mine, f"--input={cells}"],
        "export": ["export", mine, "--formats=model,stablehlo,orbax,onnx"],
        "audit": ["audit", "--config=default", f"--workdir={runs / 'looked'}", *own],
        "merge": ["merge", mine, f"--reviewed={folder / 'ada.csv'}"],
        "agreement": [
            "agreement", f"--reviewed={folder / 'ada.csv'},{folder / 'bob.csv'}",
            f"--output={runs / 'agreement'}", "--config.eval.bootstrap=5",
        ],
        "slide": [
            "slide", f"--input={folder / 'slides.csv'}", f"--output={runs / 'on_slide' / 'cells'}",
            f"--label_studio={cells}",
        ],
        "reproduce": [*_reproducing(folder), f"--workdir={runs / 'new_grid'}"],
        "reproduce the report": [*_reproducing(folder), f"--workdir={runs / 'grid'}"],
        "cut": ["cut", f"--input={folder / 'photographs'}", f"--output={runs / 'cut'}", "--nucleus=36"],
    }  # fmt: skip


def refill(template: pathlib.Path, place: pathlib.Path) -> None:
    """`place` holds what `template` holds, and nothing else; the folder itself stays."""
    for entry in place.iterdir():
        shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
    shutil.copytree(template, place, symlinks=True, dirs_exist_ok=True)


def tally(outcomes: Sequence[str], show: Callable[[str], object] = print) -> None:
    """Prints how often each outcome was, the most frequent first."""
    for kind in sorted(set(outcomes), key=lambda kind: (-outcomes.count(kind), kind)):
        show(f"  {outcomes.count(kind):4d}  {kind}")


def draw_cells(folder: pathlib.Path, *, per_class: int = 12, side: int = 48) -> None:
    """A folder of three classes of pictures of one cell each."""
    rng = np.random.default_rng(0)
    for number, name in enumerate(_CLASSES):
        (folder / name).mkdir(parents=True)
        for image in range(per_class):
            picture = _blots(rng, side, [(side / 2, side / 2, side * (0.18 + 0.06 * number))])
            Image.fromarray(picture).save(folder / name / f"{image:02d}.png")


def _blots(rng: np.random.Generator, side: int, discs: Sequence[tuple[float, float, float]]) -> np.ndarray:
    """uint8 `[side, side, 3]`: dark discs (x, y, radius) as nuclei on a light, noisy ground."""
    y, x = np.mgrid[:side, :side]
    picture = np.full((side, side, 3), (225.0, 205.0, 210.0))
    for left, top, radius in discs:
        distance = np.hypot(x - left, y - top)
        picture[distance < 1.7 * radius] = (190, 180, 215)
        picture[distance < radius] = (90, 50, 130)
    return np.clip(picture + rng.normal(0, 6, picture.shape), 0, 255).astype(np.uint8)
