import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from asae_jax.training import interruption

pytestmark = pytest.mark.usefixtures("usual_signals")
ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_first_signal_is_noted_and_handlers_come_back(number):
    before = signal.getsignal(number)
    with interruption.watch() as stop:
        assert not stop.requested
        assert stop.exit_status == 0
        os.kill(os.getpid(), number)
        assert stop.requested
        assert stop.exit_status == 128 + number
    assert signal.getsignal(number) is before


def test_second_interrupt_acts_as_usual():
    with interruption.watch():
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_ignored_signal_stays_ignored(number):
    signal.signal(number, signal.SIG_IGN)
    with interruption.watch() as stop:
        os.kill(os.getpid(), number)
        assert not stop.requested
        assert signal.getsignal(number) is signal.SIG_IGN
    assert signal.getsignal(number) is signal.SIG_IGN


def test_a_run_started_with_sigint_ignored_ends_by_sigterm_alone():
    """As a shell starts a background job: the disposition is inherited over exec."""
    code = (
        "import os, signal\n"
        "from asae_jax.training import interruption\n"
        "with interruption.watch() as stop:\n"
        "    for number in (signal.SIGINT, signal.SIGTERM):\n"
        "        os.kill(os.getpid(), number)\n"
        "        print(stop.exit_status)\n"
    )
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["0", str(128 + signal.SIGTERM)]
