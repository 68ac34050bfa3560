"""Trains one small run on one, two and four hosts, ends hosts in several ways, and compares what comes of it.

    python -m benchmarks.hosts [--folder=DIR] [--cases=layouts,resumed,...]

Hosts are processes on this machine that talk over the loopback; devices are virtual CPU devices. Prints a
table of cases and ends with status 1 where one is not as it should be.

layouts: 2 hosts x 2 devices and 4 x 1 against 1 x 4: losses of every step, arrays of the newest checkpoint,
predictions, scores.
resumed: half on two hosts and half on one, and the other way round, against 1 x 4.
frozen: kept features of frozen stages (`init.views`), with a cache for each host, against 1 x 4.
evaluate: 2 hosts against one, parts that do not divide, once with batch statistics estimated again.
term: SIGTERM to one of two hosts, then the run is completed.
killed: SIGKILL to the second and to the first of two hosts.
refused: an error on one host, other settings on one host, two processes that do not know of each other.
"""

import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from absl import app, flags, logging

_FOLDER = flags.DEFINE_string("folder", "", "Where the runs go; empty: a temporary folder.")
_CASES = flags.DEFINE_list(
    "cases", ["layouts", "resumed", "frozen", "evaluate", "term", "killed", "refused"], "Which are tried."
)

ROOT = pathlib.Path(__file__).resolve().parent.parent
# Five steps: training is chaotic in rounding, and from the seventh on the losses of layouts part visibly.
SETTINGS = {
    "data.num_examples": 160, "data.stored_size": 36, "data.hue": "none", "augment.size": 32,
    "model.name": "resnet18", "model.width": 4, "asae.area": 0.3, "train.batch_size": 28,
    "train.epochs": 1, "train.log_every": 1, "optimizer.ema_decay": 0.9, "optimizer.learning_rate": 0.01,
    "eval.bootstrap": 0, "eval.batch_size": 16, "uncertainty.images_per_class": 3,
}  # fmt: skip
_SHALLOW = (
    "import sys, functools\n"
    "from asae_jax import cli, models\n"
    "from asae_jax.models.backbones.resnet import BasicBlock, ResNet\n"
    "models.MODELS['resnet18'] = functools.partial(ResNet, block=BasicBlock, stage_sizes=(1, 1, 1, 1))\n"
    "sys.exit(cli.main())\n"
)
"""The command line with one block a stage: compiling takes most of the time."""
_XLA = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
_SECONDS = 300.0


class Ended(NamedTuple):
    """How a host ended: its exit status, what it printed to either stream, and when (of `time.monotonic`)."""

    status: int
    out: str
    err: str
    at: float

    @property
    def last_line(self) -> str:
        """Of the standard error."""
        return (self.err.strip().splitlines() or [""])[-1]


