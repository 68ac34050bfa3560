"""Samplers: which examples each batch holds, as pure NumPy functions of (seed, step).

A sampler is made of one or more streams, each an endless sequence of passes over its members; every
pass is a fresh permutation (or, with replacement, as many fresh draws). A batch takes the same number
from each stream, in turns. No state is kept: a run can start at any step, and both drivers of `feed.py`
read the same sequence.
"""

import math
import zlib
from collections.abc import Callable, Sequence

import numpy as np

from asae_jax.errors import UserError


class Sampler:
    """Batches that draw in turns from streams of positions.

    Attributes:
      batch_size: positions per batch, over all devices and processes.
      streams: int64 arrays, the positions that each stream permutes.
      steps_per_epoch: ceil(number of positions / batch size).
    """

    def __init__(self, streams: Sequence[np.ndarray], keys: Sequence[int], batch_size: int, seed: int):
        """Streams that are drawn from in turns.

        Args:
          streams: int64 arrays, the positions that each stream permutes.
          keys: a non-negative integer for each stream, which tells its random numbers from the others'.
          batch_size: positions per batch, a multiple of the number of streams.
          seed: any integer.
        """
        self.streams = tuple(streams)
        self.batch_size = batch_size
        self.steps_per_epoch = math.ceil(sum(map(len, self.streams)) / batch_size)
        self._keys = tuple(keys)
        self._seed = seed
        self._latest: dict[int, tuple[int, np.ndarray]] = {}

    @property
    def per_stream(self) -> int:
        """Number of positions of a batch that come from each stream."""
        return self.batch_size // len(self.streams)

    def one_pass(self, stream: int, number: int) -> np.ndarray:
        """Pass `number` (0, 1, ...) of a stream: int64, as many positions as the stream has, in order."""
        members = self.streams[stream]
        return members[permutation(len(members), self._seed, "order", self._keys[stream], number)]

    def batch(self, step: int) -> np.ndarray:
        """Positions of the batch of step `step` (0, 1, ...), int64 `[batch_size]`.

        Element `j` comes from stream `j % len(streams)`.
        """
        count = self.per_stream
        columns = [
            self._section(stream, step * count, count, self._remembered_pass)
            for stream in range(len(self.streams))
        ]
        return np.stack(columns, axis=1).reshape(-1)

    def visits(self, step: int) -> np.ndarray:
        """For each element of `batch(step)` how often its example was drawn before, int64 `[batch_size]`."""
        # Once in each pass of its stream.
        draws = step * self.per_stream + np.arange(self.per_stream)
        return np.stack([draws // len(members) for members in self.streams], axis=1).reshape(-1)

    def _section(
        self, stream: int, start: int, count: int, passes: Callable[[int, int], np.ndarray]
    ) -> np.ndarray:
        """Elements `start .. start + count - 1` of what `passes(stream, number)` gives of all passes."""
        length = len(self.streams[stream])
        parts = []
        while count:
            number, offset = divmod(start, length)
            parts.append(passes(stream, number)[offset : offset + count])
            start, count = start + len(parts[-1]), count - len(parts[-1])
        return np.concatenate(parts)

    def _remembered_pass(self, stream: int, number: int) -> np.ndarray:
        """`one_pass`, computed once per pass: steps go forward, so the latest of each stream is kept."""
        known, positions = self._latest.get(stream, (-1, self.streams[stream]))
        if known != number:
            positions = self.one_pass(stream, number)
            self._latest[stream] = (number, positions)
        return positions


class BalancedSampler(Sampler):
    """Every batch holds the same number of examples of each class (paper section 3.5).

    Element `j` of a batch is of class `j % classes`, so that each contiguous part of a batch (a device)
    holds equally many of each class too, where that divides. A small class is repeated, each time in
    another order, before a large one has been seen completely.
    """

    def __init__(self, labels: np.ndarray, batch_size: int, seed: int):
        """`labels` int `[N]`: class of each position. Classes without a position take no part.

        Raises:
          UserError: no labels, or the number of classes does not divide the batch size.
        """
        streams = rows_by_label(labels)
        _check_count(labels, batch_size)
        if batch_size % len(streams):
            raise UserError(
                f"batch size {batch_size} cannot hold equally many images of {len(streams)} classes: choose "
                f"{_nearest_multiples(batch_size, len(streams))} (--config.train.batch_size=), or do "
                "without balanced batches (--config.data.sampler=shuffled)"
            )
        super().__init__([rows for _, rows in streams], [label for label, _ in streams], batch_size, seed)


class ShuffledSampler(Sampler):
    """All examples in a fresh permutation each pass; batches run on over the end of a pass."""

    def __init__(self, labels: np.ndarray, batch_size: int, seed: int):
        """`labels` int `[N]`; only their number matters.

        Raises:
          UserError: no labels, or a batch size below 1.
        """
        _check_count(labels, batch_size)
        super().__init__([np.arange(len(labels))], [0], batch_size, seed)


class WeightedSampler(Sampler):
    """Draws with replacement, all classes equally likely whatever their size.

    That is sampling with weights of inverse class frequency, as PyTorch's `WeightedRandomSampler` is
    mostly used. Batches are balanced on average, not each of them, and an image may occur twice in a batch
    while another is not drawn. A pass is as many draws as there are positions.
    """

    def __init__(self, labels: np.ndarray, batch_size: int, seed: int):
        """`labels` int `[N]`: class of each position. Classes without a position take no part.

        Raises:
          UserError: no labels, or a batch size below 1.
        """
        _check_count(labels, batch_size)
        self._sizes = np.unique(labels, return_counts=True)[1]
        self._by_class = np.argsort(labels, kind="stable")
        super().__init__([np.arange(len(labels))], [0], batch_size, seed)
        self._counted = -1  # the pass whose visits are kept
        self._visits = np.zeros(0, np.int64)
        self._drawn = np.zeros(len(labels), np.int64)

    def one_pass(self, stream: int, number: int) -> np.ndarray:
        """The draws of pass `number` (0, 1, ...), int64 `[N]`: first a class, then one of its members."""
        count = len(self.streams[stream])
        which, where = uniforms(2 * count, self._seed, "weighted", number).reshape(2, count)
        classes = np.floor(which * len(self._sizes)).astype(np.int64)
        members = np.floor(where * self._sizes[classes]).astype(np.int64)
        first = np.cumsum(self._sizes) - self._sizes
        return self._by_class[first[classes] + members]

    def visits(self, step: int) -> np.ndarray:
        """As of any sampler, int64 `[batch_size]`; from a step on, all passes before it are drawn once."""
        return self._section(0, step * self.batch_size, self.batch_size, self._visits_of_pass)

    def _visits_of_pass(self, stream: int, number: int) -> np.ndarray:
        """For each draw of a pass how often its example was drawn before, int64 `[N]`; steps go forward."""
        if number < self._counted:
            self._counted, self._drawn = -1, np.zeros_like(self._drawn)
        while self._counted < number:
            self._counted += 1
            order = self.one_pass(stream, self._counted)
            self._visits = self._drawn[order] + _earlier_occurrences(order)
            self._drawn = self._drawn + np.bincount(order, minlength=len(order))
        return self._visits


def _earlier_occurrences(values: np.ndarray) -> np.ndarray:
    """For each element how many before it are equal: int64 `[N]`."""
    order = np.argsort(values, kind="stable")
    _, first, inverse = np.unique(values[order], return_index=True, return_inverse=True)
    earlier = np.empty(len(values), np.int64)
    earlier[order] = np.arange(len(values)) - first[inverse]
    return earlier


def _check_count(labels: np.ndarray, batch_size: int) -> None:
    if len(labels) == 0:
        raise UserError("there are no images to train on: check the data source and the split")
    if batch_size < 1:
        raise UserError(f"batch size is {batch_size}: it must be at least 1 (--config.train.batch_size=)")


def _nearest_multiples(value: int, divisor: int) -> str:
    below = value // divisor * divisor
    return f"{below} or {below + divisor}" if below else f"{divisor}"


def rows_by_label(labels: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """Each label of int `[N]` with its positions, both ascending; one sort, however many labels there are."""
    order = np.argsort(labels, kind="stable")
    present, first = np.unique(labels[order], return_index=True)
    parts = np.split(order, first[1:]) if len(present) else []
    return list(zip(present.tolist(), parts, strict=True))


def permutation(length: int, seed: int, stream: str, *coordinates: int) -> np.ndarray:
    """A permutation of `0..length-1`, int64, as a pure function of the arguments.

    The same on every machine and with every version of NumPy: NumPy promises that for seed sequences and
    bit generators, but not for the methods of `Generator`, so only raw bits are used.

    Args:
      length: number of elements, 0 or above.
      seed: any integer.
      stream: name of the use ("order", "split"); separates uses of one seed.
      *coordinates: non-negative integers within the stream.
    """
    return np.argsort(_raw_bits(length, seed, stream, *coordinates), kind="stable")


def uniforms(length: int, seed: int, stream: str, *coordinates: int) -> np.ndarray:
    """Uniform numbers in 0 <= u < 1, float64 `[length]`, as a pure function of the arguments.

    They are multiples of 2^-53, so that `floor(n * u)` is below n for every n.

    Args:
      length: number of values, 0 or above.
      seed: any integer.
      stream: name of the use; separates uses of one seed.
      *coordinates: non-negative integers within the stream.
    """
    return (_raw_bits(length, seed, stream, *coordinates) >> np.uint64(11)) * 2.0**-53


def _raw_bits(length: int, seed: int, stream: str, *coordinates: int) -> np.ndarray:
    """uint64 `[length]`."""
    entropy = [seed & 0xFFFFFFFFFFFFFFFF, zlib.crc32(stream.encode()), *coordinates]
    return np.random.Philox(np.random.SeedSequence(entropy)).random_raw(length)
