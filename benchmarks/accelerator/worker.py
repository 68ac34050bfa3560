"""A process that measures what it is asked for: one request, one answer, in lines of JSON.

    python -m benchmarks.accelerator.worker ours|pytorch [--shallow]

A fault of one request is its answer, and the process goes on.
"""

import importlib
import json
import os
import sys
import time
import traceback
from typing import Any, Protocol

from benchmarks.rival import Work

MEMORY, OTHER = "memory", "other"
"""Kinds of faults."""
SHALLOW = (0, 0, 0, 1)
"""Blocks of each stage of the `shallow` ResNet-18."""
MOST_STEPS = 200
"""Of a timed block."""


class Step(Protocol):
    """A training step that is ready."""

    facts: dict[str, Any]
    """What is known of it: seconds of compilation, memory, operations."""

    def run(self, steps: int = 1) -> float:
        """Makes `steps` updates and waits for them; the loss."""

    def peak_memory(self) -> int | None:
        """Most bytes in use on the device since it was made, where that is known."""


class Side:
    """Requests that both processes answer; `_make(**contender)` gives a `Step`.

    Args:
      shallow: give ResNet-18 one block in all, which compiles in a tenth of the time.
    """

    def __init__(self, shallow: bool = False) -> None:
        if shallow:
            self._make_shallow()
        self._steps: dict[str, Step] = {}
        self._seconds: dict[str, float] = {}

    def prepare(self, key: str, work: list, keep: list[str], **contender: Any) -> dict[str, Any]:
        """Makes a step ready and warm, unless it is; drops those that are not in `keep`."""
        for other in self._steps.keys() - {key, *keep}:
            del self._steps[other]
        self._free()
        if key not in self._steps:
            began = time.perf_counter()
            step = self._make(Work(*work), **contender)
            step.run()
            step.facts["to_first_step_s"] = time.perf_counter() - began
            step.run(2)
            self._steps[key], self._seconds[key] = step, _timed(step, 1)
        return self._steps[key].facts

    def block(self, key: str, seconds: float) -> dict[str, Any]:
        """Times about `seconds` of steps that the device may queue; milliseconds of one."""
        steps = max(1, min(MOST_STEPS, round(seconds / self._seconds[key])))
        self._seconds[key] = _timed(self._steps[key], steps)
        return {"ms": 1e3 * self._seconds[key], "peak_bytes": self._steps[key].peak_memory()}

    def _make(self, work: Work, **contender: Any) -> Step:
        raise NotImplementedError

    def _make_shallow(self) -> None:
        raise NotImplementedError

    def _free(self) -> None:
        """Gives back what dropped steps held."""


def _timed(step: Step, steps: int) -> float:
    began = time.perf_counter()
    step.run(steps)
    return (time.perf_counter() - began) / steps


def answer(side: Side, request: dict[str, Any]) -> dict[str, Any]:
    """The answer to a request: `{"ok": ...}`, or `{"error": a line, "kind": ...}`."""
    try:
        return {"ok": getattr(side, request.pop("do"))(**request)}
    except Exception as error:
        traceback.print_exc()
        text = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
        short = any(
            sign in f"{type(error).__name__} {error}" for sign in ("RESOURCE_EXHAUSTED", "OutOfMemory")
        )
        return {"error": text, "kind": MEMORY if short else OTHER}


def main() -> None:
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print is no answer
    name, *options = sys.argv[1:]
    side = None
    for line in sys.stdin:
        try:
            side = side or importlib.import_module(f"benchmarks.accelerator.{name}").Here(bool(options))
            reply = answer(side, json.loads(line))
        except Exception as error:  # this side cannot work here
            traceback.print_exc()
            reply = {"error": f"{type(error).__name__}: {error}".splitlines()[0][:300], "kind": OTHER}
        print(json.dumps(reply), file=answers)


if __name__ == "__main__":
    main()
