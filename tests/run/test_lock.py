"""Only one process trains in a run folder."""

import errno
import subprocess

import filelock
import pytest

from asae_jax.errors import UserError
from asae_jax.run.lock import only_one

_HOLD = """
import sys, time
from pathlib import Path
from asae_jax.run.lock import only_one
with only_one(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_process_is_refused_until_the_first_has_ended_even_by_a_crash(tmp_path, start_process):
    workdir = tmp_path / "run"
    first = start_process(_HOLD, workdir, stdout=subprocess.PIPE, text=True)
    assert first.stdout.readline() == "held\n"
    with pytest.raises(UserError, match="another process is training in"), only_one(workdir):
        pass
    first.kill()
    first.wait()
    with only_one(workdir):
        pass


def test_it_is_free_again_after_an_error(tmp_path):
    with pytest.raises(ZeroDivisionError), only_one(tmp_path):
        raise ZeroDivisionError
    with only_one(tmp_path):
        pass


def test_a_drive_without_locks_is_pointed_out(tmp_path, monkeypatch, capsys):
    def refuse(*_, **__):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(filelock.FileLock, "acquire", refuse)
    with only_one(tmp_path):
        pass
    assert "has no locks" in capsys.readouterr().out
