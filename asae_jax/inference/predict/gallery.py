"""The choice of images that the review page shows."""

import dataclasses
import heapq
import itertools

from asae_jax.inference.records import Record

CONTENT_DIGITS = 10
"""Hexadecimal digits of `Record.content` by which a page knows the cells that it has no room for."""

SHOWN_BAD = 500
"""Unreadable images that the page lists; the file of predictions has all."""


class Gallery:
    """Keeps at most `limit` cells for the page: those left to a person, then the least certain.

    Beside them are the first `SHOWN_BAD` unreadable images, which take no cell's place. The most urgent cells
    keep their large `picture`, as many as fit into `picture_bytes`. What is dropped is dropped at once, so
    that memory does not grow with the number of images, but for a few bytes of each.

    Attributes:
      dropped: the first `CONTENT_DIGITS` of the content of each cell that there was no room for.
    """

    def __init__(self, limit: int, picture_bytes: float = float("inf")):
        """Takes the largest number of cells, and of bytes of all their pictures; each 0 or more."""
        self._limit = limit
        self._numbers = itertools.count()
        self._heap: list[tuple[tuple[bool, float], int, Record]] = []
        self._bad: list[tuple[int, Record]] = []
        self._budget = picture_bytes
        self._pictures: list[tuple[tuple[bool, float], int, bytes]] = []
        self._bytes = 0
        self.dropped: list[str] = []

    def add(self, record: Record) -> None:
        """Keeps the record if it is among the `limit` most urgent so far, or the first unreadable ones."""
        number = next(self._numbers)
        if record.error:
            if len(self._bad) < SHOWN_BAD:
                self._bad.append((number, record))
            return
        urgency = _urgency(record)
        entry = (urgency, number, dataclasses.replace(record, picture=None))
        if len(self._heap) < self._limit:
            heapq.heappush(self._heap, entry)
        else:
            dropped = heapq.heappushpop(self._heap, entry)  # `entry` itself where there is no room at all
            self.dropped.append(dropped[2].content[:CONTENT_DIGITS])
            if dropped is entry:
                return
            # The least urgent of all: where it has a picture, that is the first of the pictures.
            if self._pictures and self._pictures[0][:2] == dropped[:2]:
                self._drop_picture()
        if record.picture is not None:
            heapq.heappush(self._pictures, (urgency, number, record.picture))
            self._bytes += len(record.picture)
        while self._bytes > self._budget:
            self._drop_picture()

    def _drop_picture(self) -> None:
        self._bytes -= len(heapq.heappop(self._pictures)[2])

    def records(self) -> list[Record]:
        """The records kept, in the order of the input."""
        pictures = {number: picture for _, number, picture in self._pictures}
        kept = [(number, record) for _, number, record in self._heap]
        ordered = sorted([*self._bad, *kept], key=lambda entry: entry[0])
        return [dataclasses.replace(record, picture=pictures.get(number)) for number, record in ordered]


def _urgency(record: Record) -> tuple[bool, float]:
    """Greater where a person should look sooner."""
    return record.left_to_person, -(record.probability or 0.0)
