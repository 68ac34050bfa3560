"""The style sheet of all pages: its colours can be read, and told apart by colour-blind readers."""

import itertools
import re
from pathlib import Path

import numpy as np
import pytest

from asae_jax.pages import base_style, colours, environment

ROOT = Path(__file__).resolve().parent.parent

# Machado, Oliveira, Fernandes: A physiologically-based model for simulation of color vision deficiency
# (2009), severity 1; matrices for linear RGB.
BLIND = {
    "normal": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
                   [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
                     [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
                   [0.004733, 0.691367, 0.303900]],
}  # fmt: skip
TO_XYZ = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
"""sRGB, linear, to CIE XYZ with white D65."""
EASILY_SEEN = 10
"""CIE76 distance: several times the least that is seen side by side, about 2.3."""


def _linear(colour):
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    shares = np.array([int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)])
    return np.where(shares <= 0.04045, shares / 12.92, ((shares + 0.055) / 1.055) ** 2.4)


def _contrast(one, other):
    """Of WCAG 2: 1..21."""
    low, high = sorted(_linear(colour) @ TO_XYZ[1] + 0.05 for colour in (one, other))
    return high / low


def _lab(linear):
    white = np.sum(TO_XYZ, 1)
    x, y, z = np.cbrt(np.maximum(TO_XYZ @ linear / white, (6 / 29) ** 3))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def _distance(one, other, blind):
    one, other = (_lab(np.clip(BLIND[blind] @ _linear(colour), 0, 1)) for colour in (one, other))
    return np.linalg.norm(one - other)


def test_the_arithmetic_is_that_of_the_standards():
    assert _contrast("#000", "#ffffff") == pytest.approx(21)
    assert _contrast("#777", "#fff") == pytest.approx(4.48, abs=0.005)  # the example of WCAG's technique G18
    np.testing.assert_allclose(_lab(_linear("#ff0000")), (53.24, 80.09, 67.20), atol=0.05)
    red, green = "#aa0000", "#5a5a00"  # a pair that deuteranopes mix up
    assert _distance(red, green, "deuteranopia") < EASILY_SEEN < _distance(red, green, "normal")


@pytest.mark.parametrize("dark", [False, True])
def test_every_text_can_be_read(dark):
    named = colours(dark=dark)
    texts = [(text, ground) for text in ("ink", "quiet", "purple", "good", "bad", "amber")
             for ground in ("paper", "card", "track")]  # fmt: skip
    texts += [(text, f"{text}-pale") for text in ("good", "bad", "amber")]
    texts += [("on-purple", "purple"), ("ink", "pale"), ("ink", "good-pale"), ("ink", "bad-pale")]
    for text, ground in texts:
        assert _contrast(named[text], named[ground]) >= 4.5, (text, ground)
    for line in ("first", "second", "third"):
        assert _contrast(named[line], named["card"]) >= 3, line  # as WCAG asks of graphics


@pytest.mark.parametrize("blind", BLIND)
@pytest.mark.parametrize("dark", [False, True])
def test_good_and_bad_and_lines_side_by_side_differ_for_everyone(dark, blind):
    named = colours(dark=dark)
    pairs = [("good", "bad"), ("good-pale", "bad-pale")]
    pairs += itertools.combinations(("first", "second", "third"), 2)
    for one, other in pairs:
        assert _distance(named[one], named[other], blind) > EASILY_SEEN, (one, other)


def test_both_themes_name_the_same_colours():
    assert colours().keys() == colours(dark=True).keys()


def test_every_template_has_the_style(tmp_path):
    assert environment("asae_jax.audit", {}).from_string("{{ base_style }}").render() == base_style()


def test_the_style_asks_nothing_of_another_place():
    assert not any(word in base_style() for word in ("@import", "url(", "<", "//"))


PAGES = sorted(path for kind in ("css", "html") for path in (ROOT / "asae_jax").rglob(f"*.{kind}"))


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_custom_property_is_set_somewhere(path):
    """A misspelt one would be ignored in silence."""
    folder = (other for other in path.parent.iterdir() if other.suffix in (".css", ".html", ".js", ".py"))
    beside = [base_style(), *(other.read_text(encoding="utf-8") for other in folder)]
    text = path.read_text(encoding="utf-8")
    known = {name for source in beside for name in re.findall(r"--([a-z0-9-]+)(?=:|\")", source)}
    assert set(re.findall(r"var\(--([a-z0-9-]+)", text)) <= known


def test_one_head_for_all_pages_and_a_script_only_where_its_digest_is_given():
    pages = {p for p in (ROOT / "asae_jax").rglob("*.html") if "<body>" in p.read_text(encoding="utf-8")}
    assert pages == {ROOT / "asae_jax" / "web" / "base.html"}
    child = '{% extends "base.html" %}{% macro twice(x) %}{{ x }}{{ x }}{% endmacro %}' + (
        "{% block title %}T{% endblock %}{% block body %}{{ twice('<') }}{% endblock %}"
    )
    made = environment("asae_jax", {}).from_string(child)
    assert "<body>\n&lt;&lt;</body>" in made.render()
    assert "script-src" not in made.render()
    assert "script-src 'sha256-abc'; " in made.render(script_hash="abc")
