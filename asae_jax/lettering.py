"""Names given by the user as text of a picture: no formula, no empty box, and short enough to leave room.

Matplotlib takes dollars for a formula, draws a box for what its font lacks, gives up on bytes that are not
Unicode, and draws right-to-left scripts backwards. It is imported when the first picture is drawn.
"""

import functools
import re
import unicodedata
import warnings
from collections.abc import Iterable, Iterator, Sequence

MAX_LETTERS = 40
"""Longer names are shortened in their middle."""

_FONTS = ("Noto Sans CJK", "Source Han Sans", "WenQuanYi", "Microsoft YaHei", "SimHei", "PingFang",
          "Hiragino", "Malgun", "Droid Sans Fallback", "Noto Sans", "Arial Unicode", "Unifont")  # fmt: skip
"""Beginnings of the names of fonts with many letters, the best first."""
_WITHOUT_LETTERS = ("Last Resort", "STIXNonUnicode", "STIXSize", "cm", "DejaVu Math", "DejaVu Sans Display")
"""Beginnings of the names of fonts that show boxes or signs in the places of letters."""
_RIGHT_TO_LEFT = ("R", "AL", "AN")
_NOT_UNICODE = "[\ud800-\udfff]"


def picture_text(text: str, *, most: int = MAX_LETTERS) -> str:
    """`text` so that Matplotlib shows it, letter for letter, in a line of about `most` letters.

    Letters that the font lacks are drawn with another installed font. Where none has them, and for scripts
    that Matplotlib cannot set, their Unicode numbers are written, and a warning says so once.
    """
    return shorten(_drawable(text), most).replace("$", r"\$")


def picture_texts(names: Sequence[str]) -> list[str]:
    """`picture_text` of several names; those that would look the same get their number, from 1."""
    texts = [picture_text(name) for name in names]
    return [
        f"{text} ({number})" if texts.count(text) > 1 else text for number, text in enumerate(texts, start=1)
    ]


def shorten(text: str, most: int) -> str:
    """`text` with an ellipsis in the place of its middle where it has more than `most` letters."""
    if len(text) <= most:
        return text
    tail = most // 3
    return f"{text[: most - tail - 1]}\N{HORIZONTAL ELLIPSIS}{text[len(text) - tail :]}"


def text_width(text: str) -> int:
    """Columns that `text` takes; Chinese, Japanese and Korean letters take two."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def _drawable(text: str) -> str:
    """`text` in one line, of letters that can be drawn."""
    text = re.sub(_NOT_UNICODE, "\ufffd", unicodedata.normalize("NFC", text))
    text = "".join(" " if unicodedata.category(letter) in ("Cc", "Zl", "Zp") else letter for letter in text)
    missing = {letter for letter in set(text) if not _can_draw(letter)}
    if not missing:
        return text
    _say_once()
    pattern = f"[{re.escape(''.join(sorted(missing)))}]+"
    return re.sub(pattern, lambda found: f"[{' '.join(f'{ord(c):04X}' for c in found[0])}]", text)


@functools.cache
def _can_draw(letter: str) -> bool:
    """Whether an installed font has `letter`; another font than the usual one is taken into use."""
    if letter.isascii():
        return True
    if unicodedata.bidirectional(letter) in _RIGHT_TO_LEFT or unicodedata.category(letter) == "Cs":
        return False
    if any(_has(path, letter) for path in _fonts_in_use()):
        return True
    import matplotlib as mpl

    for family, path in _other_fonts():
        if _has(path, letter):
            mpl.rcParams["font.family"] = [*mpl.rcParams["font.family"], family]
            return True
    return False


def _fonts_in_use() -> Iterator[str]:
    """Files of the fonts that text is drawn with now."""
    import matplotlib as mpl
    from matplotlib import font_manager

    for family in mpl.rcParams["font.family"]:
        yield font_manager.findfont(font_manager.FontProperties(family=[family]))


def _other_fonts() -> Iterable[tuple[str, str]]:
    """Family and file of the upright installed fonts, those with many letters first."""
    from matplotlib.font_manager import fontManager

    fonts = [
        (font.name, font.fname)
        for font in fontManager.ttflist
        if font.style == "normal" and not font.name.startswith(_WITHOUT_LETTERS)
    ]
    return sorted(fonts, key=lambda font: (_place(font[0]), font))


def _place(family: str) -> int:
    return next((place for place, name in enumerate(_FONTS) if family.startswith(name)), len(_FONTS))


@functools.lru_cache(maxsize=64)
def _letters(path: str) -> frozenset[int]:
    """Unicode numbers of the letters that a font file has; none where it cannot be read."""
    from matplotlib.ft2font import FT2Font

    try:
        return frozenset(FT2Font(path).get_charmap())
    except (OSError, RuntimeError):
        return frozenset()


def _has(path: str, letter: str) -> bool:
    return ord(letter) in _letters(path)


@functools.cache
def _say_once() -> None:
    warnings.warn(
        "no installed font can draw some letters of the names: pictures show their Unicode numbers instead, "
        "such as [6DCB 5DF4]; install a font that has them (Noto Sans CJK, for one) and draw again",
        stacklevel=2,
    )
