"""The differential count in a few lines, for the terminal."""

from collections.abc import Iterator

from asae_jax.inference.predict.records import Count, Differential, Ratio, Share, Shares


def summary(differential: Differential) -> str:
    """Counts of all images with their 95 % intervals, and the notes; groups are left to the files."""
    notes = (f"note: {note}" for note in differential.notes)
    return "\n".join([*_lines(differential.overall), *notes])


def _lines(count: Count) -> Iterator[str]:
    yield (
        f"{count.images:,} images: {count.left_to_person:,} left to a person "
        f"({count.out_of_distribution:,} of them unlike the training images), {count.unreadable:,} unreadable"
    )
    if count.left_to_person:
        yield f"of the {count.sure.counted:,} cells the run is sure of:"
        yield from _shares(count.sure)
    yield f"of all {count.everything.counted:,} cells by their most probable class:"
    yield from _shares(count.everything)


def _shares(shares: Shares) -> Iterator[str]:
    width = max(len(line.name) for line in shares.classes)
    for line in shares.classes:
        yield f"  {line.name:{width}} {line.cells.count:7,}  {percent(line.cells)}".rstrip()
    if shares.blasts is not None:
        yield f"  blasts: {percent(shares.blasts) or 'no cell counted'}"
    if shares.myeloid_erythroid is not None:
        yield f"  M:E ratio: {ratio_text(shares.myeloid_erythroid)}"


def percent(share: Share) -> str:
    """ "12.3 % [10.0, 14.9]"; empty where there is no whole."""
    if share.share is None or share.low is None or share.high is None:
        return ""
    return f"{share.share:.1%} [{100 * share.low:.1f}, {100 * share.high:.1f}]".replace("%", " %")


def ratio_text(ratio: Ratio) -> str:
    """ "3.1 [2.2, 4.4] (93:30)"; what is infinite or unknown in words."""
    if ratio.low is None:
        return "no cell of either lineage"
    value = "no erythroid cell" if ratio.value is None else f"{ratio.value:.2f}"
    high = "no upper bound" if ratio.high is None else f"{ratio.high:.2f}"
    return f"{value} [{ratio.low:.2f}, {high}] ({ratio.above:,}:{ratio.below:,})"
