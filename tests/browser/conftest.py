"""Fixtures of the tests in a browser; `tests/conftest.py` leaves the tests out where there is none."""

import pytest

from tests.browser.chromium import Windows, browser, missing


@pytest.fixture(scope="session")
def chromium():
    """One browser for all tests of a process."""
    if lacking := missing():
        pytest.skip(f"needs {', '.join(lacking)}")
    with browser() as running:
        yield running


@pytest.fixture
def open_page(chromium):
    """Opens pages, see `Windows`; a page that complains fails its test."""
    windows = Windows(chromium)
    yield windows
    windows.close()
    assert not windows.complaints
