"""The time left of a command, and what is shown of its work on a terminal and in a log."""

import math

import pytest

from asae_jax import terminal
from asae_jax.terminal import COMPILING, Bar, Forecast, Part, duration, plan, timed, track
from tests.screen import Screen


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_adds_up_the_parts_each_at_its_pace():
    forecast = Forecast({"step": Part(10), "image": Part(400, "step", 0.05)})
    forecast.measured("step", 4, 8.0)
    assert forecast.seconds_left() == pytest.approx(10 * 2 + 400 * 0.05 * 2)
    forecast.measured("image", 100, 1.0)
    assert forecast.seconds_left() == pytest.approx(10 * 2 + 400 * 0.01)
    forecast.done("step", 9)
    forecast.done("image", 500)
    assert forecast.seconds_left() == pytest.approx(2)


def test_knows_no_time_before_something_is_measured_unless_it_was_guessed():
    assert Forecast({"step": Part(10), "image": Part(1, "step", 2.0)}).seconds_left() is None
    assert Forecast({"step": Part(0), "picture": Part(8, ratio=0.5)}).seconds_left() == pytest.approx(4)


def test_follows_a_machine_that_becomes_slower():
    forecast = Forecast({"step": Part(1000)})
    for _ in range(300):
        forecast.measured("step", 1, 1.0)
    assert forecast.seconds_left() == pytest.approx(1000)
    forecast.measured("step", 1, 3.0)  # one slow step is no news
    assert forecast.seconds_left() < 1020
    for _ in range(1000):
        forecast.measured("step", 1, 2.0)
    assert forecast.seconds_left() == pytest.approx(2000, rel=0.01)


def test_one_estimate_for_the_whole_command_that_time_bears_out(clock):
    """With guesses that come true, time passed and time left add up to the same at any moment."""
    ends = []
    forecast = Forecast({"step": Part(50), "image": Part(300, "step", 0.01), COMPILING: Part(1.5)})
    with plan(forecast):
        with Bar("training", 50, "step", part="step", compiles=1, bursts=False, clock=clock) as bar:
            clock.now += 30 + 4  # compiling is measured with the first step
            bar.update()
            for _ in range(49):
                clock.now += 4
                bar.update()
                ends.append(clock.now + forecast.seconds_left())
        with Bar("scoring", 300, "image", part="image", compiles=0.5, clock=clock) as bar:
            clock.now += 17 + 0.04 * 100
            for _ in range(3):
                bar.update(100)
                ends.append(clock.now + forecast.seconds_left())
                clock.now += 0.04 * 100
    assert max(ends) - min(ends) < 0.03 * (ends[0] - 1000)


def test_leaves_compiling_out_of_the_pace(clock):
    bar = Bar("predicting", 100, "image", compiles=1, clock=clock)
    clock.now += 500
    bar.update(10)
    assert bar.time_left() == ""
    clock.now += 60
    bar.update(10)
    assert bar.time_left() == "about 8 min left"


def test_times_bursts_from_one_to_the_next(clock):
    bar = Bar("predicting", 1280, "image", compiles=1, clock=clock)
    for _ in range(4):
        clock.now += 60
        for _ in range(128):
            bar.update()
    assert bar.time_left() == "about 6 min left"


def test_does_not_count_what_happened_in_between(clock):
    bar = Bar("training", 20, "step", bursts=False, clock=clock)
    clock.now += 60
    bar.update()
    clock.now += 3000
    bar.restart()
    clock.now += 60
    bar.update()
    assert bar.time_left() == "about 18 min left"


def test_a_bar_without_a_place_in_the_plan_speaks_for_itself(clock):
    with plan(Forecast({"step": Part(1000)})) as _:
        bar = Bar("checking", 10, "image", clock=clock)
        clock.now += 120
        bar.update()
        assert bar.time_left() == "about 18 min left"


def test_measures_what_has_no_bar(monkeypatch, clock):
    monkeypatch.setattr(terminal.time, "monotonic", clock)
    forecast = Forecast({"saving": Part(3)})
    with plan(forecast), timed("saving"), timed("unknown"):
        clock.now += 5
    assert forecast.seconds_left() == pytest.approx(10)


def test_a_log_gets_a_line_a_minute_and_no_carriage_return(clock, capsys):
    with Bar("predicting", 1000, "image", compiles=1, clock=clock) as bar:
        for number in range(100):
            clock.now += 3
            bar.update(10, f"{number} odd")
    out, err = capsys.readouterr()
    assert out == ""
    assert "\r" not in err
    first, *lines = err.splitlines()
    assert first == "predicting: compiling for this machine first"
    assert len(lines) == 5
    assert lines[0] == "predicting: 200 of 1,000 images, 19 odd, about 4 min left"


def test_a_log_of_quick_work_is_empty(capsys):
    assert list(track(range(100), "checking", 100, "image")) == list(range(100))
    with Bar("", 10, "image", compiles=1) as bar:
        bar.update(10)
    assert capsys.readouterr() == ("", "")


def test_a_terminal_gets_a_bar_with_the_time_left(clock, monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr", screen := Screen())
    with Bar("training", 20, "step", compiles=1, bursts=False, clock=clock) as bar:
        assert "compiling for this machine first" in screen.getvalue()
        clock.now += 99
        bar.update()
        clock.now += 60
        bar.update()
        bar.note("loss 0.5")
        assert screen.last().startswith("training:  10%|")
        assert "2 of 20 steps, loss 0.5, about 18 min left" in screen.last()
        bar.say("above")
    assert capsys.readouterr().out == "above\n"


def test_a_terminal_shows_no_more_than_all(monkeypatch):
    """The last ones of several at a time may be fewer; tqdm gives up its total beyond it."""
    monkeypatch.setattr("sys.stderr", screen := Screen())
    with Bar("auditing", 19, "image") as bar:
        bar.update(16)
        bar.update(16)
    assert "19 of 19 images" in screen.last()


def test_a_terminal_shows_parts_of_a_unit_where_they_count(monkeypatch):
    monkeypatch.setattr("sys.stderr", screen := Screen())
    with Bar("reproduce", 4, "run", done=1.0) as bar:
        bar.update(0.52)
        bar.note("plain-s0")
        assert "1.5 of 4.0 runs, plain-s0" in screen.last()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(1, "1 min"), (89, "1 min"), (2040, "34 min"), (5400, "1.5 h"), (270000, "3.1 days"), (math.e, "1 min")],
)
def test_durations_in_words(seconds, text):
    assert duration(seconds) == text
