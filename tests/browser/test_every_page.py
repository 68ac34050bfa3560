"""Every page in Chromium: axe-core finds nothing serious, nothing reaches beyond a phone, paper is white."""

import pytest

from tests.browser import made_pages
from tests.browser.chromium import BLANK, PHONE, WIDE, faults, printed, sideways

PAGES = {
    "predict": lambda folder: made_pages.predict_page(folder / "page.html"),
    "embed": lambda folder: made_pages.embed_page(folder / "page.html"),
    "audit": made_pages.audit_page,
    "audit clean": lambda folder: made_pages.audit_page(folder, damaged=False),
    "explain": made_pages.explain_page,
    "explain without layer": lambda folder: made_pages.explain_page(folder, layer=False, tested=False),
    "agreement": made_pages.agreement_page,
    "reproduce": made_pages.reproduce_page,
}


@pytest.fixture(scope="module", params=PAGES)
def path(request, tmp_path_factory):
    return PAGES[request.param](tmp_path_factory.mktemp("page"))


@pytest.mark.parametrize(("size", "dark"), [(WIDE, False), (PHONE, True)], ids=["wide", "dark phone"])
def test_axe_finds_nothing_serious_and_nothing_scrolls_sideways(path, open_page, size, dark):
    page = open_page(path, size=size, dark=dark, injected=True)
    page.evaluate("() => document.querySelectorAll('details').forEach((one) => (one.open = true))")
    assert faults(page) == []
    assert sideways(page) == []


def test_on_paper_nothing_is_dark_and_no_control_is_left(path, open_page):
    page = open_page(path, dark=True)
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    controls = page.locator("button, select, input").and_(page.locator(":not(#legend button)")).all()
    assert not [control.evaluate("(one) => one.outerHTML") for control in controls if control.is_visible()]
    page.emulate_media(media=None)
    sheets = printed(page)
    assert 1 <= len(sheets) <= 8
    assert min(sheets) > BLANK
