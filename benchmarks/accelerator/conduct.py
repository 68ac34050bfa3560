"""Asks the two processes for one section after the other, within the time there is."""

import time
from collections.abc import Iterable
from typing import Any

import numpy as np

from benchmarks.accelerator import plan, report
from benchmarks.accelerator.plan import OURS, TWIN, Contender
from benchmarks.accelerator.processes import Failed, Process
from benchmarks.accelerator.worker import MEMORY

LAST = 5.0
"""Seconds kept for the end."""
FIRST_GUESS = {OURS: 60.0, TWIN: 20.0, "compiled": 75.0}
"""Seconds to make a step ready, until one has been made ready."""
MARGIN = 1.3
"""Of time for the next step, over what the last one took until it was ready."""
LONGEST = {"rate": 60.0, "copy": 60.0, "feed": 120.0, "part": 60.0, "prepare": 240.0, "block": 60.0}
"""Seconds after which these are given up."""


class Conductor:
    """What has been measured, and what is still to come.

    Args:
      size: how large things are.
      processes: of `OURS` and `TWIN`.
      rows: takes the results.
      seconds: all that may be spent.
      sweep_only: leave out all but the rates and the sweep of batch sizes.
      guesses: as `FIRST_GUESS`.
    """

    def __init__(
        self,
        size: plan.Size,
        processes: dict[str, Process],
        rows: report.Report,
        *,
        seconds: float,
        sweep_only: bool = False,
        guesses: dict[str, float] | None = None,
    ):
        self._size, self._processes, self._rows = size, processes, rows
        self._sweep_only = sweep_only
        self._until = time.monotonic() + seconds - LAST
        self._guesses = dict(guesses or FIRST_GUESS)
        self._rates: dict[str, float] = {}
        self._flops: dict[Any, float] = {}  # by work: PyTorch does the same
        self._twin: str | None = None  # why there is no twin

    def run(self) -> None:
        """Everything, the most important first; what fails or finds no time becomes a row that says so."""
        try:
            self._begin()
            for kind, arguments in plan.sections(self._size, self._sweep_only):
                try:
                    SECTIONS[kind](self, **arguments)
                except Exception as error:  # no section may cost another
                    self._rows.add(report.FAILED, kind, reason=f"{type(error).__name__}: {error}")
        finally:
            for process in self._processes.values():
                process.stop()

    def _left(self) -> float:
        return self._until - time.monotonic()

    def _ask(self, side: str, do: str, most: float | None = None, **arguments: Any) -> Any:
        left = self._left()
        if left <= 0:
            raise Failed("no time was left")
        return self._processes[side].ask(left if most is None else min(left, most), {"do": do, **arguments})

    def _begin(self) -> None:
        """Finds out what computes."""
        title, platform = "the device is not known", "cpu"
        try:
            about = self._ask(OURS, "about")
            platform, gib = about["platform"], about["memory_gib"]
            title = f"{about['devices']} x {about['device']}, JAX {about['jax']}"
            title += f", {gib:.0f} GiB" if gib else ""
            self._size = plan.fitted(self._size, gib)
        except Failed as failed:
            self._rows.add(report.FAILED, "JAX", reason=str(failed))
        try:
            versions = self._ask(TWIN, "about", platform=platform)
            title += f"; PyTorch {versions['pytorch']}, cuDNN {versions['cudnn']}"
        except Failed as failed:
            self._twin = str(failed)
            self._rows.add(report.FAILED, "PyTorch", reason=self._twin)
        self._rows.begin(title, platform)

    def rate(self, kind: str) -> None:
        """The chip's rate in matrix products."""
        what = f"matrix rate, {kind}" + " (TF32 on NVIDIA)" * (kind == "float32")
        try:
            answer = self._ask(OURS, "rate", LONGEST["rate"], kind=kind, length=self._size.matrix)
        except Failed as failed:
            self._rows.add(report.FAILED, what, reason=str(failed))
            return
        self._rates[kind] = float(np.median(answer["tflops"]))
        note = f"product of matrices of {self._size.matrix}"
        self._rows.figure(what, answer["tflops"], unit="TFLOP/s", note=note)

    def copy(self) -> None:
        """Copies to the device and within it."""
        try:
            answer = self._ask(OURS, "copy", LONGEST["copy"], mib=self._size.copied_mib)
        except Failed as failed:
            self._rows.add(report.FAILED, "copies", reason=str(failed))
            return
        self._rows.figure("copy from host to device", answer["to_device"], unit="GB/s")
        self._rows.figure("memory of the device, read and written", answer["within"], unit="GB/s")

    def race(self, contenders: list[Contender]) -> None:
        """Steps of several contenders in turn; one that finds no memory beside the others is timed alone."""
        ready, wanting = {}, []
        for contender in contenders:
            try:
                ready[contender] = self._prepare(contender, contenders)
            except Failed as failed:
                others = any(p.is_running for side, p in self._processes.items() if side != contender.side)
                if failed.kind == MEMORY and others:
                    wanting.append(contender)
                else:
                    self._fail(contender, failed)
        self._time(ready, interleaved=True)
        for contender in wanting:
            for process in self._processes.values():
                process.stop()
            try:
                self._time({contender: self._prepare(contender, [contender])}, interleaved=False)
            except Failed as failed:
                self._fail(contender, failed)

    def _prepare(self, contender: Contender, held: Iterable[Contender]) -> dict[str, Any]:
        """Makes a step ready; what the process holds beside `held` is dropped."""
        if contender.side == TWIN and self._twin:
            raise Failed(self._twin)
        guess = "compiled" if contender.compiled else contender.side
        if (left := self._left()) < self._guesses[guess]:
            raise Failed(f"not begun: {max(left, 0):.0f} s were left")
        options: dict[str, Any] = {"compiled": contender.compiled}
        if contender.side == OURS:
            options = {"augmented": contender.augmented, "variant": contender.variant}
            options["stored"] = self._size.stored
        facts = self._ask(
            contender.side,
            "prepare",
            LONGEST["prepare"],
            key=contender.key,
            work=list(contender.work),
            keep=[other.key for other in held if other.side == contender.side],
            **options,
        )
        self._guesses[guess] = MARGIN * facts["to_first_step_s"]
        if contender.side == OURS and not contender.variant:
            self._flops.setdefault(contender.work, facts["flops"])
        return facts

    def _time(self, ready: dict[Contender, dict[str, Any]], *, interleaved: bool) -> None:
        """Blocks of steps in turn, then a row of each contender and the ratios between them."""
        took: dict[Contender, list[dict[str, Any]]] = {contender: [] for contender in ready}
        for number in range(self._size.rounds):
            for contender in list(took)[:: 1 if number % 2 else -1]:
                request = {"key": contender.key, "seconds": self._size.round_seconds}
                try:
                    took[contender].append(self._ask(contender.side, "block", LONGEST["block"], **request))
                except Failed as failed:
                    if not took[contender] or failed.kind == MEMORY:
                        self._fail(contender, failed)
                        del took[contender]
        for contender, blocks in took.items():
            self._row(contender, blocks, ready[contender], interleaved)
        self._ratios({contender: [block["ms"] for block in blocks] for contender, blocks in took.items()})

    def _row(
        self, contender: Contender, blocks: list[dict[str, Any]], facts: dict[str, Any], interleaved: bool
    ) -> None:
        work = contender.work
        low, middle, high = (float(ms) for ms in np.quantile([b["ms"] for b in blocks], [0.1, 0.5, 0.9]))
        flops = self._flops.get(contender.work)
        rate = self._rates.get(work.dtype)
        peak = blocks[-1]["peak_bytes"]
        self._rows.add(
            report.STEP,
            contender.label,
            **_about(contender),
            images_per_s=1e3 * work.batch_size / middle,
            ms=middle,
            ms_low=low,
            ms_high=high,
            blocks=len(blocks),
            matrix_share=flops / (middle / 1e3) / (rate * 1e12) if flops and rate else None,
            flops=flops,
            planned_gib=_gib(facts.get("planned_bytes")),
            donated_gib=_gib(facts.get("donated_bytes")),
            peak_gib=_gib(peak),
            compile_s=facts.get("compile_s"),
            to_first_step_s=facts["to_first_step_s"],
            interleaved=interleaved,
        )

    def _ratios(self, took: dict[Contender, list[float]]) -> None:
        """What the goals speak of, as far as this race tells it; medians over neighbouring blocks."""
        plain_half = "images/s, plain, bfloat16"
        for mine, times in took.items():
            if mine.side != OURS or mine.variant:
                continue
            about, work = _about(mine), mine.work
            plain = mine._replace(work=work._replace(layer="none"))
            if work.layer == "asae" and plain in took:
                self._rows.figure("ASAE / plain, images/s", _quotients(took[plain], times), **about)
            if mine.augmented and work.layer == "none" and work.dtype == "bfloat16":
                self._rows.figure(plain_half, [1e3 * work.batch_size / ms for ms in times], **about)
            bare = mine._replace(augmented=False)
            if mine.augmented and bare in took:
                share = [1 - each for each in _quotients(took[bare], times)]
                self._rows.figure("augmentation / step", share, **about)
            twins = [c for c in took if c.side == TWIN and c.work == work]
            if twins and (bare == mine or bare not in took):
                best = min(twins, key=lambda c: np.median(took[c]))
                name = "ours / PyTorch, " + ("plain" if work.layer == "none" else "ASAE")
                views = "with" if mine.augmented else "without"
                note = f"images/s; against {best.label}; ours {views} random views"
                self._rows.figure(name, _quotients(took[best], times), **about, note=note)
        for mine, times in took.items():
            usual = mine._replace(variant="")
            if mine.variant and usual in took:
                name = f"{mine.variant} / as in training, images/s"
                self._rows.figure(name, _quotients(took[usual], times), **_about(mine))

    def feed(self, contender: Contender) -> None:
        """A step that is fed from the cache of prepared images."""
        what = "wait for input / step"
        size = self._size
        try:
            self._prepare(contender, [contender])
            answer = self._ask(
                OURS,
                "feed",
                LONGEST["feed"],
                key=contender.key,
                stored=size.stored,
                examples=size.examples,
                seconds=2 * size.round_seconds,
                rounds=size.rounds,
            )
        except Failed as failed:
            self._rows.add(report.FAILED, what, **_about(contender), reason=str(failed))
            return
        about = _about(contender)
        share = [1 - each for each in _quotients(answer["resident_ms"], answer["fed_ms"])]
        self._rows.figure(what, share, **about, note="fed from the cache, against its batch on the device")
        self._rows.figure("step fed from the cache", answer["fed_ms"], **about, unit="ms")
        self._rows.figure("of it the host waits for a batch", answer["in_next_ms"], **about, unit="ms")
        self._rows.figure("input alone", [answer["input_images_per_s"]], **about, unit="images/s")

    def part(self, name: str, contender: Contender) -> None:
        """A part of the step, alone."""
        what, about = f"part: {name}", _about(contender)
        try:
            work = list(contender.work)
            answer = self._ask(OURS, "part", LONGEST["part"], name=name, work=work, stored=self._size.stored)
        except Failed as failed:
            self._rows.add(report.FAILED, what, **about, reason=str(failed))
            return
        moved = answer["bytes"]
        rate = moved and f"{moved / float(np.median(answer['ms'])) / 1e6:.0f} GB/s by XLA's count of bytes"
        self._rows.figure(what, answer["ms"], **about, unit="ms", note=f"alone; {rate or 'bytes not known'}")

    def _fail(self, contender: Contender, failed: Failed) -> None:
        reason = f"out of memory: {failed}" if failed.kind == MEMORY else str(failed)
        self._rows.add(report.FAILED, contender.label, **_about(contender), reason=reason)


SECTIONS = {
    "rate": Conductor.rate,
    "copy": Conductor.copy,
    "race": Conductor.race,
    "feed": Conductor.feed,
    "part": Conductor.part,
}
"""By the names that `plan.sections` gives."""


def _about(contender: Contender) -> dict[str, Any]:
    work = contender.work
    return {
        "model": f"{work.model}, {work.size} px", "batch_size": work.batch_size,
        "layer": {"none": "plain", "asae": "ASAE + GMMCE"}[work.layer], "dtype": work.dtype,
    }  # fmt: skip


def _quotients(first: list[float], second: list[float]) -> list[float]:
    """Of neighbouring blocks."""
    return [a / b for a, b in zip(first, second, strict=False)]


def _gib(size: int | None) -> float | None:
    return None if size is None else size / 2**30
