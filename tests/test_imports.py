"""The house rules of imports: one way, and heavy libraries only where they are needed."""

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LAYERS = (
    ("types", "errors", "huge_pages"),
    ("keys", "files", "shipped", "terminal"),
    ("json_files", "csv_cells", "folders"),
    ("pages", "config", "lettering"),
    ("synthetic",),
    ("input", "augment", "losses", "models"),
    ("run",),
    ("evaluation",),
    ("training", "inference", "audit", "review"),
    ("experiments",),
    ("commands",),
    ("cli",),
    ("__main__",),
)
"""Packages and modules of the package: each imports only from rows above its own, and from itself."""
RANK = {name: rank for rank, row in enumerate(LAYERS) for name in row}
FILES = sorted((ROOT / "asae_jax").rglob("*.py"))


def _imported(path):
    """Modules, and names from modules, that a file imports."""
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
    return pieces[1] if pieces[0] == "asae_jax" and len(pieces) > 1 else None


def _users(*libraries):
    """Files that import one of the libraries anywhere, also inside of a function."""
    return {
        str(path.relative_to(ROOT / "asae_jax"))
        for path in FILES
        if any(module.split(".")[0] in libraries for module in _imported(path))
    }


def test_every_part_has_its_place():
    parts = {path.relative_to(ROOT / "asae_jax").parts[0].removesuffix(".py") for path in FILES}
    assert parts - {"__init__"} == set(RANK)


def test_imports_run_one_way():
    against = []
    for path in FILES:
        own = path.relative_to(ROOT / "asae_jax").parts[0].removesuffix(".py")
        for module in _imported(path):
            part = _part(module)
            if part in RANK and part != own and RANK[part] >= RANK.get(own, -1):
                against.append(f"{path.relative_to(ROOT)} imports {module}")
    assert not against


def test_commands_of_inference_import_nothing_of_each_other():
    """What several of them use lies beside their folders, and uses none of them."""
    place = ROOT / "asae_jax" / "inference"
    commands = {path.parent.name for path in place.glob("*/command.py")}
    assert commands == {"predict", "explain", "embed", "adapt", "export", "slide", "cut"}
    against = []
    for path in sorted(place.rglob("*.py")):
        own = path.relative_to(place).parts[0]
        for module in _imported(path):
            pieces = module.split(".")
            if pieces[:2] == ["asae_jax", "inference"] and {*pieces[2:3]} & (commands - {own}):
                against.append(f"{path.relative_to(ROOT)} imports {module}")
    assert not against


def test_the_package_does_not_import_the_folders_beside_it():
    assert not _users("configs", "data", "tests", "benchmarks")


def test_only_these_files_name_tensorflow_and_its_data_sets():
    assert _users("tensorflow", "tensorflow_datasets") == {"input/tf_data.py", "input/tfds_source.py"}


def test_only_these_files_name_orbax():
    assert _users("orbax") == {"run/checkpoint.py", "inference/export/formats.py"}


def test_matplotlib_is_named_only_where_pictures_are_drawn():
    assert _users("matplotlib") == {
        "audit/figures.py",
        "evaluation/figures.py",
        "inference/explain/figures.py",
        "lettering.py",
    }


def test_no_function_is_longer_than_fifty_lines():
    long = [
        f"{path.relative_to(ROOT)}: {node.name}"
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef) and node.end_lineno - node.lineno >= 50
    ]
    assert not long


def test_one_file_names_pmap():
    users = {str(path.relative_to(ROOT)) for path in FILES if "jax.pmap(" in path.read_text(encoding="utf-8")}
    assert users == {"asae_jax/run/parallel.py"}


def test_training_loads_without_tensorflow_and_commands_without_matplotlib(tmp_path):
    """Nor does TensorBoard's writer load TensorFlow, where it is installed."""
    code = (
        "import sys; sys.modules['tensorflow'] = sys.modules['tensorflow_datasets'] = None\n"
        "import asae_jax.training.loop, asae_jax.evaluation.command, asae_jax.inference.predict.command\n"
        "assert 'matplotlib' not in sys.modules\n"
        "del sys.modules['tensorflow'], sys.modules['tensorflow_datasets']\n"
        "import pathlib; from asae_jax.training.metrics_log import MetricsLog\n"
        f"log = MetricsLog(pathlib.Path({str(tmp_path)!r}))\n"
        "log.write('train', 1, {'loss': 1.0}); log.close()\n"
        "assert 'tensorflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_predict_starts_without_what_it_does_not_need():
    """Each takes 0.1 to 0.5 s to import: Orbax, which a model folder does not need, and parts of SciPy."""
    code = (
        "import sys, asae_jax.inference.predict.command\n"
        "slow = {'orbax.checkpoint', 'matplotlib', 'tensorflow'}\n"
        "slow |= {'scipy.special', 'scipy.stats', 'scipy.optimize'}\n"
        "assert not slow & set(sys.modules), slow & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
