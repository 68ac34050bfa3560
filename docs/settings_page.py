"""Writes docs/settings.md from the field table in asae_jax/config/fields.py.

    python docs/settings_page.py

A test fails when the page is not what the table gives.
"""

import sys
import textwrap
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from asae_jax.config import FIELDS, NEUTRAL, SECTIONS, Field, Section
from asae_jax.files import write_text

PAGE = Path(__file__).resolve().parent / "settings.md"

HEAD = """\
# Settings

<!-- Written by `python docs/settings_page.py` from asae_jax/config/fields.py: change the table there. -->

Every setting can be given on the command line as `--config.section.field=value`, or in a configuration file.
The settings of a command (`predict`, `explain`, `embed`, `adapt`, `export`, `audit`, `slide`, `cut`, `merge`,
`agreement`, `crossval`, `reproduce`, and `eval` for `evaluate`) can also be given to that command by their
last name: `asae predict --input=DIR` is `asae predict --config.predict.input=DIR`.
`asae COMMAND --help` lists the settings that a command uses.

The column *paper* names the section, equation or table of the paper that states the setting. Where it is
empty, the paper says nothing, and the default is our choice (see [decisions](method.md#decisions)).
Sections marked with \u2020 do not change the trained weights: their settings may differ when a run is used or
goes on (but for `eval.select_by`).
"""

_COLUMNS = "| setting | default | allowed | meaning | paper |\n|---|---|---|---|---|"


def settings_page() -> str:
    """The whole page, in Markdown: one table for each section."""
    return HEAD + _neutral() + "".join(_table(section) for section in SECTIONS)


def _neutral() -> str:
    """Which settings of the sections without a dagger may differ too."""
    names = [f"`{field.name}`" for field in FIELDS if field.name in NEUTRAL]
    said = f"Of the other sections these may: {', '.join(names)}. They do not change the result of training."
    return textwrap.fill(said, 108, break_on_hyphens=False) + "\n"


def _table(section: Section) -> str:
    rows = [_row(field) for field in FIELDS if field.section == section.name]
    title = section.title + ("" if section.trains else " \u2020")
    return "\n".join(["", f"## {title}", "", _COLUMNS, *rows, ""])


def _row(field: Field) -> str:
    cells = (f"`{field.name}`", _default(field.default), _allowed(field), field.described, field.paper)
    return "| " + " | ".join(_escaped(cell) for cell in cells) + " |"


def _default(value: object) -> str:
    return "(empty)" if value == "" else f"`{value}`"


def _allowed(field: Field) -> str:
    if field.choices:
        return ", ".join(f"`{choice}`" if choice else "(empty)" for choice in field.choices)
    kind = {bool: "`True`, `False`", str: "text"}.get(type(field.default), field.unit or "a number")
    return field.allowed() or kind


def _escaped(cell: str) -> str:
    """Text that a Markdown table takes as it is: bars, and outside of code also stars and angle brackets."""
    parts = cell.split("`")
    for number in range(0, len(parts), 2):
        parts[number] = (
            parts[number].replace("*", r"\*").replace("<", "&lt;").replace("_", r"\_").replace("[", r"\[")
        )
    return "`".join(parts).replace("|", r"\|")


if __name__ == "__main__":
    write_text(PAGE, settings_page())
    print(f"written: {PAGE}")