class Hosts:
    """Processes that run one command line together."""

    def __init__(
        self,
        folder: pathlib.Path,
        count: int,
        devices: int,
        *arguments: str,
        settings: Mapping[str, object] = SETTINGS,
        extra: Mapping[int, Sequence[str]] | None = None,
        distributed: bool = True,
        variables: Mapping[str, str] | None = None,
    ):
        """Starts them.

        Args:
          folder: where they write what they print.
          count: of hosts.
          devices: of each.
          *arguments: of the command line.
          settings: given to all.
          extra: host -> further arguments of it.
          distributed: whether they know of each other.
          variables: of the environment, besides.
        """
        folder.mkdir(parents=True, exist_ok=True)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{free.getsockname()[1]}"
        options = [f"--config.{name}={value}" for name, value in settings.items()]
        options += ["--config.train.distributed=auto"] * (distributed and count > 1)
        environment = os.environ | {
            "JAX_PLATFORMS": "cpu",
            "JAX_COMPILATION_CACHE_DIR": str(folder.parent / "xla"),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.3",
            "XLA_FLAGS": f"{_XLA} --xla_force_host_platform_device_count={devices}",
            **(variables or {}),
        }
        self._started, self._folder = len(list(folder.glob("*.out"))), folder
        self.processes = []
        for host in range(count):
            if distributed and count > 1:
                environment |= {"JAX_COORDINATOR_ADDRESS": address, "JAX_NUM_PROCESSES": str(count)}
                environment |= {"JAX_PROCESS_ID": str(host)}
            command = [sys.executable, "-c", _SHALLOW, *arguments, *options, *(extra or {}).get(host, ())]
            with self._file(host, "out").open("w") as out, self._file(host, "err").open("w") as err:
                self.processes.append(
                    subprocess.Popen(command, cwd=ROOT, env=environment, stdout=out, stderr=err)
                )

    def _file(self, host: int, kind: str) -> pathlib.Path:
        return self._folder / f"{self._started}-{host}.{kind}"

    def ended(self, seconds: float = _SECONDS) -> list[Ended]:
        """How each of them ended; those that do not within `seconds` are killed (status -9)."""
        found: dict[int, Ended] = {}
        until = time.monotonic() + seconds
        while len(found) < len(self.processes):
            for host, process in enumerate(self.processes):
                if host not in found and (status := process.poll()) is not None:
                    texts = [self._file(host, kind).read_text(errors="replace") for kind in ("out", "err")]
                    found[host] = Ended(status, *texts, time.monotonic())
                elif time.monotonic() > until:
                    process.kill()
            time.sleep(0.02)
        return [found[host] for host in range(len(self.processes))]


def losses(workdir: pathlib.Path) -> list[float]:
    """Of every step that `metrics.jsonl` records."""
    lines = (workdir / "metrics.jsonl").read_text().splitlines() if workdir.exists() else []
    return [record["loss"] for record in map(json.loads, lines) if record["kind"] == "train"]


def arrays(workdir: pathlib.Path) -> list[np.ndarray]:
    """Of the newest checkpoint."""
    import jax

    from asae_jax.run.checkpoint import Checkpoints

    checkpoints = Checkpoints(workdir)
    state = checkpoints.read(checkpoints.newest)
    checkpoints.close()
    return jax.tree.leaves(state)


def difference(a: pathlib.Path, b: pathlib.Path) -> str:
    """The largest differences between two runs, in words; fails where one is more than rounding."""
    loss_a, loss_b = losses(a), losses(b)
    assert len(loss_a) == len(loss_b), f"{len(loss_a)} and {len(loss_b)} losses"
    by_loss = float(np.max(np.abs(np.subtract(loss_a, loss_b))))
    pairs = list(zip(arrays(a), arrays(b), strict=True))
    by_array = max(float(np.max(np.abs(x - y), initial=0)) for x, y in pairs)
    same = sum(np.array_equal(x, y) for x, y in pairs)
    scores = [json.loads((run / "evaluation" / "test.json").read_text()) for run in (a, b)]
    by_score = max(abs(scores[0][name] - scores[1][name]) for name in ("accuracy", "macro_f1", "nll"))
    assert scores[0]["num_examples"] == scores[1]["num_examples"]
    assert max(by_loss, by_array, by_score) < 1e-3, f"differences {by_loss}, {by_array}, {by_score}"
    return (
        f"losses {by_loss:.1e}, arrays {by_array:.1e} ({same} of {len(pairs)} bit for bit), "
        f"scores {by_score:.1e}"
    )


def _train(folder: pathlib.Path, hosts: int, devices: int, *arguments: str, **options: object) -> Hosts:
    workdir = f"--workdir={folder / 'run'}"
    return Hosts(folder, hosts, devices, "train", "--config=default", workdir, *arguments, **options)  # type: ignore[arg-type]


def _complete(folder: pathlib.Path, hosts: int, devices: int, *arguments: str) -> pathlib.Path:
    ended = _train(folder, hosts, devices, *arguments).ended()
    statuses = [one.status for one in ended]
    assert statuses == [0] * hosts, f"exit statuses {statuses}: {[one.err[-500:] for one in ended]}"
    assert not any(one.out or one.err for one in ended[1:]), "other hosts than the first print"
    return folder / "run"


