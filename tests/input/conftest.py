"""Property tests without a stopwatch, and with the same examples each time."""

from hypothesis import settings

settings.register_profile("input", deadline=None, derandomize=True)
settings.load_profile("input")
