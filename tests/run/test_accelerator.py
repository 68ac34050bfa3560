"""`benchmarks/accelerator`: every figure is there at a tiny size, and what fails costs nothing else."""

import functools
import json
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from asae_jax import models
from asae_jax.models.convolution import as_on_accelerators
from asae_jax.models.layers import Conv
from asae_jax.run import build
from benchmarks.accelerator import __main__ as script
from benchmarks.accelerator import ours, plan, processes, report, worker
from benchmarks.accelerator.conduct import Conductor
from benchmarks.rival import Work, our_config

MATRIX_RATE = 2.0  # TFLOP/s of the stand-in
MS = {("none", True): 10.0, ("none", False): 9.0, ("asae", True): 12.5}
TWIN_MS, COMPILED_MS, FLOPS = 20.0, 18.0, 5e9
FED_MS = 10.5


class StandIn:
    """A process with figures of its own; `faults` maps (request, label of the contender) to errors."""

    def __init__(self, side, faults):
        self._side, self._faults = side, faults
        self.is_running = True
        self._held = {}

    def ask(self, seconds, request):
        self.is_running = True
        name, key = request["do"], request.get("key", "")
        label = key.split("|")[0]
        fault = self._faults.get((name, label)) or self._faults.get((name, key))
        if fault is not None and not (callable(fault) and (fault := fault(self)) is None):
            raise fault
        return getattr(self, f"_{name}")(request)

    def stop(self):
        self.is_running, self._held = False, {}

    def _about(self, request):
        if self._side == plan.TWIN:
            return {"pytorch": "2", "cudnn": 9}
        return {"platform": "gpu", "device": "card", "devices": 1, "jax": "0", "memory_gib": 79.0}

    def _rate(self, request):
        return {"tflops": [MATRIX_RATE] * 3}

    def _copy(self, request):
        return {"to_device": [20.0] * 3, "within": [2000.0] * 3}

    def _prepare(self, request):
        layer, augmented = request["work"][5], request.get("augmented")
        ms = MS[layer, augmented] if self._side == plan.OURS else TWIN_MS
        self._held[request["key"]] = COMPILED_MS if request.get("compiled") else ms
        return {"to_first_step_s": 1.0, "flops": FLOPS, "planned_bytes": 2**30}

    def _block(self, request):
        return {"ms": self._held[request["key"]], "peak_bytes": None}

    def _part(self, request):
        return {"ms": [2.0] * 3, "bytes": 2e9}

    def _feed(self, request):
        plain = self._held[request["key"]]
        return {"fed_ms": [FED_MS] * 3, "resident_ms": [plain] * 3, "in_next_ms": [0.1] * 3,
                "input_images_per_s": 9e4}  # fmt: skip


class InProcess:
    """Our process: the worker's code answers here."""

    def __init__(self):
        self.is_running, self._side = True, None

    def ask(self, seconds, request):
        self._side = self._side or ours.Here(shallow=True)
        reply = json.loads(json.dumps(worker.answer(self._side, json.loads(json.dumps(request)))))
        if "error" in reply:
            raise processes.Failed(reply["error"], reply["kind"])
        return reply["ok"]

    def stop(self):
        for step in self._side._steps.values():
            state = sum(leaf.nbytes for leaf in jax.tree.leaves(step.state))
            assert step.facts["donated_bytes"] == state  # the whole state is updated in place


def test_the_script_measures_everything_at_a_tiny_size(tmp_path, monkeypatch):
    monkeypatch.setitem(models.MODELS, "resnet18", models.MODELS["resnet18"])  # put back at the end
    monkeypatch.setattr(plan, "TINY", plan.TINY._replace(without_views=False))  # one compilation less
    sides = {plan.OURS: InProcess(), plan.TWIN: StandIn(plan.TWIN, {})}
    monkeypatch.setattr(processes, "Process", lambda command, log: sides[command[3]])

    assert script.main(["--tiny", "--output", str(tmp_path)]) == 0

    about, *rows = (json.loads(line) for line in (tmp_path / report.ROWS).read_text().splitlines())
    assert about["platform"] == "cpu"
    assert not [row for row in rows if row["kind"] == report.FAILED]
    steps = [(row["what"], row["layer"]) for row in rows if row["kind"] == report.STEP]
    assert steps == [
        *(("ours, augmented", "plain"), ("PyTorch", "plain")),
        *(("ours, augmented", "plain"), ("ours, augmented", "ASAE + GMMCE"), ("PyTorch", "ASAE + GMMCE")),
    ]
    rate = next(row["value"] for row in rows if row["what"].startswith("matrix rate, float32 (TF32"))
    for row in rows:
        if row["kind"] == report.STEP:
            assert row["images_per_s"] == pytest.approx(1e3 * plan.TINY.batch_size / row["ms"])
            assert row["matrix_share"] == pytest.approx(row["flops"] / row["ms"] / rate / 1e9)
            assert row["ms_low"] <= row["ms"] <= row["ms_high"]
            assert row["interleaved"]
            assert row["to_first_step_s"] > (row["compile_s"] or 0)
    figures = {row["what"]: row for row in rows if row["kind"] == report.FIGURE}
    wanted = {
        "ours / PyTorch, plain",
        "ASAE / plain, images/s",
        "wait for input / step",
    }
    assert (
        wanted | {"copy from host to device", "step fed from the cache", "input alone", "part: GMMCE"}
        <= figures.keys()
    )
    assert figures["ours / PyTorch, plain"]["goal"] == 1.1
    assert figures["ours / PyTorch, plain"]["met"] is None  # a tiny network says nothing of it
    table = (tmp_path / report.TABLE).read_text().splitlines()
    assert len(table) == 4 + len(rows)
    assert "goal at least 1.1" in next(line for line in table if line.startswith("| ours / PyTorch, plain"))


