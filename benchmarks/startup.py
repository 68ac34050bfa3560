"""Time of whole commands: their first start, which compiles, and the second, which need not.

    python -m benchmarks.startup [--workdir=RUN] [--images=DIR] [--against=CHECKOUT] [--rounds=5]

Timed are --help, `predict` of one image (by an included model, and by the run), `predict` of a folder,
`evaluate`, and `train` for one step with the settings of the run. A first start has an empty cache of
compiled programs (see `asae_jax.run.compile_cache`). With `--against` the same commands of another checkout
are run in turns with ours, and ratios are printed: read these, for the machine's noise moves both. Wall-clock
and CPU seconds of the process, medians; the machine's load is printed, and above its number of cores CPU
seconds are what counts.
"""

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from asae_jax.folders import is_image_name, walk

ROOT = Path(__file__).resolve().parent.parent
STARTS = ("first", "second")

Times = tuple[float, float]
"""Wall-clock and CPU seconds."""


def _seconds(checkout: Path, arguments: list[str], cache: Path) -> Times:
    """Of `main.py` with `arguments`, where compiled programs are kept below `cache`."""
    before, start = os.times(), time.perf_counter()
    subprocess.run(
        [sys.executable, str(checkout / "main.py"), *arguments],
        cwd=checkout, env=os.environ | {"XDG_CACHE_HOME": str(cache)}, check=True, capture_output=True,
    )  # fmt: skip
    wall, after = time.perf_counter() - start, os.times()
    cpu = after.children_user - before.children_user + after.children_system - before.children_system
    return wall, cpu


def _commands(given: argparse.Namespace, image: Path) -> dict[str, list[str]]:
    """Title -> arguments; {new} is a folder that is not there yet."""
    out = "--output={new}/p.csv"
    commands = {
        "--help": ["--help"],
        "predict --model=blood11, one image": [
            *("predict", "--model=blood11", "--workdir={new}/model"), f"--input={image}", out],
    }  # fmt: skip
    if given.workdir:
        run = given.workdir.resolve()
        commands |= {
            "predict, one image": ["predict", f"--workdir={run}", f"--input={image}", out],
            "predict, folder": ["predict", f"--workdir={run}", f"--input={given.images.resolve()}", out],
            "evaluate": ["evaluate", f"--workdir={run}", "--name=startup"],
            "train, one step": [
                "train", f"--config={run}/config.json", "--workdir={new}/run", "--config.train.max_steps=1"],
        }  # fmt: skip
    return commands


def _round(checkouts: Mapping[str, Path], arguments: list[str]) -> dict[tuple[str, str], Times]:
    """(checkout, start) -> times, every checkout in turn."""
    taken = {}
    with tempfile.TemporaryDirectory() as place:
        for start in STARTS:
            for name, checkout in checkouts.items():
                new = Path(place, f"{name}-{start}")
                new.mkdir()
                filled = [argument.replace("{new}", str(new)) for argument in arguments]
                taken[name, start] = _seconds(checkout, filled, Path(place, f"{name}-cache"))
    return taken


def _print_table(title: str, rounds: list[dict[tuple[str, str], Times]]) -> None:
    medians = {}
    for name, start in rounds[0]:
        wall, cpu = zip(*(taken[name, start] for taken in rounds), strict=True)
        middle = medians[name, start] = statistics.median(wall), statistics.median(cpu)
        spread = f"{min(cpu):.2f} to {max(cpu):.2f}"
        print(f"{title:36}{name:>8}{start:>8}{middle[0]:9.2f}{middle[1]:9.2f}  {spread}")
    for name in {name for name, _ in medians}:
        _print_ratio(title, f"{name}: second / first", medians[name, "second"], medians[name, "first"])
    if ("theirs", "first") in medians:
        for start in STARTS:
            _print_ratio(title, f"{start}: ours / theirs", medians["ours", start], medians["theirs", start])


def _print_ratio(title: str, what: str, above: Times, below: Times) -> None:
    print(f"{title:36}{what:>24}: wall {above[0] / below[0]:.2f}, CPU {above[1] / below[1]:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--workdir", type=Path, help="a finished run, whose data are there")
    parser.add_argument("--images", type=Path, default=ROOT / "data" / "demo" / "images", help="to predict")
    parser.add_argument("--against", type=Path, help="another checkout of the project")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    checkouts = {"ours": ROOT} | ({"theirs": given.against.resolve()} if given.against else {})
    image = given.images.resolve() / min(
        found.name for found in walk(given.images) if is_image_name(found.name)
    )
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("jax", "jaxlib", "flax"))
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python "
          f"{platform.python_version()}, {versions}; load {os.getloadavg()[0]:.1f}")  # fmt: skip
    print(f"{'command':36}{'checkout':>8}{'start':>8}{'wall s':>9}{'CPU s':>9}  CPU: least to most")
    for title, arguments in _commands(given, image).items():
        _print_table(title, [_round(checkouts, arguments) for _ in range(given.rounds)])
    print(f"load at the end: {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
