"""What the README shows must work."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_library_example_runs():
    (example,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    names: dict = {}
    exec(example, names)
    assert names["logits"].shape == (2, 2, 14)
    assert names["losses"].shape == (2,)


def test_every_file_it_names_exists():
    paths = set(re.findall(r"`((?:asae_jax|configs|data|docs|benchmarks|tests)/[\w./]*)`", README))
    paths |= set(re.findall(r'src="([^"]+)"', README))
    assert len(paths) > 8
    assert not [path for path in paths if not (ROOT / path).exists()]


def test_its_set_up_commands_name_the_requirement_files_and_the_configuration():
    for name in ("requirements.txt", "requirements-dev.txt", "configs/quickstart.py"):
        assert name in README
        assert (ROOT / name).exists()
