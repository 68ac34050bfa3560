"""Which runs a grid has: every one once, whatever is asked for first."""

import pytest

from asae_jax import config
from asae_jax.errors import UserError
from asae_jax.experiments.grid import plan, run_folder, with_batch_size
from asae_jax.experiments.rows import chosen_tables
from tests.experiments.fakes import base_config


def _plan(tables, *, base=None, seeds=1):
    return plan(base or base_config(), chosen_tables(tables).values(), num_seeds=seeds)


def test_shared_rows_run_once_and_seed_by_seed():
    grid = _plan("1,2,4", seeds=2)
    names = [run.name for run in grid.runs]
    assert len(names) == len(set(names)) == 18
    assert names[:3] == ["plain-s0", "hue-s0", "baseline-s0"]
    assert [name[-3:] for name in names] == ["-s0"] * 9 + ["-s1"] * 9
    assert [run.config.seed for run in grid.runs] == [0] * 9 + [1] * 9


def test_rows_with_the_same_settings_share_their_runs():
    small = _plan("3")
    assert small.run_as["resnet18"] == "baseline"
    assert small.run_as["resnet18-asae"] == "asae"
    assert small.run_as["resnet50"] == "resnet50"
    paper = _plan("3", base=config.base_config())
    assert paper.run_as["resnet50"] == "baseline"
    assert paper.run_as["resnet18"] == "resnet18"
    assert {run.row for run in small.runs} == set(small.run_as.values())


def test_a_table_asked_for_later_finds_the_runs_that_are_there():
    alone, together = _plan("3"), _plan("1,2,3,4,5")
    for row, shared in alone.run_as.items():
        assert together.run_as[row] == shared


def test_the_first_seed_is_that_of_the_configuration():
    base = base_config()
    base.seed = 10
    grid = _plan("4", base=base, seeds=3)
    assert grid.seeds == (10, 11, 12)
    names = [run.name for run in grid.runs if run.row == "asae-gce"]
    assert names == [f"asae-gce-s{s}" for s in (10, 11, 12)]


def test_seeds_beyond_the_last_one_are_refused_before_anything_is_run():
    base = base_config()
    base.seed = 2**32 - 2
    assert _plan("4", base=base, seeds=2).seeds == (2**32 - 2, 2**32 - 1)
    with pytest.raises(UserError, match=r"seed.*4294967296"):
        _plan("4", base=base, seeds=3)


def test_all_rows_have_one_split_and_one_batch_size():
    for run in _plan("all").runs:
        assert run.config.data.split_seed == 0
        assert run.config.train.batch_size == base_config().train.batch_size


def test_a_batch_size_left_to_be_chosen_is_that_of_the_runs_begun(tmp_path, monkeypatch):
    base, tables = base_config(train__batch_size=0), chosen_tables("1").values()
    monkeypatch.setattr("asae_jax.experiments.grid.default_workers", lambda: 2)
    for devices, size in (
        (1, 28),  # of 14, 28, 42, 56 the nearest to 32 that two cores share
        (8, 56),  # 28 images cannot be dealt out to 8 devices
    ):
        monkeypatch.setattr("asae_jax.experiments.grid.devices_of_a_slot", lambda devices=devices: devices)
        assert with_batch_size(base, tables, tmp_path).train.batch_size == size
    begun = run_folder(tmp_path, "plain-s0")
    begun.mkdir(parents=True)
    (begun / "config.json").write_text(base_config(train__batch_size=42).to_json())
    assert with_batch_size(base, tables, tmp_path).train.batch_size == 42


def test_a_row_that_cannot_be_run_is_named_before_anything_is_run():
    with pytest.raises(UserError, match=r"row nlnet: .*nl_vgg16"):
        _plan("5", base=base_config(model__name="vgg16"))
    with pytest.raises(UserError, match=r"row \S+: .*config.asae.window=4"):
        _plan("1", base=base_config(asae__window=4))
