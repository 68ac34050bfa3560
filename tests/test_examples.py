"""The examples for other people's programs run as they are; those for several hosts can start."""

import re
import runpy
from math import prod
from pathlib import Path

import pytest

from asae_jax import cli

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "examples"
EXAMPLES = sorted(FOLDER.glob("*.py"))


def test_both_are_there():
    assert {path.stem for path in EXAMPLES} == {"asae_in_your_flax_model", "gmmce_in_your_loop"}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs(path, capsys):
    runpy.run_path(str(path), run_name="__main__")
    assert capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "numbers"),
    [
        ("slurm.sbatch", (r"--nodes=(\d+)", r"--ntasks-per-node=(\d+)")),
        ("kubernetes.yaml", (r"completions: (\d+)", r"nvidia.com/gpu: (\d+)")),
    ],
)
def test_the_devices_of_a_launch_file_share_its_batch(name, numbers, monkeypatch):
    text = (FOLDER / name).read_text(encoding="utf-8")
    devices = prod(int(re.findall(number, text)[0]) for number in numbers)
    monkeypatch.chdir(ROOT)
    config = cli.parse(["train", *re.findall(r"--(?:config|workdir)[=.]\S+", text)]).config
    assert devices > 1
    assert config.train.distributed == "auto"
    assert config.train.batch_size % devices == 0  # 0: chosen for them
