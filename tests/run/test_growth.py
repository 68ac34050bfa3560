"""`benchmarks/growth.py`: its slopes have known answers, and a tiny run of it measures every sweep."""

import json

import numpy as np
import pytest

from benchmarks import growth

SIZES = (10, 100, 1000, 10_000)


@pytest.mark.parametrize("power", [0.0, 1.0, 1.5, 2.0])
def test_the_slope_of_a_power_is_its_exponent(power):
    seconds = [0.02 * size**power for size in SIZES]
    assert growth.slope(SIZES, seconds) == pytest.approx(power)
    assert growth.local_slopes(SIZES, seconds) == pytest.approx([power] * 3)
    assert growth.bend(SIZES, growth.local_slopes(SIZES, seconds)) is None


def test_a_fixed_cost_that_is_outgrown_is_a_bend():
    assert growth.bend(SIZES, growth.local_slopes(SIZES, [1, 1, 10, 100])) == 100
    assert growth.bend(SIZES, growth.local_slopes(SIZES, [1, 10, 100, 10_000])) == 1000
    assert growth.bend((1,), []) is None
    assert np.isnan(growth.slope((1,), (2,)))


@pytest.mark.filterwarnings("ignore:classes .* have one")
@pytest.mark.usefixtures("blank_pictures")
def test_every_sweep_is_measured(tmp_path, monkeypatch, capsys):
    steps = []
    monkeypatch.setattr(growth.compile_cache, "switch_on", lambda: None)
    monkeypatch.setattr(growth.jax.config, "update", lambda *_: None)  # the tests' devices stay
    monkeypatch.setattr(growth.cpu_devices, "compiled", lambda *given: lambda: steps.append(given))
    monkeypatch.setattr(growth, "ROWS", 600)
    growth.step_of.cache_clear()
    options = [
        "--rounds=1",
        "--scale=0.004",
        f"--output={tmp_path / 'g.json'}",
        f"--plot={tmp_path / 'g.png'}",
    ]
    found = growth.main(options)
    growth.step_of.cache_clear()
    assert json.loads((tmp_path / "g.json").read_text())["rounds"] == 1
    assert {row["part"] for row in found["sweeps"]} == set(growth.PARTS)
    assert {devices for _, devices, _ in steps} == set(growth.DEVICES)
    for row in found["sweeps"]:
        assert len(row["cpu"]) == len(row["wall"]) == len(row["sizes"])
        assert min(row["wall"]) > 0
    assert (tmp_path / "g.png").stat().st_size
    assert "| near-duplicate search | 8 to 684 images | " in capsys.readouterr().out
