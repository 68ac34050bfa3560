import os
import signal

import pytest

from asae_jax.training import interruption


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
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
