"""Damages every file that is read again, and says what the commands that read it make of that.

    python -m benchmarks.damage [--files=run.json,...] [--damages=emptied,...] [--folder=DIR]

Each file of a tiny run, of its model folder and of the caches is emptied, cut short, changed in one byte,
deleted and replaced by a folder, and each command that reads it is called. It must end with one line that
names the file, or repair it, or make it again: with the same results as without the damage. Results that
differ count as said when the console says so, else as silent.
"""

import hashlib
import pathlib
import tempfile
from collections.abc import Callable

from absl import app, flags

from benchmarks import tiny_runs

_FILES = flags.DEFINE_list("files", [], "Which files, by the pattern that this script prints; empty: all.")
_FOLDER = flags.DEFINE_string("folder", "", "Where the runs go, and stay to be used again; empty: nowhere.")
_DAMAGES = flags.DEFINE_list("damages", [], "Which damages, by name; empty: all.")

_GOOD = ("refused by name", "same results", "other results, said", "as the user's own change")

READERS = {
    "mine/config.json": ("predict", "evaluate", "export"),
    "mine/run.json": ("predict", "evaluate"),
    "mine/splits.csv": ("evaluate", "merge", "export"),
    "mine/digests.json": ("predict", "evaluate"),
    "mine/classes.csv": ("predict", "evaluate"),
    "mine/metrics.jsonl": ("evaluate", "predict"),
    "mine/uncertainty.json": ("predict", "evaluate", "evaluate others", "export"),
    "mine/uncertainty/features.npz": ("predict", "evaluate", "evaluate others"),
    "mine/uncertainty-cells.npz": ("predict", "evaluate"),
    "mine/evaluation/test.json": ("evaluate", "evaluate validation", "export"),
    "mine/evaluation/test_predictions.csv": ("evaluate validation", "predict"),
    "mine/predictions/LY_differential.json": ("predict",),
    "half/config.json": ("train on",),
    "half/run.json": ("train on",),
    "half/splits.csv": ("train on",),
    "half/digests.json": ("train on",),
    "half/metrics.jsonl": ("train on",),
    "views/pretrained.json": ("train views",),
    "model/config.json": ("predict by the model",),
    "model/run.json": ("predict by the model",),
    "model/weights.safetensors": ("predict by the model",),
    "model/uncertainty.json": ("predict by the model",),
    "model/uncertainty/features.npz": ("predict by the model",),
    "cache/*/images.u8": ("train on", "evaluate"),
    "cache/*/filled.u8": ("train on",),
    "cache/*/crc32.u32": ("train on",),
    "cache/*/about.json": ("train on",),
    "cache/features-*/view00/features.*": ("train views",),
    "cache/features-*/view00/crc32.u32": ("train views",),
    "cache/features-*/view01/filled.u8": ("train views",),
    "mine/checkpoints/*/default/_METADATA": ("predict",),
    "mine/checkpoints/*/default/manifest.ocdbt": ("predict",),
    "half/checkpoints/*/default/manifest.ocdbt": ("train on",),
}
"""File below the folder of runs -> the commands that read it."""


MAY_BE_EDITED = ("mine/classes.csv",)
MAY_BE_DELETED = ("mine/classes.csv", "mine/evaluation/test.json")
"""Changed or absent they say something else, and are taken at their word."""


def _cut(path: pathlib.Path, share: float) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: min(int(len(data) * share), len(data) - 1)])


def _flip(path: pathlib.Path, share: float) -> None:
    data = bytearray(path.read_bytes())
    data[int(len(data) * share)] ^= 0x05
    path.write_bytes(data)


def _into_folder(path: pathlib.Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGES: dict[str, Callable[[pathlib.Path], object]] = {
    "emptied": lambda path: _cut(path, 0),
    "cut to a third": lambda path: _cut(path, 0.33),
    "last byte cut": lambda path: _cut(path, 1),
    "byte changed at 20 %": lambda path: _flip(path, 0.2),
    "byte changed at 55 %": lambda path: _flip(path, 0.55),
    "byte changed at 90 %": lambda path: _flip(path, 0.9),
    "deleted": lambda path: path.unlink(),
    "a folder in its place": _into_folder,
}


class Damages:
    """Runs and commands, and what these give without a damage."""

    def __init__(self, folder: pathlib.Path):
        self._folder, self._template = folder, tiny_runs.template(folder)
        self._commands = tiny_runs.commands(folder)
        self._undisturbed: dict[str, dict[str, str]] = {}

    def outcome(self, pattern: str, damage: str, command: str) -> str:
        """What becomes of `command` with that damage, in a few words."""
        if command not in self._undisturbed:
            tiny_runs.refill(self._template, self._folder / "disk")
            outcome = tiny_runs.call(self._commands[command])
            if outcome.kind != "finished":
                raise SystemExit(f"{command}, undisturbed: {outcome.output}")
            self._undisturbed[command] = self._results()
        tiny_runs.refill(self._template, self._folder / "disk")
        path = sorted((self._folder / "disk" / "runs").glob(pattern))[-1]
        DAMAGES[damage](path)
        outcome = tiny_runs.call(self._commands[command])
        if outcome.kind == "one line":
            runs = self._folder / "disk" / "runs"
            level = 1 if "checkpoints" in pattern else 2  # the run folder alone is no name of a file
            places = [p for p in (path, *path.parents) if len(p.parts) >= len(runs.parts) + level]
            named = any(str(place) in outcome.line for place in places)
            return "refused by name" if named else f"refused without its name: {outcome.line}"
        if outcome.kind != "finished":
            print(outcome.output)
            return f"{outcome.kind}: {outcome.line}"
        now, wanted = self._results(), self._undisturbed[command]
        differing = [name for name in wanted if now.get(name) != wanted[name]]
        damaged = path.relative_to(self._folder / "disk" / "runs").as_posix()
        differing = [name for name in differing if name != damaged]
        if not differing:
            return "same results"
        if pattern in MAY_BE_EDITED or (damage == "deleted" and pattern in MAY_BE_DELETED):
            return f"as the user's own change ({differing[0]})"
        said = path.name in outcome.output or "damaged" in outcome.output
        return f"other results, said ({differing[0]})" if said else f"OTHER RESULTS, SILENT ({differing[0]})"

    def _results(self) -> dict[str, str]:
        """Digests of scores, predictions, merged lists and models."""
        runs = self._folder / "disk" / "runs"
        patterns = ("*/evaluation/*.csv", "*/predictions/*.csv", "*/merged.csv", "*/uncertainty.json",
                    "*/export/model/**/*", "*/evaluation/test.json", "*/splits.csv")  # fmt: skip
        return {
            path.relative_to(runs).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for pattern in patterns
            for path in runs.glob(pattern)
            if path.is_file()
        }


def main(_: list[str]) -> None:
    tiny_runs.set_up()
    outcomes = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(_FOLDER.value or temporary).resolve()
        damages = Damages(folder)
        for pattern, commands in READERS.items():
            if _FILES.value and pattern not in _FILES.value:
                continue
            for damage in _DAMAGES.value or DAMAGES:
                for command in commands:
                    outcome = damages.outcome(pattern, damage, command)
                    outcomes.append(outcome)
                    print(f"{pattern}, {damage}, {command}: {outcome}", flush=True)
    print(f"{len(outcomes)} cases")
    kinds = [outcome.partition(" (")[0].split(":")[0] for outcome in outcomes]
    tiny_runs.tally(kinds)
    if bad := sum(kind not in _GOOD for kind in kinds):
        raise SystemExit(f"{bad} are not as they should be")


if __name__ == "__main__":
    app.run(main)
