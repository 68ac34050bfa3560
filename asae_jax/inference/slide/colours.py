"""The colour of each class in programs that show cells on slides."""

from collections.abc import Sequence

from asae_jax.input.cell_classes import CellClass, display_order

UNKNOWN = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7")
"""Of classes that the table of classes does not know, one after another: the colours of Okabe and Ito ("Color
universal design", 2008), which colour-blind people tell apart."""


def shown_colours(classes: Sequence[CellClass]) -> dict[str, str]:
    """Code -> "#rrggbb" of each class, in the order to show them; unknown ones get those of `UNKNOWN`."""
    ordered = [classes[number] for number in display_order(classes)]
    unknown = [one.code for one in ordered if not one.known]
    others = {code: UNKNOWN[place % len(UNKNOWN)] for place, code in enumerate(unknown)}
    return {one.code: others.get(one.code, one.colour) for one in ordered}
