"""Permutations that are the same on every machine and with every version of NumPy."""

import zlib

import numpy as np


def permutation(length: int, seed: int, stream: str, *coordinates: int) -> np.ndarray:
    """A permutation of `0..length-1`, int64, as a pure function of the arguments.

    NumPy promises that seed sequences and bit generators keep their numbers between versions, but not
    that `Generator.permutation` does; so this sorts raw bits.

    Args:
      length: how many.
      seed: the run's seed, any integer.
      stream: what it is for ("order", "split"); separates uses of one seed.
      *coordinates: non-negative integers within the stream.
    """
    entropy = [seed & 0xFFFFFFFFFFFFFFFF, zlib.crc32(stream.encode()), *coordinates]
    bits = np.random.Philox(np.random.SeedSequence(entropy)).random_raw(length)
    return np.argsort(bits, kind="stable")
