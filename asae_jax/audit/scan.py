"""One pass over all images: the only time that every one of them is read."""

import dataclasses

from tqdm import tqdm

from asae_jax.audit.facts import Facts, empty_facts
from asae_jax.input.decode import BadImage
from asae_jax.input.table import Skipped, Table
from asae_jax.input.workers import bounded, default_workers, thread_pool


@dataclasses.dataclass(frozen=True)
class Scan:
    """Result of the pass: what was measured, and (name, reason) of the images that cannot be read."""

    facts: Facts
    unreadable: Skipped


def scan(table: Table, *, workers: int | None = None, progress: bool = True) -> Scan:
    """Reads every example of `table` once. At most nine images per worker are in memory at a time.

    Args:
      table: the examples.
      workers: threads; by default one per processor.
      progress: whether to show a bar.
    """
    facts = empty_facts(len(table))
    unreadable: list[tuple[str, str]] = []
    workers = workers or default_workers()
    bar = tqdm(total=len(table), desc="auditing images", unit="image", disable=not progress)
    with bar, thread_pool(workers) as pool:
        tasks = bounded(
            lambda row: (row, pool.submit(lambda: facts.put(row, table.read(row)))),
            range(len(table)),
            8 * workers,
        )
        for row, task in tasks:
            try:
                task.result()
            except BadImage as error:
                unreadable.append((str(table.names[row]), error.reason))
            bar.update()
    return Scan(facts, tuple(unreadable))
