"""Two processes on the loopback stand for two hosts; benchmarks/hosts.py has what takes longer."""

import json
import os
import socket
import subprocess
from pathlib import Path

import jax
import numpy as np
import pytest

from asae_jax import cli
from asae_jax.config import flatten
from asae_jax.errors import UserError
from asae_jax.run import hosts, lock
from asae_jax.run.checkpoint import Checkpoints
from asae_jax.training import loop
from tests.training.tiny import shallow, tiny_config

ROOT = Path(__file__).resolve().parents[2]
TALK = """
import sys
import numpy as np
from asae_jax.errors import UserError
from asae_jax.run import hosts, parallel

def talk():
    assert hosts.gather(hosts.index() + 10) == [10, 11]
    assert hosts.first(lambda: {"of": hosts.index()}) == {"of": 0}
    like = {"a": np.zeros((2, 3), np.float32), "b": np.zeros((), np.int32), "c": np.zeros(2, bool)}
    tree = {"a": np.full((2, 3), -0.0, np.float32), "b": np.int32(-7), "c": np.array([True, False])}
    tree["a"][0, 1] = np.nan
    shared = parallel.shared(tree if hosts.is_first() else None, like)
    assert all(shared[name].tobytes() == tree[name].tobytes() for name in like)
    largest = parallel.Largest()
    assert [largest(15 * hosts.index() * (step == 1)) for step in range(4)] == [0, 0, 15, 0]
    assert largest.now(3 - hosts.index()) == 3
    hosts.check_same("settings", {"seed": 1})
    print("talked", flush=True)
    hosts.check_same("settings", {"seed": 1, "rate": [0.1, 0.2][hosts.index()]})

def explain(error):
    return (f"error: {error}", 2) if isinstance(error, UserError) else None

hosts.start()
sys.exit(hosts.run(talk, explain))
"""
TRAIN = """
import sys
from asae_jax import cli
from tests.training.tiny import shallow
with shallow():
    sys.exit(cli.main())
"""


def _two_hosts(start_process, code, *arguments):
    """Exit status, output and standard error of each."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    flags = os.environ["XLA_FLAGS"].replace("device_count=8", "device_count=2")
    variables = {"XLA_FLAGS": flags, "JAX_COORDINATOR_ADDRESS": address, "JAX_NUM_PROCESSES": "2"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    processes = [
        start_process(
            code, *arguments, cwd=ROOT, env=os.environ | variables | {"JAX_PROCESS_ID": str(host)}, **pipes
        )
        for host in range(2)
    ]
    texts = [process.communicate(timeout=240) for process in processes]
    return [(process.returncode, *text) for process, text in zip(processes, texts, strict=True)]


def test_hosts_hear_the_first_and_an_error_ends_all_in_one_line_each(start_process):
    first, second = _two_hosts(start_process, TALK)
    line = (
        "error: host 1 has other settings than host 0 (rate is 0.2, not 0.1): start the same command on all "
        "hosts, with the same data.\n"
    )
    for status, _, err in (first, second):
        assert (status, err.replace("host 0 of 2: ", "").replace("host 1 of 2: ", "")) == (2, line)
    assert "talked" in first[1]
    assert second[1] == ""


def _losses(workdir):
    records = map(json.loads, (workdir / "metrics.jsonl").read_text().splitlines())
    return [record["loss"] for record in records if record["kind"] == "train"]


def test_two_hosts_train_as_one_and_one_goes_on(tmp_path, start_process):
    """14 images are validated in two batches of 12: of the second the second host has none."""
    settings = {"train__log_every": 1, "eval__batch_size": 12, "train__max_steps": 3}
    settings |= {"model__branching": "none", "loss__name": "ce", "data__driver": "threads"}  # quick to start
    config = tiny_config(data__hue="none", optimizer__learning_rate=1e-3, **settings)  # rounding grows slowly
    options = [f"--config.{name}={value}" for name, value in flatten(config).items() if value != ""]
    both, one = tmp_path / "both" / "run", tmp_path / "one" / "run"
    ended = _two_hosts(start_process, TRAIN, "train", "--config=default", f"--workdir={both}", *options,
                       "--config.train.distributed=auto")  # fmt: skip
    assert [status for status, _, _ in ended] == [0, 0], ended
    assert "4 processor cores of 2 hosts" in ended[0][1]
    assert ended[1][1:] == ("", "")
    with shallow():
        config.train.max_steps = 4
        assert loop.train(config.copy_and_resolve_references(), one) == 0
        assert _losses(both) == pytest.approx(_losses(one)[:3], rel=1e-5)
        assert loop.train(config.copy_and_resolve_references(), both) == 0
    assert _losses(both) == pytest.approx(_losses(one), rel=1e-5)
    states = []
    for workdir in (both, one):
        checkpoints = Checkpoints(workdir)
        states.append(checkpoints.read(4)["params"])
        checkpoints.close()
    assert json.loads((both / "config.json").read_text())["train"]["distributed"] == "none"
    # A step moves them by about 1e-4: the rate times a gradient.
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-5), *states)


def test_who_the_hosts_are_must_be_said_whole(monkeypatch):
    monkeypatch.setenv("JAX_NUM_PROCESSES", "2")
    monkeypatch.delenv("JAX_COORDINATOR_ADDRESS", raising=False)
    with pytest.raises(UserError, match="JAX_COORDINATOR_ADDRESS, JAX_PROCESS_ID must be set"):
        hosts.start()
    monkeypatch.setenv("JAX_COORDINATOR_ADDRESS", "somewhere:1")
    monkeypatch.setenv("JAX_PROCESS_ID", "first")
    with pytest.raises(UserError, match="JAX_PROCESS_ID=first must be whole numbers"):
        hosts.start()


def test_other_commands_work_on_one_host(capsys, tmp_path):
    arguments = ["audit", "--config=quickstart", f"--workdir={tmp_path}", "--config.train.distributed=auto"]
    assert cli.main(arguments) == 2
    assert "`audit` works on one host" in capsys.readouterr().err


def test_processes_started_together_by_mistake_are_told_of_the_setting(tmp_path, monkeypatch):
    with lock.only_one(tmp_path):
        with pytest.raises(UserError) as alone, lock.only_one(tmp_path):
            pass
        monkeypatch.setenv("SLURM_NTASKS", "2")
        with (
            pytest.raises(UserError, match="2 processes were started together") as told,
            lock.only_one(tmp_path),
        ):
            pass
    assert "--config.train.distributed=auto" in str(told.value)
    assert "distributed" not in str(alone.value)


def test_on_one_host_everything_is_its_own():
    assert (hosts.count(), hosts.index(), hosts.is_first()) == (1, 0, True)
    assert hosts.gather("x") == ["x"]
    marker = object()
    assert hosts.first(lambda: marker) is marker
