import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from asae_jax.run import parallel

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("batch_size", [6, 35])
def test_a_cpu_gets_one_device_per_core_that_divides_the_batch(batch_size):
    code = (
        "from asae_jax.run import parallel; import jax, os\n"
        f"parallel.use_all_cores({batch_size})\n"
        "print(jax.device_count(), 'terminate_timeout' in os.environ['XLA_FLAGS'])"
    )
    environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    shown = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=ROOT, capture_output=True, text=True, check=True
    )
    cores = len(os.sched_getaffinity(0))
    expected = max(n for n in range(1, cores + 1) if batch_size % n == 0)
    assert shown.stdout.split() == [str(expected), "True"]


@pytest.mark.parametrize(
    ("batch_size", "classes", "cores", "line"),
    [
        (127, 1, 2, "127 images can be shared by only one core of 2, which is slow: 126 or 128 use all"),
        (35, 1, 16, "35 images can be shared by only 7 cores of 16, which is slow: 32 or 48 use all"),
        (3, 1, 8, "3 images can be shared by only 3 cores of 8, which is slow: 8 use all"),
        (33, 11, 2, "33 images can be shared by only one core of 2, which is slow: 22 or 44 use all"),
        (128, 1, 2, None),
        (64, 1, 6, None),
    ],
)
def test_a_batch_that_few_cores_can_share_is_pointed_out(
    monkeypatch, capsys, batch_size, classes, cores, line
):
    monkeypatch.setenv("XLA_FLAGS", "")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(cores), raising=False)
    monkeypatch.setattr(parallel.jax, "default_backend", lambda: "cpu")
    parallel.point_out_idle_cores(batch_size, num_classes=classes)
    assert capsys.readouterr().out == (f"a batch of {line}\n" if line else "")
    monkeypatch.setattr(parallel.jax, "default_backend", lambda: "gpu")  # there the cores do not matter
    parallel.point_out_idle_cores(batch_size, num_classes=classes)
    assert not capsys.readouterr().out


def test_a_device_count_that_was_asked_for_is_kept(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_force_host_platform_device_count=8")
    parallel.use_all_cores(7)
    assert os.environ["XLA_FLAGS"] == "--xla_force_host_platform_device_count=8"


def test_splitting_and_joining_keep_the_order():
    batch = {"image": np.arange(32).reshape(16, 2)}
    np.testing.assert_array_equal(parallel.join(parallel.split(batch)["image"]), batch["image"])


def test_batches_are_few_in_kind_and_hold_little_padding(monkeypatch):
    for devices in (1, 2, 6):
        monkeypatch.setattr(parallel.jax, "device_count", lambda devices=devices: devices)
        for most in (1, 30, 128):
            sizes = {count: parallel.even_batches(count, most) for count in range(1, 1000)}
            assert all(
                size % devices == 0 and size <= parallel.round_up_to_devices(most) for size in sizes.values()
            )
            assert len(set(sizes.values())) <= 2 * most.bit_length()
            computed = {count: -(-count // size) * size for count, size in sizes.items()}
            # One batch is up to one and a half times too large; several are nearly full.
            assert all(computed[count] <= 1.5 * count + 2 * devices for count in range(1, most + 1))
            assert all(computed[count] <= 1.25 * count + 4 * devices for count in range(most + 1, 1000))


def test_a_batch_just_over_the_largest_does_not_compute_twice_as_much(monkeypatch):
    monkeypatch.setattr(parallel.jax, "device_count", lambda: 2)
    assert parallel.even_batches(128, 128) == 128
    assert -(-158 // parallel.even_batches(158, 128)) * parallel.even_batches(158, 128) < 170
    assert parallel.even_batches(100_000, 128) == 128
