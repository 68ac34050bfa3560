"""Strict JAX for all tests: shapes checked, eight virtual CPU devices, no silent rank promotion.

The tests run in as many processes as there are cores where pytest-xdist is installed. Files that need an
oracle which is not installed (PyTorch, transformers, scikit-learn, ...) are left out, and named at the end;
so are the tests in a browser where there is none.
"""

import ast
import contextlib
import functools
import gc
import importlib.util
import os
import signal
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path

# Compiling takes nearly all the time of tiny networks, and half as long without LLVM's optimisations and with
# XLA's older code for fusions, which jaxlib 0.11 does not know any more.
os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "")
    + " --xla_force_host_platform_device_count=8"
    + " --xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
    + " --xla_cpu_use_fusion_emitters=false" * metadata.version("jaxlib").startswith("0.10.")
)
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
# The processes of the tests share the cores: threads of their linear algebra would wait for each other.
# Set here, where the processes inherit it: NumPy reads it when it is first imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import jax
import pytest

from tests.browser.chromium import missing as _missing_for_the_browser

TESTS = Path(__file__).parent
ORACLES = ("hypothesis", "onnx", "onnxruntime", "skimage", "sklearn", "torch", "transformers")
"""Packages of requirements-dev.txt alone that tests compare with, or that users add for a command."""
LONGEST = (
    "training/test_end_to_end.py",
    "experiments/test_real_grid.py",
    "run/test_steps.py",
    "training/test_variants.py",
    "models/test_torch_parity.py",
    "run/test_frozen_features.py",
)
"""Files that take longest. They run first: at the end one process would work on the last of them alone."""

jax.config.update("jax_numpy_rank_promotion", "raise")
gc.set_threshold(10_000)  # tracing makes so many objects that the usual 700 cost a tenth of its time


def _is_installed(package):
    return importlib.util.find_spec(package) is not None


if _is_installed("jaxtyping") and _is_installed("beartype"):
    from jaxtyping import install_import_hook

    # Every call in these packages is checked against its annotations (see `asae_jax.types`); none is imported
    # yet. An int may stand for a float, as for type checkers.
    install_import_hook(
        ["asae_jax.models", "asae_jax.losses", "asae_jax.augment"],
        "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))",
    )


@pytest.fixture
def float64():
    """JAX computes the test in float64, as its oracle does, so that both agree on any processor.

    In float32 the order of a sum decides the last digits, and each instruction set has its own. What the test
    makes is float64 too, unless it says otherwise; a network takes `dtype=jnp.float64`.
    """
    with jax.enable_x64():
        yield


@pytest.fixture
def usual_signals():
    """Python's own handling of SIGINT and SIGTERM: a background job, for one, inherits SIGINT ignored."""
    usual = {signal.SIGTERM: signal.SIG_DFL, signal.SIGINT: signal.default_int_handler}
    before = {number: signal.signal(number, handler) for number, handler in usual.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def start_process():
    """Starts Python: code, its arguments, options of `Popen`. It ends with the test, passed or failed.

    One that a failed test left behind would be counted against whichever test runs when it is collected.
    """
    with contextlib.ExitStack() as stack:

        def start(code, *arguments, **options):
            command = [sys.executable, "-c", code, *map(str, arguments)]
            process = stack.enter_context(subprocess.Popen(command, **options))
            stack.callback(process.kill)
            return process

        yield start


@pytest.fixture(scope="module")
def shallow_networks():
    """ResNet-18 has one block a stage in all tests of the module that asks for it."""
    from tests.training.tiny import shallow

    with shallow():
        yield


@pytest.fixture
def blank_pictures():
    """No figure of the test shows anything, see `tests.quick`. Those of its fixtures do."""
    from tests.quick import blank_pictures

    with blank_pictures():
        yield


@pytest.fixture(scope="session", autouse=True)
def _compile_once(tmp_path_factory):
    """Runs of the same step in several tests, and in several processes, share one compilation."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    jax.config.update("jax_compilation_cache_dir", str(shared / "xla"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.3)
    # Also of the processes that tests start: nothing goes to the cache folder of whoever runs the tests.
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_COMPILATION_CACHE_DIR", str(shared / "xla"))
        patch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.3")
        yield


@pytest.fixture(scope="session", autouse=True)
def _no_temporary_folders_left(tmp_path_factory):
    """TensorFlow Datasets makes one for each builder and never removes it; here they go with pytest's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(tmp_path_factory.mktemp("tempfile")))
        yield


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config):
    """As many processes as there are cores, a file's tests together in one, unless -n says otherwise."""
    is_worker = hasattr(config, "workerinput") or "PYTEST_XDIST_WORKER" in os.environ
    if getattr(config.option, "numprocesses", 0) is None and not is_worker and not config.option.usepdb:
        config.option.numprocesses, config.option.dist = "auto", "loadfile"
        config.option.loadscopereorder = False  # else files with the fewest tests come last


def pytest_collection_modifyitems(items):
    """Sorts the files of `LONGEST` to the front; the others stay in their order."""
    places = {TESTS / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


def pytest_ignore_collect(collection_path):
    """Leaves out test files whose oracles are not installed; they are listed at the end."""
    return True if collection_path in _left_out() else None


def pytest_terminal_summary(terminalreporter):
    """Says what was not run, and what it needs."""
    for path, packages in sorted(_left_out().items()):
        line = f"not run: {path.relative_to(TESTS)} needs {', '.join(sorted(packages))}"
        terminalreporter.write_line(f"{line} (requirements-dev.txt)", yellow=True)


@functools.cache
def _left_out():
    """Test file -> the oracles it imports, itself or by way of other files here, that are not installed."""
    missing = {package for package in ORACLES if not _is_installed(package)}
    needs = {path: _oracles(path) & missing for path in TESTS.rglob("test_*.py")} if missing else {}
    without = set(_missing_for_the_browser())
    needs |= {path: needs.get(path, set()) | without for path in (TESTS / "browser").glob("test_*.py")}
    return {path: packages for path, packages in needs.items() if packages}


@functools.cache
def _oracles(path):
    """Top-level packages among `ORACLES` that a file imports, itself or by way of other files here."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            modules = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for module in modules:
            package, *rest = module.split(".")
            other = TESTS.joinpath(*rest).with_suffix(".py") if rest else TESTS / "none"
            if package in ORACLES:
                found.add(package)
            elif package == "tests" and other != path and other.is_file():
                found |= _oracles(other)
    return found
