import itertools
import threading

import pytest

from asae_jax.input.workers import bounded, default_workers, thread_pool


@pytest.mark.parametrize("ahead", [0, 1, 3, 100])
def test_bounded_starts_in_order_and_not_too_early(ahead):
    started = []

    def start(item):
        started.append(item)
        return item

    for handed_out, item in enumerate(bounded(start, range(10), ahead)):
        assert item == handed_out
        assert len(started) == min(handed_out + ahead + 1, 10)


def test_bounded_takes_an_endless_sequence():
    assert list(itertools.islice(bounded(str, itertools.count(), 4), 3)) == ["0", "1", "2"]


def test_a_pool_left_by_an_error_drops_what_has_not_begun():
    begun = threading.Event()
    gate = threading.Event()
    done = []

    def work(number):
        begun.set()
        gate.wait()
        done.append(number)

    def leave():
        with thread_pool(1) as pool:
            for number in range(50):
                pool.submit(work, number)
            begun.wait()
            threading.Timer(0.01, gate.set).start()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        leave()
    assert len(done) < 50
    assert not any(thread.name.startswith("asae-input") for thread in threading.enumerate())


def test_there_is_a_worker():
    assert default_workers() >= 1
