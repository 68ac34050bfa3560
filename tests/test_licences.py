"""The page of licences lists what is stated; no installed package has a licence that nobody looked at."""

import runpy
from email.message import Message
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "licences.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def problems():
    return runpy.run_path(str(ROOT / "docs" / "licences_page.py"))["problems"]


def test_the_page_and_the_licences_are_as_they_should_be(problems):
    assert problems(PAGE) == [], "run `python docs/licences_page.py`"


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ("| jax | >=0.10", "| jax | >=0.9", "jax is not in the table"),
        ("| filelock |", "| filelocks |", "filelock is not in the table"),
        ("| package | versions |", "| package | versions |\n| more | >=1 | MIT | x |", "rows for"),
    ],
)
def test_a_page_that_says_something_else_is_noticed(problems, old, new, found):
    assert found in problems(PAGE.replace(old, new, 1))[0]


@pytest.mark.parametrize("stated", ["GPL-3.0-only", "MIT AND LGPL-2.1-or-later", ""])
def test_a_licence_that_nobody_looked_at_is_named(problems, monkeypatch, stated):
    about, other = Message(), metadata.metadata
    about["License-Expression"] = stated
    monkeypatch.setattr(metadata, "metadata", lambda name: about if name == "flax" else other(name))
    assert problems(PAGE) == [f"flax is under {stated or 'none stated'}"]
