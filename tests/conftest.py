"""Strict JAX for all tests: shapes checked, eight virtual CPU devices, no silent rank promotion."""

import os
import signal

os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import jax
import pytest
from jaxtyping import install_import_hook

jax.config.update("jax_numpy_rank_promotion", "raise")
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


@pytest.fixture(scope="session", autouse=True)
def _compile_once(tmp_path_factory, worker_id):
    """Runs of the same step in several tests, and in several processes, share one compilation."""
    base = tmp_path_factory.getbasetemp()
    shared = base if worker_id == "master" else base.parent
    jax.config.update("jax_compilation_cache_dir", str(shared / "xla"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 1.0)
