"""The machine divided among runs: cores, GPUs, and the devices that each run has."""

import os

import pytest

from asae_jax.errors import UserError
from asae_jax.experiments import slots
from asae_jax.experiments.slots import Slot, choose_slots, devices_of_a_slot


@pytest.fixture
def machine(monkeypatch):
    def has(backend, devices, cores=(0, 1, 2, 3), visible=None):
        monkeypatch.setattr(slots.devices, "probe", lambda: (backend, devices))
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(cores), raising=False)
        if visible is None:
            monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        else:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)

    return has


def test_one_run_on_a_cpu_has_all_of_it(machine):
    machine("cpu", 1)
    assert choose_slots(0) == [Slot()]
    assert choose_slots(1) == [Slot()]


def test_several_runs_on_a_cpu_divide_its_cores(machine):
    machine("cpu", 1, cores=(2, 3, 5, 7))
    assert [slot.cores for slot in choose_slots(2)] == [{2, 3}, {5, 7}]
    assert [slot.cores for slot in choose_slots(3)] == [{2}, {3}, {5}]
    with pytest.raises(UserError, match=r"--jobs=5 cannot be used: this machine has 4 cores"):
        choose_slots(5)


def test_each_gpu_has_a_run(machine):
    machine("gpu", 2)
    assert [dict(slot.environment) for slot in choose_slots(0)] == [
        {"CUDA_VISIBLE_DEVICES": "0"}, {"CUDA_VISIBLE_DEVICES": "1"},
    ]  # fmt: skip
    machine("gpu", 2, visible="4,6")
    shared = choose_slots(3)
    assert [slot.environment["CUDA_VISIBLE_DEVICES"] for slot in shared] == ["4", "6", "4"]
    assert all(slot.environment["XLA_PYTHON_CLIENT_PREALLOCATE"] == "false" for slot in shared)


def test_a_tpu_has_one_run(machine):
    machine("tpu", 8)
    assert choose_slots(0) == [Slot()]


@pytest.mark.parametrize(
    ("backend", "count", "devices"), [("cpu", 1, 1), ("cpu", 8, 8), ("gpu", 4, 1), ("tpu", 8, 8)]
)
def test_devices_that_share_the_batch_of_a_run(machine, backend, count, devices):
    machine(backend, count)
    assert devices_of_a_slot() == devices
