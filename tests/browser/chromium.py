"""Chromium, Debian's or any other that is installed, driven by Playwright: what the browser's tests share."""

import contextlib
import importlib.util
import os
import re
import shutil
import time
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
PACKAGES = ("playwright", "axe_playwright_python")
WIDE, PHONE = (1366, 900), (390, 844)
"""Sizes of a window in CSS pixels, width and height."""

PATIENCE = 30
"""Seconds that a test waits for what the page is to do."""

BLANK = 200
"""Compressed: an empty sheet has 0 to 130, one with a single line of text about 300."""

_QUIET = ("--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update",
          "--disable-sync", "--disable-extensions", "--disable-dev-shm-usage")  # fmt: skip


def executable():
    """Path of an installed Chromium; None where there is none."""
    return next(filter(None, map(shutil.which, NAMES)), None)


def missing():
    """What the tests need that is not there; nothing of Playwright is imported."""
    packages = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    return [*packages, *([] if executable() else ["a browser (such as Debian's chromium)"])]


@contextlib.contextmanager
def browser():
    """A running Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(**_start())
        yield running
        running.close()


def _start():
    as_root = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    return {"executable_path": executable(), "args": [*_QUIET, *as_root]}


class Windows:
    """Opens pages from files, each in a window with a memory of its own, and hears what they complain about.

    Attributes:
      complaints: errors of scripts and of the console, and requests for anything but the pages' own files.
    """

    def __init__(self, running):
        self._running, self._contexts = running, []
        self.complaints = []

    def __call__(self, path, *, size=WIDE, dark=False, injected=False, profile=None, **options):
        """The page of the file `path`, loaded.

        Args:
          path: of an HTML file.
          size: of the window.
          dark: whether the reader prefers a dark page.
          injected: let tests run scripts of their own in the page, which its security policy forbids.
          profile: a folder: a browser of its own that keeps there what pages store, as a person's does.
            Without one a window keeps it in memory, where Chromium on a busy machine at times loses it when
            a page is loaded anew.
          **options: of Playwright's `new_context`, such as `accept_downloads`.
        """
        width, height = size
        options |= {
            "viewport": {"width": width, "height": height},
            "color_scheme": "dark" if dark else "light",
            "bypass_csp": injected,
        }
        if profile is None:
            context = self._running.new_context(**options)
        else:
            context = self._running.browser_type.launch_persistent_context(profile, **_start(), **options)
        context.set_default_timeout(1000 * PATIENCE)
        self._contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda said: said.type == "error" and self.complaints.append(said.text))
        page.on("request", self._hear)
        page.goto(Path(path).absolute().as_uri())
        return page

    def _hear(self, request):
        if not request.url.startswith(("file:", "data:", "blob:")):
            self.complaints.append(f"asks for {request.url}")

    def close(self):
        """Closes every window that was opened."""
        for context in self._contexts:
            context.close()


def reload(page):
    """Loads the page anew.

    On a busy machine Chromium itself at times loses what pages store; the test is skipped then.
    """
    page.evaluate("localStorage.setItem('kept', 'yes')")
    page.reload()
    skip_if_lost(page)


def skip_if_lost(page):
    """Skips the test where the mark that `reload` left is gone."""
    if page.evaluate("localStorage.getItem('kept')") != "yes":
        pytest.skip("the browser lost its storage")


def until(page, condition):
    """Waits until a JavaScript expression is true.

    Asked from here: `wait_for_function` asks again inside the page, where the security policy forbids it.
    """
    end = time.monotonic() + PATIENCE
    while not page.evaluate(condition):
        assert time.monotonic() < end, f"not so after {PATIENCE} s: {condition}"
        page.wait_for_timeout(20)


def faults(page, *, grave=("serious", "critical")):
    """What axe-core finds on an open page (`injected=True`), one line each: rule, element, reason."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    return [
        f"{rule['impact']}: {rule['id']} at {' '.join(map(str, node['target']))}: {node['failureSummary']}"
        for rule in found
        if rule["impact"] in grave
        for node in rule["nodes"]
    ]


def sideways(page):
    """Elements that reach beyond the right edge of the window, so that the whole page scrolls sideways."""
    return page.evaluate(
        """() => {
          const edge = document.documentElement.clientWidth;
          if (document.documentElement.scrollWidth <= edge) return [];
          const beyond = [...document.body.querySelectorAll("*")].filter((element) => {
            for (let up = element.parentElement; up; up = up.parentElement)
              if (getComputedStyle(up).overflowX !== "visible") return false;
            return element.getBoundingClientRect().right > edge + 1;
          });
          return beyond.map((element) => element.outerHTML.slice(0, 120));
        }"""
    )


def printed(page):
    """Bytes of what is drawn on each sheet of paper; a blank one has less than `BLANK`."""
    pdf = page.pdf()
    inside = rb"(?:(?!endobj).)*?"
    lengths = dict(re.findall(rb"\n(\d+) 0 obj\s*<<" + inside + rb"/Length (\d+)", pdf, re.DOTALL))
    sheets = re.findall(rb"/Type\s*/Page\b" + inside + rb"/Contents (\d+) 0 R", pdf, re.DOTALL)
    return [int(lengths[number]) for number in sheets]
