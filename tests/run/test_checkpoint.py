import pathlib
import shutil
import types

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest

from asae_jax.errors import UserError
from asae_jax.run.checkpoint import DAMAGED, FOLDER, Checkpoints, DamagedCheckpoint
from asae_jax.run.digests import FILE
from asae_jax.run.state import TrainState


def _state(step, width=3):
    params = {"kernel": jnp.arange(width, dtype=jnp.float32) + step}
    return TrainState(
        step=jnp.int32(step),
        params=params,
        batch_stats={"mean": jnp.full(2, 0.5)},
        opt_state=optax.sgd(0.1, momentum=0.9).init(params),
        average=None,
    )


@pytest.fixture
def checkpoints(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    yield checkpoints
    checkpoints.close()


def test_newest_and_best_are_kept_when_the_score_falls(checkpoints):
    for step, score in ((1, 0.5), (2, 0.9), (3, 0.4), (4, 0.3)):
        checkpoints.save(_state(step), score=score)
    checkpoints.wait()
    assert checkpoints.newest == 4
    assert checkpoints.best == 2
    np.testing.assert_array_equal(checkpoints.restore(_state(0), 2).params["kernel"], [2, 3, 4])


def test_a_checkpoint_without_a_score_is_never_the_best(checkpoints):
    checkpoints.save(_state(1), score=0.1)
    checkpoints.save(_state(2))
    checkpoints.wait()
    assert (checkpoints.newest, checkpoints.best) == (2, 1)


def test_the_best_so_far_is_told(checkpoints):
    assert checkpoints.is_best(0.1)
    assert not checkpoints.is_best(None)
    checkpoints.save(_state(1), score=0.5)
    checkpoints.save(_state(2), score=0.4)
    checkpoints.save(_state(3))
    assert [checkpoints.is_best(score) for score in (0.4, 0.5, 0.6, float("nan"))] == [
        False,
        True,
        True,
        False,
    ]


def test_a_later_checkpoint_of_the_same_score_is_the_best(checkpoints):
    """As `is_best` has it: which checkpoints are saved does not decide which one is used."""
    for step in (1, 2, 3):
        checkpoints.save(_state(step), score=0.5)
    checkpoints.wait()
    assert checkpoints.best == 3


def test_without_scores_the_newest_counts_as_best(checkpoints):
    assert checkpoints.best is None
    checkpoints.save(_state(3))
    checkpoints.wait()
    assert checkpoints.best == 3


def test_everything_comes_back_bit_for_bit(checkpoints):
    state = _state(5)
    checkpoints.save(state, score=0.5)
    checkpoints.wait()
    restored = checkpoints.restore(_state(0), 5)
    assert jax.tree.structure(restored) == jax.tree.structure(state)
    for a, b in zip(jax.tree.leaves(restored), jax.tree.leaves(state), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


def test_another_network_is_refused_in_one_line(checkpoints):
    checkpoints.save(_state(1))
    checkpoints.wait()
    with pytest.raises(UserError, match=r"opt_state.0.trace.kernel is \[3\] there and \[4\] here"):
        checkpoints.restore(_state(0, width=4), 1)


def test_an_array_that_is_missing_is_named(checkpoints):
    checkpoints.save(_state(1))
    checkpoints.wait()
    with_average = _state(0).replace(average={"params": {"kernel": jnp.zeros(3)}})
    with pytest.raises(UserError, match=r"average.params.kernel is missing there"):
        checkpoints.restore(with_average, 1)


def test_a_full_disk_is_one_clear_line(checkpoints, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ocp.CheckpointManager, "save", full)
    with pytest.raises(UserError, match=r"No space left on device.*free some space"):
        checkpoints.save(_state(1))


def test_a_disk_without_room_is_one_line_before_anything_is_written(checkpoints, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: types.SimpleNamespace(free=10))
    with pytest.raises(UserError, match=r"cannot write a checkpoint to .* \(\d+ bytes needed, 10 free\)"):
        checkpoints.save(_state(1), score=0.5)
    checkpoints.wait()
    assert checkpoints.newest is None


def test_the_two_newest_and_the_best_are_kept(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    for step, score in ((1, 0.9), (2, 0.5), (3, 0.4), (4, 0.3)):
        checkpoints.save(_state(step), score=score)
    checkpoints.close()
    assert {entry.name for entry in (tmp_path / FOLDER).iterdir()} == {"1", "3", "4"}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A run folder with checkpoints of the steps 2 (the best) and 3."""
    workdir = tmp_path_factory.mktemp("saved")
    checkpoints = Checkpoints(workdir)
    checkpoints.save(_state(2), score=0.5)
    checkpoints.save(_state(3), score=0.4)
    checkpoints.close()
    return workdir


def _flip(file: pathlib.Path) -> None:
    content = bytearray(file.read_bytes()) or bytearray(1)
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def _cut(file: pathlib.Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


DAMAGES = {"flipped": _flip, "cut": _cut, "deleted": pathlib.Path.unlink}


def _files(workdir):
    return sorted(file for file in (workdir / FOLDER / "3").rglob("*") if file.is_file())


@pytest.mark.parametrize("damage", DAMAGES)
def test_whatever_file_of_the_newest_is_damaged_training_goes_on_from_the_one_before(saved, tmp_path, damage):
    for number, file in enumerate(_files(saved)):
        if not file.stat().st_size and damage == "cut":
            continue
        workdir = tmp_path / str(number)
        shutil.copytree(saved, workdir)
        DAMAGES[damage](workdir / file.relative_to(saved))
        checkpoints = Checkpoints.to_go_on(workdir)
        restored = checkpoints.restore_newest(_state(0))
        assert int(restored.step) == 2, file
        np.testing.assert_array_equal(restored.params["kernel"], [2, 3, 4])
        checkpoints.save(_state(3), score=0.4)
        checkpoints.close()
        assert (workdir / DAMAGED / "3").is_dir()
        again = Checkpoints.to_go_on(workdir)
        assert again.newest == 3
        again.close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # Orbax's own threads
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("damage", DAMAGES)
def test_without_digests_no_damage_gives_other_numbers_or_a_traceback(saved, tmp_path, damage):
    """A process that was killed right after a checkpoint has not written digests yet."""
    for number, file in enumerate(_files(saved)):
        workdir = tmp_path / str(number)
        shutil.copytree(saved, workdir)
        (workdir / FILE).unlink()
        DAMAGES[damage](workdir / file.relative_to(saved))
        checkpoints = Checkpoints.to_go_on(workdir)
        restored = checkpoints.restore_newest(_state(0))
        checkpoints.close()
        np.testing.assert_array_equal(restored.params["kernel"], np.arange(3) + int(restored.step))


def test_a_damaged_checkpoint_is_not_used_for_a_prediction(saved, tmp_path):
    workdir = tmp_path / "run"
    shutil.copytree(saved, workdir)
    largest = max(_files(workdir), key=lambda file: file.stat().st_size)
    _flip(largest)
    checkpoints = Checkpoints(workdir)
    with pytest.raises(DamagedCheckpoint, match=f"{largest.name} has changed.*goes on from checkpoint 2"):
        checkpoints.restore_variables(3)
    checkpoints.close()
    assert sorted(entry.name for entry in (workdir / FOLDER).iterdir()) == ["2", "3"]


def test_an_empty_folder_among_the_checkpoints_does_not_block_the_run(saved, tmp_path):
    workdir = tmp_path / "run"
    shutil.copytree(saved, workdir)
    (workdir / FOLDER / "999").mkdir()
    with pytest.raises(DamagedCheckpoint, match=r"999 is damaged \(it is incomplete\)"):
        Checkpoints(workdir)
    checkpoints = Checkpoints.to_go_on(workdir)
    assert int(checkpoints.restore_newest(_state(0)).step) == 3
    checkpoints.close()


def test_a_run_whose_checkpoints_are_all_damaged_does_not_start_over_by_itself(saved, tmp_path):
    workdir = tmp_path / "run"
    shutil.copytree(saved, workdir)
    for step in ("2", "3"):
        shutil.rmtree(workdir / FOLDER / step / "default")
    checkpoints = Checkpoints.to_go_on(workdir)
    with pytest.raises(UserError, match=r"no checkpoint of .* is whole"):
        checkpoints.restore_newest(_state(0))
    checkpoints.close()


@pytest.mark.parametrize("content", ["[]", "{", '{"files": [], "checkpoints": {}}', None])
def test_damaged_digests_are_refused_and_cost_no_checkpoint(saved, tmp_path, content):
    workdir = tmp_path / "run"
    shutil.copytree(saved, workdir)
    text = (workdir / FILE).read_text()
    place = text.index('"', text.index("default")) + 8  # a digit of a digest
    changed = text[:place] + ("0" if text[place] != "0" else "1") + text[place + 1 :]
    (workdir / FILE).write_text(changed if content is None else content)
    with pytest.raises(UserError, match=r"digests\.json .*delete it: the run is then used unchecked"):
        Checkpoints.to_go_on(workdir)
    assert {entry.name for entry in (workdir / FOLDER).iterdir()} == {"2", "3"}


@pytest.mark.parametrize("score", ["null", "[]", "{}", '{"score": "high"}'])
def test_a_score_that_is_none_puts_the_checkpoint_aside(saved, tmp_path, score):
    workdir = tmp_path / "run"
    shutil.copytree(saved, workdir)
    (workdir / FILE).unlink()
    (workdir / FOLDER / "3" / "metrics" / "metrics").write_text(score)
    checkpoints = Checkpoints.to_go_on(workdir)
    assert checkpoints.newest == 2
    checkpoints.close()


def test_reading_writes_nothing_into_a_run_without_digests(saved, tmp_path):
    workdir = tmp_path / "run"
    shutil.copytree(saved, workdir)
    (workdir / FILE).unlink()
    checkpoints = Checkpoints(workdir)
    checkpoints.restore_variables(3)
    checkpoints.close()
    assert not (workdir / FILE).exists()


def test_what_fails_although_the_files_are_as_written_is_no_damage(saved, tmp_path, monkeypatch):
    """A network drive that is away for a moment must not cost a checkpoint."""
    workdir = tmp_path / "run"
    shutil.copytree(saved, workdir)
    checkpoints = Checkpoints.to_go_on(workdir)

    def away(*_, **__):
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(ocp.CheckpointManager, "restore", away)
        with pytest.raises(OSError, match="Input/output error"):
            checkpoints.restore_newest(_state(0))
    assert not (workdir / DAMAGED).exists()
    assert int(checkpoints.restore_newest(_state(0)).step) == 3
    checkpoints.close()