def _rows(tmp_path, *, ours=None, twin=None, **limits):
    """What the whole plan gives with stand-ins that have these faults."""
    rows = report.Report(tmp_path, judged=True)
    sides = {plan.OURS: StandIn(plan.OURS, ours or {}), plan.TWIN: StandIn(plan.TWIN, twin or {})}
    Conductor(plan.Size(), sides, rows, **{"seconds": 1e4} | limits).run()
    written = [json.loads(line) for line in (tmp_path / report.ROWS).read_text().splitlines()]
    assert [row for row in written if row["kind"] != report.ABOUT] == rows.rows
    return rows.rows


def _values(rows, what):
    return [row["value"] for row in rows if row["kind"] == report.FIGURE and row["what"] == what]


def test_ratios_and_goals_are_of_the_right_steps(tmp_path):
    rows = _rows(tmp_path)
    assert not [row for row in rows if row["kind"] == report.FAILED]
    best = COMPILED_MS  # of PyTorch, where it is tried
    assert set(_values(rows, "ours / PyTorch, plain")[:2]) == {best / MS["none", False]}
    assert _values(rows, "ours / PyTorch, ASAE")[0] == best / MS["asae", True]
    assert set(_values(rows, "ASAE / plain, images/s")) == {MS["none", True] / MS["asae", True]}
    assert {row["note"] for row in rows if row["what"].startswith("part: ")} == {
        "alone; 1000 GB/s by XLA's count of bytes"
    }
    assert _values(rows, "augmentation / step") == pytest.approx([0.1, 0.1])
    assert _values(rows, "wait for input / step") == pytest.approx([0.5 / FED_MS])
    assert _values(rows, "images/s, plain, bfloat16")[0] == pytest.approx(256 / 0.010)
    met = {row["what"]: row["met"] for row in rows if row.get("goal") and row["batch_size"] == 256}
    assert met == {
        "ours / PyTorch, plain": True, "images/s, plain, bfloat16": True, "ASAE / plain, images/s": False,
        "augmentation / step": False, "wait for input / step": False,
    }  # fmt: skip
    first = next(row for row in rows if row["kind"] == report.STEP)
    assert first["matrix_share"] == pytest.approx(FLOPS / 0.010 / (MATRIX_RATE * 1e12))
    swept = {row["batch_size"] for row in rows if row["kind"] == report.STEP}
    assert swept == {32, 64, 128, 256, 512}
    again = _rows(tmp_path / "again", sweep_only=True)
    assert {row["batch_size"] for row in again if row["kind"] == report.STEP} == {32, 64, 128, 512}
    assert not _values(again, "wait for input / step")


def test_without_pytorch_and_with_faults_all_other_rows_are_there(tmp_path):
    whole = _rows(tmp_path / "whole")
    faults = {
        ("rate", ""): ValueError("no rate"),
        ("prepare", "ours, augmented, nhwc"): processes.Failed("flag?"),
    }
    broken = _rows(
        tmp_path / "broken", ours=faults, twin={("about", ""): processes.Failed("No module named 'torch'")}
    )
    failed = [row for row in broken if row["kind"] == report.FAILED]
    reasons = {row["what"]: row["reason"] for row in failed}
    assert reasons == {
        "rate": "ValueError: no rate", "ours, augmented, nhwc": "flag?",
        **dict.fromkeys(("PyTorch", "torch.compile"), "No module named 'torch'"),
    }  # fmt: skip

    def mine(rows):
        steps = [row for row in rows if row["kind"] == report.STEP and "ours" in row["what"]]
        return [(row["what"], row["batch_size"], row["ms"]) for row in steps if "nhwc" not in row["what"]]

    assert mine(broken) == mine(whole)
    assert _values(broken, "wait for input / step") == _values(whole, "wait for input / step")


