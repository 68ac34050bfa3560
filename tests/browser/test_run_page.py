"""The run's page in Chromium: sound for axe-core, whole on a phone, white on paper; cells can be enlarged."""

import re

import pytest

from tests.browser.chromium import PHONE, WIDE, faults, sideways
from tests.evaluation.page.made_run import evaluated_elsewhere, made_run

pytestmark = pytest.mark.filterwarnings("ignore:left out")


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    place = tmp_path_factory.mktemp("run page")
    workdir = made_run(place)
    evaluated_elsewhere(place)
    return workdir


@pytest.mark.parametrize("name", ["index.html", "evaluation/theirs.html"])
@pytest.mark.parametrize(("size", "dark"), [(WIDE, False), (WIDE, True), (PHONE, False), (PHONE, True)])
def test_axe_finds_nothing_serious_and_nothing_scrolls_sideways(workdir, open_page, name, size, dark):
    page = open_page(workdir / name, size=size, dark=dark, injected=True)
    page.evaluate("() => document.querySelectorAll('details').forEach((one) => (one.open = true))")
    assert faults(page) == []
    assert sideways(page) == []


def test_a_cell_is_enlarged_by_a_click_and_closed_again(workdir, open_page):
    page = open_page(workdir / "index.html")
    cell = page.locator("#mistake-2 img")
    before = cell.bounding_box()["width"]
    cell.click()
    assert cell.bounding_box()["width"] > 2 * before
    page.locator("#mistake-2").get_by_role("link", name="close").click()
    assert cell.bounding_box()["width"] == before
    assert page.locator("#mistake-2").is_visible()


def test_the_pages_lead_to_each_other(workdir, open_page):
    page = open_page(workdir / "index.html")
    page.get_by_role("link", name="theirs").click()
    assert page.title() == "Run run on theirs"
    page.get_by_role("link", name="The run").click()
    assert page.title() == "Run run"


def test_charts_are_drawn_in_the_colours_of_the_style_sheet(workdir, open_page):
    for dark in (False, True):
        page = open_page(workdir / "index.html", dark=dark)
        colours = {
            page.locator(f"#curves .line.s{style}").first.evaluate("(line) => getComputedStyle(line).stroke")
            for style in (1, 2, 3)
        }
        assert len(colours) == 3
        assert "none" not in colours


def test_on_paper_nothing_is_dark_and_all_classes_are_there(workdir, open_page):
    page = open_page(workdir / "index.html", dark=True)
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.locator("#confusion tbody tr").count() == 4
    page.emulate_media(media=None)
    assert 2 <= len(re.findall(rb"/Type\s*/Page\b", page.pdf())) <= 8
