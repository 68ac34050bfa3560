"""Random numbers of the input that are the same on every machine and with every version of NumPy.

NumPy promises that seed sequences and bit generators keep their numbers between versions, but not that
the methods of `Generator` do; so both functions here work on raw bits.
"""

import zlib

import numpy as np


def permutation(length: int, seed: int, stream: str, *coordinates: int) -> np.ndarray:
    """A permutation of `0..length-1`, int64, as a pure function of the arguments.

    Args:
      length: how many.
      seed: the run's seed, any integer.
      stream: what it is for ("order", "split"); separates uses of one seed.
      *coordinates: non-negative integers within the stream.
    """
    return np.argsort(_raw_bits(length, seed, stream, *coordinates), kind="stable")


def uniforms(length: int, seed: int, stream: str, *coordinates: int) -> np.ndarray:
    """Uniform numbers in 0 <= u < 1, float64 `[length]`, as a pure function of the arguments.

    They are multiples of 2^-53, so that `floor(n * u)` is below n for every n. The arguments are those
    of `permutation`.
    """
    return (_raw_bits(length, seed, stream, *coordinates) >> np.uint64(11)) * 2.0**-53


def _raw_bits(length: int, seed: int, stream: str, *coordinates: int) -> np.ndarray:
    """uint64 `[length]`."""
    entropy = [seed & 0xFFFFFFFFFFFFFFFF, zlib.crc32(stream.encode()), *coordinates]
    return np.random.Philox(np.random.SeedSequence(entropy)).random_raw(length)
