"""The house rules of imports: one way, and TensorFlow only where it is needed."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LAYERS = {
    "errors": 0, "types": 0, "precision": 0, "keys": 1, "templates": 1,
    "input": 2, "augment": 2, "models": 2, "losses": 2, "metrics": 2, "trust": 2,
    "audit": 3, "training": 3, "inference": 4, "experiments": 5, "commands": 6,
}  # fmt: skip
FILES = sorted((ROOT / "asae_jax").rglob("*.py"))


def _imported(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _part(module):
    """ "asae_jax.models.asae" -> "models"; None for what is not ours or the bare package."""
    pieces = module.split(".")
    return pieces[1] if pieces[0] == "asae_jax" and len(pieces) > 1 and pieces[1] in LAYERS else None


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_run_one_way(path):
    own = path.relative_to(ROOT / "asae_jax").parts[0].removesuffix(".py")
    if own == "__init__":
        return
    for module in _imported(path):
        part = _part(module)
        if part and part != own:
            assert LAYERS[part] < LAYERS[own], f"{path} imports {module}"


def test_only_these_files_name_tensorflow_and_its_datasets():
    users = {
        str(path.relative_to(ROOT)): module.split(".")[0]
        for path in FILES
        for module in _imported(path)
        if module.split(".")[0] in ("tensorflow", "tensorflow_datasets")
    }
    assert users == {
        "asae_jax/inference/export/tensorflow_files.py": "tensorflow",
        "asae_jax/input/pipeline.py": "tensorflow",
        "asae_jax/input/tfds_source.py": "tensorflow_datasets",
    }


def test_models_losses_and_steps_load_without_tensorflow():
    code = (
        "import sys; sys.modules['tensorflow'] = sys.modules['tensorflow_datasets'] = None\n"
        "import asae_jax.models, asae_jax.losses, asae_jax.augment, asae_jax.metrics, asae_jax.input.feed\n"
        "import asae_jax.training.loop, asae_jax.training.writer, asae_jax.commands"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
