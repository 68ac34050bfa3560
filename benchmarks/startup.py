"""Time of whole commands from a cold start: --help, predict of one image, evaluate of a finished run.

    python -m benchmarks.startup --workdir=RUN --image=FILE [--against=CHECKOUT] [--rounds=5]

With `--against` the same commands of another checkout are run in turns with ours, and ratios are printed:
read these, for the machine's noise moves both. Wall-clock and CPU seconds of the process, medians.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def _seconds(checkout: Path, arguments: list[str]) -> tuple[float, float]:
    """(wall-clock, CPU) of `main.py` with `arguments`."""
    before, start = os.times(), time.perf_counter()
    subprocess.run(
        [sys.executable, str(checkout / "main.py"), *arguments], cwd=checkout, check=True, capture_output=True
    )
    wall, after = time.perf_counter() - start, os.times()
    cpu = after.children_user - before.children_user + after.children_system - before.children_system
    return wall, cpu


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--workdir", type=Path, required=True, help="a finished run, whose data are there")
    parser.add_argument("--image", type=Path, required=True, help="an image to predict")
    parser.add_argument("--against", type=Path, help="another checkout of the project")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    checkouts = {"ours": ROOT} | ({"theirs": given.against.resolve()} if given.against else {})
    with tempfile.TemporaryDirectory() as place:
        run = f"--workdir={given.workdir.resolve()}"
        commands = {
            "--help": ["--help"],
            "predict one image": [
                "predict",
                run,
                f"--input={given.image.resolve()}",
                f"--output={place}/p.csv",
            ],
            "evaluate": ["evaluate", run, "--name=startup"],
        }
        print(f"{'command':20}{'checkout':>10}{'wall s':>10}{'CPU s':>10}")
        for title, arguments in commands.items():
            taken: dict[str, list[tuple[float, float]]] = {name: [] for name in checkouts}
            for _ in range(given.rounds):
                for name, checkout in checkouts.items():
                    taken[name].append(_seconds(checkout, arguments))
            medians = {name: [statistics.median(column) for column in zip(*rows, strict=True)]
                       for name, rows in taken.items()}  # fmt: skip
            for name, (wall, cpu) in medians.items():
                print(f"{title:20}{name:>10}{wall:10.2f}{cpu:10.2f}")
            if given.against:
                ratios = [
                    ours / theirs for ours, theirs in zip(medians["ours"], medians["theirs"], strict=True)
                ]
                print(f"{title:20}{'ratio':>10}{ratios[0]:10.2f}{ratios[1]:10.2f}")


if __name__ == "__main__":
    main()
