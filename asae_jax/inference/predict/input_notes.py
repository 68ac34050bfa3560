"""What a reader of the counts must know of the images that were given."""

import collections

from asae_jax.inference.records import Record
from asae_jax.input.implausible_images import GREY

_NAMED = 3


class InputNotes:
    """Looks at records one by one, so that none has to be kept."""

    def __init__(self) -> None:
        """Nothing has been seen yet."""
        self._times: collections.Counter[str] = collections.Counter()
        self._odd: list[tuple[str, str]] = []
        self._images = self._grouped = self._several = 0

    def add(self, record: Record) -> None:
        """Looks at one image."""
        self._images += 1
        self._grouped += bool(record.group)
        self._several += record.several
        if record.content:
            self._times[record.content] += 1
        if record.implausible:
            self._odd.append((record.path, record.implausible))

    def notes(self) -> list[str]:
        """A sentence for each thing that makes counts differ from what one may think."""
        found = []
        if copies := self._times.total() - len(self._times):
            found.append(
                f"{copies} of the images are copies of others, pixel for pixel. Each is counted, so "
                "percentages are shifted and intervals too narrow: take the copies out."
            )
        grey = sum(why == GREY for _, why in self._odd)
        odd = [(path, why) for path, why in self._odd if why != GREY or 2 * grey <= self._images]
        if odd:
            named = ", ".join(f"{path} ({why})" for path, why in odd[:_NAMED])
            more = f" and {len(odd) - _NAMED} more" * (len(odd) > _NAMED)
            found.append(
                f"{len(odd)} of the images seem to be no crops of stained cells, and are counted as the "
                f"classes that the network gave them: {named}{more}."
            )
        if self._several:
            found.append(
                f"{self._several} of the images may show several cells, which `cut` could not divide (column "
                "note): each is counted as one."
            )
        if 0 < self._grouped < self._images:
            found.append(
                f"{self._images - self._grouped} of the images belong to no group: they are in the count of "
                "all, and in none of the groups'."
            )
        return found
