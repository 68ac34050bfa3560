"""What tests leave out to be quick: the compiler's optimisations, and pictures that nobody looks at.

For a few steps of tiny batches nearly all the time goes into compiling, so the tests' own process compiles
in a hurry (`conftest.py`); what computes much asks for more.
"""

import contextlib
import functools
from collections.abc import Iterator

import jax
import pytest

from asae_jax.evaluation import figures

_WISHES = {
    "xla_backend_optimization_level": 0,
    "xla_llvm_disable_expensive_passes": True,
    "xla_cpu_use_fusion_emitters": False,
}
# Together a third of the time: 1.5 s instead of 4.5 s for a ResNet-18's step with its augmentation.


@functools.cache
def quick_options():
    """Those of the compiler's options above that this version of XLA knows."""
    return {name: value for name, value in _WISHES.items() if _is_known(name, value)}


def thorough_options():
    """For large networks in float64, whose convolutions XLA compiles itself: without these twice the time."""
    return {"xla_backend_optimization_level": 3, "xla_llvm_disable_expensive_passes": False}


def quick_flags():
    """The same for the environment variable XLA_FLAGS of another process."""
    return " ".join(f"--{name}={str(value).lower()}" for name, value in quick_options().items())


@contextlib.contextmanager
def blank_pictures() -> Iterator[None]:
    """The figures of runs and evaluations are planned and written, but empty: drawing seven takes 4 s."""

    def save(figure, path):
        figure.clear()
        drawn(figure, path)

    with pytest.MonkeyPatch.context() as patch:
        drawn = figures.save
        patch.setattr(figures, "save", save)
        yield


def _is_known(name, value):
    try:
        jax.jit(lambda: 0, compiler_options={name: value})()
    except Exception as error:
        if name not in str(error):
            raise
        return False
    return True
