"""Property tests without a stopwatch, and with the same examples each time."""

import importlib.util

if importlib.util.find_spec("hypothesis"):  # files that need it are left out where it is not installed
    from hypothesis import settings

    settings.register_profile("input", deadline=None, derandomize=True)
    settings.load_profile("input")
