"""Names as text of pictures: whatever a user calls a class, the picture shows it or says why not."""

import warnings

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import font_manager
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from asae_jax import lettering
from asae_jax.lettering import MAX_LETTERS, picture_text, picture_texts, shorten, text_width

NAMES = {
    "half a formula": r"$\frac{$",
    "a formula": "$x^2$",
    "an escaped dollar": r"5\$ and $6$",
    "one dollar": "cost $5",
    "Latin-1 bytes": b"caf\xe9".decode("utf-8", "surrogateescape"),
    "two lines and a tab": "first\nsecond\tthird\x00",
    "braces and backslashes": r"\mathrm{x}_{2}^{3} % & # ~",
    "empty": "",
    "decomposed": "Mu\u0308ller",
    "Greek": "βασόφιλο",
}
UNDRAWABLE = {
    "Chinese": "淋巴细胞",
    "Korean": "림프구",
    "an emoji": "blast 🧫",
    "Hebrew": "תאיםב",
    "Hindi": "लसीका",
}


@pytest.fixture(autouse=True)
def fresh():
    """As in a new process, and without a change of Matplotlib's settings."""
    for function in (lettering._can_draw, lettering._say_once):
        function.cache_clear()
    with mpl.rc_context():
        yield
    for function in (lettering._can_draw, lettering._say_once):
        function.cache_clear()


@pytest.fixture
def only_dejavu(monkeypatch):
    """A machine with the fonts that Matplotlib brings along."""
    monkeypatch.setattr(lettering, "_other_fonts", list)


def drawn(text):
    """Pixels of a picture of `text`; Matplotlib's warning of a missing glyph is an error."""
    figure = Figure(figsize=(4, 1), dpi=50)
    figure.text(0.1, 0.4, text)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba()).copy()


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_every_name_can_be_drawn_and_is_no_formula(name):
    text = picture_text(name)
    drawn(text)
    assert Figure().text(0, 0, text)._preprocess_math(text)[1] is not True


def test_dollars_are_drawn_as_dollars():
    with mpl.rc_context({"text.parse_math": False}):
        plain = drawn("a $x^2$ b")
    np.testing.assert_array_equal(drawn(picture_text("a $x^2$ b")), plain)


@pytest.mark.parametrize("name", UNDRAWABLE.values(), ids=UNDRAWABLE)
def test_letters_that_no_font_has_become_their_numbers_and_it_is_said_once(name, only_dejavu):
    with pytest.warns(UserWarning, match=r"no installed font.*Noto Sans CJK") as said:
        text, again = (picture_text(text) for text in (name, name * 2))
    assert len(said) == 1
    drawn(text + again)
    assert text.isascii()
    assert all(f"{ord(letter):04X}" in text for letter in name if not letter.isascii())


def test_an_installed_font_that_has_the_letters_is_used_for_them(monkeypatch):
    """Found by its letters: DejaVu Sans stands for a font with Chinese, Computer Modern for the usual one."""
    path = font_manager.findfont("cmr10")
    mpl.rcParams["font.family"] = ["cmr10"]
    assert not lettering._has(path, "Ж")
    other = ("DejaVu Sans", font_manager.findfont("DejaVu Sans"))
    monkeypatch.setattr(lettering, "_other_fonts", lambda: [other])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert picture_text("Жук") == "Жук"
        assert mpl.rcParams["font.family"] == ["cmr10", "DejaVu Sans"]
        drawn("Жук")


def test_fonts_of_boxes_are_never_used():
    families = [family for family, _ in lettering._other_fonts()]
    assert "DejaVu Sans" in families
    assert not any("Last Resort" in family for family in families)


def test_long_names_are_shortened_in_their_middle_and_stay_apart():
    names = [f"{'Zelle sehr lang ' * 9}{number}" for number in (1, 2)] + [f"{'x' * 300}", f"{'x' * 301}"]
    texts = picture_texts(names)
    assert len(set(texts)) == 4
    assert texts[2:] == [picture_text(names[2]) + " (3)", picture_text(names[3]) + " (4)"]
    assert all(len(text) <= MAX_LETTERS + 4 for text in texts)
    assert shorten("abcdefghij", 10) == "abcdefghij"
    assert shorten("abcdefghijk", 10) == "abcdef…ijk"


def test_chinese_letters_take_two_columns():
    assert (text_width("abc"), text_width("淋巴"), text_width("")) == (3, 4, 0)