def _one_by_four(folder: pathlib.Path) -> pathlib.Path:
    run = folder / "1x4" / "run"
    return run if (run / "index.html").exists() else _complete(folder / "1x4", 1, 4)


def _layouts(folder: pathlib.Path) -> dict[str, str]:
    one = _one_by_four(folder)
    two, four = _complete(folder / "2x2", 2, 2), _complete(folder / "4x1", 4, 1)
    return {
        "2 x 2 against 1 x 4": difference(two, one),
        "4 x 1 against 1 x 4": difference(four, one),
        "2 x 2 against 4 x 1": difference(two, four),
    }


def _resumed(folder: pathlib.Path) -> dict[str, str]:
    one, found = _one_by_four(folder), {}
    for name, first, second in (("2 hosts, then 1", (2, 2), (1, 4)), ("1 host, then 2", (1, 4), (2, 2))):
        place = folder / name.replace(", ", "-").replace(" ", "_")
        _complete(place, *first, "--config.train.max_steps=2")
        steps = sorted(entry.name for entry in (place / "run" / "checkpoints").iterdir())
        found[f"{name}, against 1 x 4"] = difference(_complete(place, *second), one)
        assert steps == ["2"], f"checkpoints {steps}"
    return found


def _frozen(folder: pathlib.Path) -> dict[str, str]:
    options = [f"--config.init.pretrained={_one_by_four(folder)}", "--config.init.freeze=layer2"]
    options += ["--config.init.views=2"]
    one = _complete(folder / "frozen_1x4", 1, 4, *options)
    place = folder / "frozen_2x2"
    hosts = _train(place, 2, 2, *options, extra={1: [f"--config.data.cache_dir={place / 'cache_of_1'}"]})
    ended = hosts.ended()
    assert [one.status for one in ended] == [0, 0], [one.err[-500:] for one in ended]
    kept = [sorted((place / name).glob("features-*/view*/features.*")) for name in ("cache", "cache_of_1")]
    same = [a.read_bytes() == b.read_bytes() for a, b in zip(*kept, strict=True)]
    assert same == [True, True], f"features of the hosts {same}"
    return {"frozen stages kept, a cache each, 2 x 2 against 1 x 4": difference(place / "run", one)}


def _evaluate(folder: pathlib.Path) -> dict[str, str]:
    run, found = _one_by_four(folder), {}
    for part, extra in (("train", ()), ("all", ("--batch_statistics=reestimate",))):
        scores = []
        for hosts, devices in ((1, 4), (2, 2)):
            options = (f"--workdir={run}", f"--split={part}", f"--name={part}{len(extra)}{hosts}", *extra)
            ended = Hosts(folder / "evaluate", hosts, devices, "evaluate", *options, settings={}).ended()
            assert [one.status for one in ended] == [0] * hosts, [one.err[-500:] for one in ended]
            scores.append(json.loads((run / "evaluation" / f"{part}{len(extra)}{hosts}.json").read_text()))
        assert scores[0]["confusion_matrix"] == scores[1]["confusion_matrix"]
        by_score = max(abs(scores[0][name] - scores[1][name]) for name in ("accuracy", "nll", "ece"))
        number = scores[1]["num_examples"]
        case = f"evaluate {' '.join((part, *extra))}, {number} images in batches of 16, 2 x 2 against 1 x 4"
        found[case] = f"scores {by_score:.1e}, the same predictions"
    return found


def _endless(folder: pathlib.Path) -> Hosts:
    """Two hosts that have trained for three steps, and have many before them."""
    shutil.rmtree(folder, ignore_errors=True)
    hosts, run = _train(folder, 2, 2, "--config.train.epochs=400"), folder / "run"
    until, steps = time.monotonic() + _SECONDS, 3
    while not (run / "metrics.jsonl").exists() or len(losses(run)) < steps:
        running = [one.poll() is None for one in hosts.processes]
        assert all(running), f"ended before step {steps}: {hosts.ended(1)}"
        assert time.monotonic() < until, "no steps"
        time.sleep(0.05)
    return hosts


