"""Strict JAX for all tests: shapes checked, eight virtual CPU devices, no silent rank promotion."""

import os

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


@pytest.fixture(scope="session", autouse=True)
def _compile_once(tmp_path_factory, worker_id):
    """Runs of the same step in several tests, and in several processes, share one compilation."""
    base = tmp_path_factory.getbasetemp()
    shared = base if worker_id == "master" else base.parent
    jax.config.update("jax_compilation_cache_dir", str(shared / "xla"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 1.0)
