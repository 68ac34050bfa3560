"""Feeds made, damaged and hostile files to the program and counts what becomes of them.

    python -m benchmarks.fuzz [--kinds=images,bombs,...] [--seed=0] [--count=0] [--seconds=10]

Each input is a pure function of (kind, seed, number). It is used in a process that is ended when it works
longer than `--seconds` (processor time; thirty times as long where it waits). An audit hook of Python notices
files written outside of the input's folder, programs started and names looked up by pickles. Printed are, for
each kind, how many inputs were

- used: read without a word against them (damage that no format can show is among them);
- refused: in one line, without control characters;
- traceback: any other exception, or a message of several lines;
- hang, memory, crash: beyond the limits, or the process died;
- wrote, executed: what the audit hook saw, or a marker file that must not be there.

The exit status is 1 unless all of the last three lines are zero. `--count=0` is each kind's own number.
"""

import importlib
import json
import pathlib
import sys
import tempfile

from absl import app, flags

from benchmarks.hostile.pool import run_kind

KINDS = ("images", "bombs", "tables", "arrays", "weights", "folders", "checkpoints", "commands")
"""Modules of `benchmarks.hostile`: each has COUNT, `prepare()` and `attempt(number, seed, folder)`."""


_KINDS = flags.DEFINE_list("kinds", list(KINDS), "What to try.")
_SEED = flags.DEFINE_integer("seed", 0, "Of all inputs.")
_COUNT = flags.DEFINE_integer("count", 0, "Inputs of each kind; 0: the kind's own number.")
_FIRST = flags.DEFINE_integer("first", 0, "Number of the first input.")
_SECONDS = flags.DEFINE_float("seconds", 10, "A hang takes longer; commands get six times as long.")
_MEGABYTES = flags.DEFINE_integer("megabytes", 1500, "Of memory that one input may take.")
_SHOWN = flags.DEFINE_integer("shown", 10, "Faults that are printed of each kind.")
_FOLDER = flags.DEFINE_string("folder", "", "Where inputs are made; empty: a temporary folder.")
_MESSAGES = flags.DEFINE_string("messages", "", "File for the messages of what was refused.")


def main(_: list[str]) -> None:
    """Tries every kind that was asked for."""
    folder = pathlib.Path(_FOLDER.value or tempfile.mkdtemp(prefix="fuzz-"))
    bad = 0
    for kind in _KINDS.value:
        module = importlib.import_module(f"benchmarks.hostile.{kind}")
        first = _FIRST.value
        numbers = range(first, first + (_COUNT.value or module.COUNT))
        place = folder / kind
        place.mkdir(parents=True, exist_ok=True)
        tally = run_kind(
            kind, _SEED.value, numbers, place, _SECONDS.value * module.PATIENCE, _MEGABYTES.value
        )
        print(tally.line(), flush=True)
        for fault in tally.faults[: _SHOWN.value]:
            print(f"  number {fault.number}: {fault.outcome}: {fault.detail}", flush=True)
        bad += len(tally.faults)
        if _MESSAGES.value:
            with open(_MESSAGES.value, "a", encoding="utf-8", errors="backslashreplace") as file:
                file.writelines(json.dumps([kind, *entry]) + "\n" for entry in tally.messages)
    sys.exit(bad > 0)


if __name__ == "__main__":
    app.run(main)
