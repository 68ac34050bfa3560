"""Which cells the page shows where there are more than a browser can hold."""

import heapq
import itertools

from asae_jax.inference.predict.records import Record


class Gallery:
    """Keeps at most `limit` records: those for a person first, then the least certain.

    Records without a prediction are kept before all others. What is not kept is let go at once, so that
    memory does not grow with the number of images.
    """

    def __init__(self, limit: int):
        """Keeps up to `limit` records, 0 or more."""
        self._limit = limit
        self._numbers = itertools.count()
        self._heap: list[tuple[tuple[bool, bool, float], int, Record]] = []

    def add(self, record: Record) -> None:
        """Keeps the record, or the one it replaces, or not."""
        entry = (_urgency(record), next(self._numbers), record)
        if len(self._heap) < self._limit:
            heapq.heappush(self._heap, entry)
        elif self._heap:
            heapq.heappushpop(self._heap, entry)

    def records(self) -> list[Record]:
        """What was kept, in the order it came."""
        return [record for _, _, record in sorted(self._heap, key=lambda entry: entry[1])]


def _urgency(record: Record) -> tuple[bool, bool, float]:
    """Greater where a person should look sooner."""
    return bool(record.error), record.left_to_person, -(record.probability or 0.0)