def _term(folder: pathlib.Path) -> dict[str, str]:
    place = folder / "term"
    hosts = _endless(place)
    hosts.processes[1].send_signal(signal.SIGTERM)
    ended = hosts.ended()
    steps = [int(entry.name) for entry in (place / "run" / "checkpoints").iterdir()]
    assert [one.status for one in ended] == [143, 143], [(one.status, one.err[-500:]) for one in ended]
    assert f"interrupted after step {max(steps)}" in ended[0].out, ended[0].out[-300:]
    return {
        "SIGTERM to the second of two": f"both end with 143 after step {max(steps)}, which is saved; "
        f"losses recorded: {len(losses(place / 'run'))}"
    }


def _killed(folder: pathlib.Path) -> dict[str, str]:
    found = {}
    for victim, other in ((1, 0), (0, 1)):
        place = folder / f"killed{victim}"
        hosts = _endless(place)
        hosts.processes[victim].kill()
        ended = hosts.ended(100)
        seconds = ended[other].at - ended[victim].at
        assert seconds < 60, f"{seconds:.0f} s: {ended[other]}"
        assert ended[other].status > 0, ended[other]
        lines = [line for line in ended[other].err.splitlines() if "compiling" not in line]
        assert len(lines) == 1, ended[other].err[-2000:]
        said = ended[other].last_line
        found[f"SIGKILL to host {victim}"] = f"host {other} ends {seconds:.0f} s later: {said}"
    return found


def _refused(folder: pathlib.Path) -> dict[str, str]:
    found = {}
    wrong = folder / "a_file"
    wrong.write_text("")
    tries: dict[str, dict[int, Sequence[str]]] = {
        "an error of the user on the second of two": {1: [f"--config.data.cache_dir={wrong}"]},
        "an error of the user on the first of two": {0: [f"--config.data.cache_dir={wrong}"]},
        "other settings on the second of two": {1: ["--config.optimizer.learning_rate=0.5"]},
    }
    for name, extra in tries.items():
        place = folder / name.replace(" ", "_")
        ended = _train(place, 2, 2, extra=extra).ended()
        assert [one.status for one in ended] == [2, 2], [(one.status, one.err[-500:]) for one in ended]
        assert all(one.err.count("error: ") == 1 for one in ended), [one.err for one in ended]
        assert not (place / "run").exists(), "a refused run was started"
        spread = max(one.at for one in ended) - min(one.at for one in ended)
        found[name] = f"both end with 2, {spread:.0f} s apart; host 0 says: {ended[0].last_line}"
    place = folder / "unknown"
    hosts = _train(
        place, 2, 2, "--config.train.epochs=400", distributed=False, variables={"SLURM_NTASKS": "2"}
    )
    until = time.monotonic() + _SECONDS
    while (statuses := [one.poll() for one in hosts.processes]).count(None) == 2:
        assert time.monotonic() < until
        time.sleep(0.1)
    for process in hosts.processes:
        process.kill()
    ended = hosts.ended()
    said = ended[[status is not None for status in statuses].index(True)]
    assert said.status == 2, said
    assert "train.distributed" in said.last_line, said
    found["two processes without train.distributed"] = said.last_line
    return found


CASES: dict[str, Callable[[pathlib.Path], dict[str, str]]] = {
    "layouts": _layouts,
    "resumed": _resumed,
    "frozen": _frozen,
    "evaluate": _evaluate,
    "term": _term,
    "killed": _killed,
    "refused": _refused,
}


def main(_) -> None:
    logging.set_verbosity(logging.WARNING)
    failed = False
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(_FOLDER.value or temporary).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        for name in _CASES.value:
            started = time.monotonic()
            try:
                rows = CASES[name](folder)
            except AssertionError as error:
                failed, rows = True, {f"{name} FAILED": re.sub(r"\s+", " ", str(error))}
            for case, result in rows.items():
                print(f"{case}: {result.replace(str(folder), '')}", flush=True)
            print(f"  ({name}: {time.monotonic() - started:.0f} s)", flush=True)
    if failed:
        raise SystemExit(1)


if __name__ == "__main__":
    app.run(main)
