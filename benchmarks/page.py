"""How long the review page keeps its reader waiting: the browser's tasks on the page's thread.

    pip install playwright
    python -m benchmarks.page [--cells=5000] [--slower=4] [--keep=page.html]

The page is made of drawn cells, each repeated under other names, with a thumbnail, an attention map and,
within the page's limit, a large picture. Chromium is sought on the PATH. `--slower` slows down its processor
so many times. For each thing a reader does it prints the longest task, and how many took over 50 ms ("long
tasks"): by the clock, and of the processor. On a machine that does something else too the second counts.
"""

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from asae_jax.config import base_config
from asae_jax.inference.predict.count.differential import Counter
from asae_jax.inference.predict.gallery import Gallery
from asae_jax.inference.predict.page import ReviewPage, write_page
from asae_jax.inference.reading import pictures_of
from asae_jax.inference.records import PredictionUncertainty, Record
from asae_jax.inference.uncertainty import Thresholds
from asae_jax.input.cell_classes import cell_classes
from asae_jax.synthetic import render

CLASSES = ("BLA", "PMO", "MYC", "MMC", "BNE", "NGS", "EOS", "BAS", "MON", "LYT", "EBO", "ART")
DISTINCT = 40
LIMIT = 50  # ms: what browsers call a long task
SCROLL = """async ([step, frames]) => {
  for (let n = 0; n < frames; n++) {
    scrollBy(0, step);
    await new Promise(requestAnimationFrame);
  }
}"""
FRAMES = "() => new Promise((done) => requestAnimationFrame(() => setTimeout(done, 150)))"


def records(count: int) -> list[Record]:
    """As `predict` leaves them to the page."""
    rng, settings = np.random.default_rng(0), base_config().predict
    pictures = [pictures_of(render(0, n, size=300), settings.picture_side) for n in range(DISTINCT)]
    coarse = rng.integers(256, size=(DISTINCT, 4, 4)).astype(np.uint8)
    maps = [cv2.resize(one, (14, 14), interpolation=cv2.INTER_CUBIC) for one in coarse]
    gallery = Gallery(count, settings.page_megabytes * 1e6)
    for number in range(count):
        probabilities = rng.dirichlet(np.full(len(CLASSES), 0.15)).astype(np.float32)
        picture = pictures[number % DISTINCT]
        highest = float(probabilities.max())
        gallery.add(
            Record(
                f"slide {number % 7}/cell {number:05}.png",
                f"/cells/slide {number % 7}/cell {number:05}.png",
                f"slide {number % 7}",
                content=f"{number:032x}",
                probabilities=probabilities,
                attention=maps[number % DISTINCT],
                thumbnail=picture.thumbnail,
                picture=picture.whole,
                size=picture.size,
                uncertainty=PredictionUncertainty(highest < 0.6, highest, number % 31 == 0, (0, 1)),
            )
        )
    return gallery.records()


def write(path: Path, count: int) -> None:
    """The page of `count` cells."""
    shown, counter = records(count), Counter(cell_classes(CLASSES))
    for record in shown:
        counter.add(record)
    page = ReviewPage(
        shown,
        CLASSES,
        counter.differential([]),
        title="benchmark",
        network="n",
        attention_extent=0.9,
        thresholds=Thresholds(0.6, 1.0, 0.9),
        megabytes=base_config().predict.page_megabytes,
    )
    write_page(path, page)


def _press(page: Any, key: str, times: int) -> None:
    for _ in range(times):
        page.keyboard.press(key)


ACTS: dict[str, Callable[[Any], object]] = {
    "scroll, a window's third per frame": lambda page: page.evaluate(SCROLL, [300, 250]),
    "scroll back, two windows per frame": lambda page: page.evaluate(SCROLL, [-1800, 100]),
    "arrow down, 60 times": lambda page: _press(page, "ArrowDown", 60),
    "accept, 40 times": lambda page: _press(page, " ", 40),
    "Shift and arrow down, 20 times": lambda page: _press(page, "Shift+ArrowDown", 20),
    "scroll with attention": lambda page: (page.check("#attention"), page.evaluate(SCROLL, [300, 200])),
    "sort": lambda page: page.select_option("#sort", "certain"),
    "show those left to a person": lambda page: page.select_option("#by-state", "person"),
    "show all, not grouped": lambda page: (
        page.select_option("#by-state", ""), page.select_option("#sections", "")
    ),
    "accept all": lambda page: page.click("#accept"),
    "undo": lambda page: page.click("#undo"),
}  # fmt: skip


class Tracer:
    """Tasks of the page's main thread, from Chromium's own tracing."""

    def __init__(self, page: Any):
        self._page, self._session = page, page.context.browser.new_browser_cdp_session()
        self._events: list[dict[str, Any]] = []
        self._ended = False
        self._session.on("Tracing.dataCollected", lambda data: self._events.extend(data["value"]))
        self._session.on("Tracing.tracingComplete", lambda _: setattr(self, "_ended", True))

    def __call__(self, act: Callable[[], object]) -> list[tuple[float, float]]:
        """(milliseconds by the clock, of the processor) of each task while `act` runs."""
        self._events, self._ended = [], False
        kinds = {"includedCategories": ["toplevel", "__metadata"], "excludedCategories": ["*"]}
        self._session.send("Tracing.start", {"traceConfig": kinds, "transferMode": "ReportEvents"})
        act()
        self._session.send("Tracing.end")
        while not self._ended:
            self._page.wait_for_timeout(20)
        main = {
            (event["pid"], event["tid"])
            for event in self._events
            if event["name"] == "thread_name" and event["args"]["name"] == "CrRendererMain"
        }
        return [
            (event["dur"] / 1000, event.get("tdur", 0) / 1000)
            for event in self._events
            if event["name"].endswith("RunTask") and "dur" in event and (event["pid"], event["tid"]) in main
        ]


def measure(path: Path, slower: float) -> dict[str, list[tuple[float, float]]]:
    """Of each act, in turn, see `Tracer`."""
    from playwright.sync_api import sync_playwright

    found = {}
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    as_root = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--disable-gpu", *as_root])
        page = browser.new_page(viewport={"width": 1366, "height": 900})
        page.context.new_cdp_session(page).send("Emulation.setCPUThrottlingRate", {"rate": slower})
        tracer = Tracer(page)
        found["load"] = tracer(lambda: (page.goto(path.absolute().as_uri()), page.evaluate(FRAMES)))
        for name, act in ACTS.items():
            if name.startswith("arrow"):
                page.locator(".cell").first.click()
                page.evaluate(FRAMES)
            found[name] = tracer(lambda act=act: (act(page), page.evaluate(FRAMES)))
        browser.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cells", type=int, default=5000)
    parser.add_argument("--slower", type=float, default=1.0, help="times, a slower processor")
    parser.add_argument("--keep", type=Path, help="keep the page in this file")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        path = given.keep or Path(place) / "page.html"
        start = time.perf_counter()
        write(path, given.cells)
        seconds = time.perf_counter() - start
        print(f"{given.cells:,} cells, {path.stat().st_size / 1e6:.1f} MB, written in {seconds:.1f} s")
        for name, tasks in measure(path, given.slower).items():
            columns = [
                f"{max(times):6.0f} ms {sum(time > LIMIT for time in times):4} over {LIMIT}"
                for times in zip(*tasks, strict=True)
            ]
            print(f"{name:38} clock {columns[0]}   processor {columns[1]}")


if __name__ == "__main__":
    main()