def test_a_batch_that_does_not_fit_is_tried_alone_and_then_named(tmp_path):
    most = plan.Contender(
        plan.OURS, plan.Work("resnet50", "imagenet", 64, 224, 512, "none", "bfloat16"), True
    ).key
    twins = plan.Contender(plan.TWIN, plan.Work("resnet50", "imagenet", 64, 224, 512, "asae", "bfloat16")).key
    full = processes.Failed("RESOURCE_EXHAUSTED", worker.MEMORY)

    once = iter([full])
    faults = {("prepare", twins): lambda process: next(once, None)}
    rows = _rows(tmp_path, ours={("prepare", most): full}, twin=faults)
    (failed,) = [row for row in rows if row["kind"] == report.FAILED]
    assert (failed["batch_size"], failed["layer"]) == (512, "plain")
    assert failed["reason"] == "out of memory: RESOURCE_EXHAUSTED"
    (alone,) = [row for row in rows if row["kind"] == report.STEP and not row["interleaved"]]
    assert (alone["what"], alone["batch_size"], alone["layer"]) == ("PyTorch", 512, "ASAE + GMMCE")
    assert rows[-1]["batch_size"] == 32  # the sweep went on


def test_the_time_is_kept_and_what_found_none_says_so(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    def slow(process):
        now[0] += 30.0

    labels = ("ours", "ours, augmented", "PyTorch", "torch.compile")
    faults = {("prepare", label): slow for label in labels}
    rows = _rows(tmp_path, ours=faults, twin=faults, seconds=300)
    assert now[0] <= 300
    steps = [row["what"] for row in rows if row["kind"] == report.STEP]
    assert steps[:4] == ["ours, augmented", "PyTorch", "torch.compile", "ours"]  # the most important
    late = [row for row in rows if row["kind"] == report.FAILED]
    assert late
    assert all(row["reason"].startswith(("not begun", "no time was left")) for row in late)


def test_the_variant_s_1_x_1_convolutions_are_the_same_convolutions(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    conv, x = Conv(4, 1, strides=2), np.random.default_rng(0).normal(size=(2, 3, 6, 6, 8)).astype(np.float32)
    params = conv.init(jax.random.key(0), x)
    expected = conv.apply(params, x)
    with ours.as_convolutions():
        names = [str(equation.primitive) for equation in jax.make_jaxpr(conv.apply)(params, x).eqns]
        np.testing.assert_allclose(conv.apply(params, x), expected, rtol=0, atol=1e-5)
    assert "conv_general_dilated" in names
    assert "dot_general" not in names


def test_operations_are_counted_as_published():
    """ResNet-50 at 224 px: 4.09 thousand million multiplications forward (torchvision), twice as many back.

    But for the gradient of the images, which nobody asks for: 0.118 of the first convolution.
    """
    work = Work("resnet50", "imagenet", 64, 224, 2, "none", "float32")
    network = build.create_network(our_config(work), 1000)
    images = jnp.zeros((2, 224, 224, 3))
    variables = jax.eval_shape(functools.partial(network.init, train=False), jax.random.key(0), images)
    state = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), variables)

    def loss(params, images):
        return network.apply(state | {"params": params}, images, train=True, mutable=["batch_stats"])[0].sum()

    with as_on_accelerators():
        forward = ours.operations(jax.make_jaxpr(loss)(state["params"], images).jaxpr)
        both = ours.operations(jax.make_jaxpr(jax.grad(loss))(state["params"], images).jaxpr)
    assert forward / 4e9 == pytest.approx(4.09, rel=0.01)
    assert both / 4e9 == pytest.approx(3 * 4.09 - 0.118, rel=0.01)


def test_small_cards_compare_smaller_batches():
    sizes = [plan.fitted(plan.Size(), gib).batch_size for gib in (79.0, 40.0, 16.0, 6.0, None)]
    assert sizes == [256, 128, 64, 32, 256]


ECHO = """
import json, os, sys, time
for line in sys.stdin:
    request = json.loads(line)
    if request["do"] == "die": os._exit(3)
    if request["do"] == "hang": time.sleep(60)
    refused = request["do"] == "refuse"
    print(json.dumps({"error": "no", "kind": "other"} if refused else {"ok": request["do"]}))
    sys.stdout.flush()
"""


def test_a_process_that_dies_or_hangs_is_named_and_started_again(tmp_path):
    process = processes.Process([sys.executable, "-S", "-c", ECHO], tmp_path / "log")
    try:
        assert process.ask(60, {"do": "first"}) == "first"
        for do, reason in (("refuse", "^no$"), ("die", "status 3"), ("hang", "no answer within 0 s")):
            with pytest.raises(processes.Failed, match=reason):
                process.ask(0.2 if do == "hang" else 60, {"do": do})
            assert process.ask(60, {"do": "next"}) == "next"
    finally:
        process.stop()
    assert not process.is_running


def test_faults_of_memory_are_told_from_others():
    class Side(worker.Side):
        def full(self):
            raise MemoryError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 9 bytes\nmore")

        def wrong(self):
            np.zeros(3).reshape(2)

    full, wrong = (worker.answer(Side(), {"do": do}) for do in ("full", "wrong"))
    assert full == {
        "error": "RESOURCE_EXHAUSTED: Out of memory while trying to allocate 9 bytes",
        "kind": worker.MEMORY,
    }
    assert wrong["kind"] == worker.OTHER
    assert "reshape" in wrong["error"]
