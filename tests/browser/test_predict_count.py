"""The count on the page of `predict` and its report on paper, in the hands of a person."""

import dataclasses
import re

import pytest

from asae_jax.inference.predict.count.differential import Counter
from asae_jax.inference.predict.count.intervals import percent, share
from asae_jax.inference.predict.count.specimen import BLOOD, UNKNOWN
from asae_jax.inference.predict.count.table import rows
from asae_jax.inference.predict.gallery import Gallery
from asae_jax.inference.predict.page import ReviewPage, write_page
from asae_jax.inference.uncertainty import Thresholds
from asae_jax.input.cell_classes import cell_classes, known_classes
from asae_jax.pages import NOTICE
from tests.browser.chromium import PHONE, faults, reload, sideways, until
from tests.browser.made_pages import predicted_cells

CLASSES = ("ERB", "LY", "MO", "PLATELET", "SNE")
"""Of blood, without blasts."""
CELLS = predicted_cells(60)


def _differential(specimen, records=CELLS, names=CLASSES, *, slides=False):
    counter = Counter(cell_classes(names), specimen, slides=slides)
    for record in records:
        counter.add(record)
    return counter.differential()


def _write(path, specimen=UNKNOWN, records=CELLS, names=CLASSES, *, slides=False, shown=None):
    page = ReviewPage(
        records if shown is None else shown, names,
        _differential(specimen, records, names, slides=slides), title="made cells", network="0123456789",
        attention_extent=0.9, made_by="tiny (step 7)", thresholds=Thresholds(0.6, None, 0.9),
    )  # fmt: skip
    write_page(path, page)
    return path


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return _write(tmp_path_factory.mktemp("page") / "page.html")


def _texts(page):
    """Row -> texts of its cells, without the bars."""
    return page.evaluate(
        """() => Object.fromEntries([...document.querySelectorAll("#counts tr")].map((row) =>
          [row.cells[0].innerText.trim(), [...row.cells].slice(1).map((cell) =>
            cell.textContent.replaceAll("\\u00a0", " ").trim())]))"""
    )


def _pages(page):
    return len(re.findall(rb"/Type\s*/Page\b", page.pdf(prefer_css_page_size=True)))


def _label(page, name):
    page.keyboard.press("Enter")
    page.keyboard.type(name)
    page.keyboard.press("Enter")


def test_the_script_shows_the_count_that_stands_there_without_it(path, open_page):
    with_it, without = _texts(open_page(path)), _texts(open_page(path, java_script_enabled=False))
    assert with_it == without
    expected = rows([_differential(UNKNOWN).overall.everything], cell_classes(CLASSES), UNKNOWN)
    assert [name.split()[0] for name in with_it if name.split()[0] in CLASSES] == [
        row.name for row in expected if row.kind == "class"
    ]


def test_what_the_specimen_is_can_be_said_on_the_page_and_is_kept(path, open_page, tmp_path):
    page = open_page(path, profile=tmp_path)
    assert {
        "M:E ratio, if this is marrow",
        "Nucleated red cells per 100 white cells, if this is blood",
    } <= {name[:1].upper() + name[1:] for name in _texts(page)}
    page.select_option("#specimen", "blood")
    reload(page)
    assert page.input_value("#specimen") == "blood"
    texts = _texts(page)
    assert not [name for name in texts if name.startswith("M:E")]
    count = _differential(BLOOD).overall.everything
    (shown,) = (cells for name, cells in texts.items() if name.startswith("LY"))
    of_white = count.classes[1].cells
    assert shown[-1] == f"{of_white.count} {percent(share(of_white.count, count.white))}"
    few = next(note for note in _differential(BLOOD).notes if "fewer" in note)
    assert few.startswith("In 2 of 2 groups fewer white cells were counted (")
    assert page.locator("#specimen-notes li").all_text_contents()[-1] == few
    page.select_option("#group", label="p1")
    alone = _differential(BLOOD).groups[0].everything.white
    assert f"Here fewer white cells were counted ({alone})" in page.inner_text("#specimen-notes")
    page.select_option("#group", label="all images")
    page.select_option("#specimen", "marrow")
    assert not [name for name in _texts(page) if "per 100" in name]
    assert "500 nucleated cells" in page.inner_text("#specimen-notes")


def test_a_specimen_chosen_in_another_window_of_the_page_holds_here(path, open_page):
    page = open_page(path)
    other = page.context.new_page()
    other.goto(page.url)
    other.select_option("#specimen", "blood")
    until(page, "document.getElementById('specimen').value === 'blood'")
    assert "specimen: blood" in page.text_content("#count-of")


def test_a_blast_that_is_typed_counts_as_one(path, open_page):
    page = open_page(path)
    page.select_option("#specimen", "marrow")
    assert "blasts" not in {name.lower() for name in _texts(page)}
    page.locator(".cell").first.click()
    _label(page, "blast")
    until(page, "document.querySelector('#counts thead').innerText.includes('your labels')")
    texts = {name.lower(): cells for name, cells in _texts(page).items()}
    assert texts["blasts"][:2] == ["", ""], "the network has not counted any"
    assert texts["blasts"][2].startswith("1 ")
    assert texts["blast"][2].startswith("1 ")
    assert "blasts of no lineage" in texts


def test_a_red_cell_that_is_typed_is_in_the_sentence_and_in_the_report(open_page, tmp_path):
    names = ("LY", "MO", "PLATELET", "PMY", "SNE")
    page = open_page(_write(tmp_path / "page.html", BLOOD, names=names))
    none = "The run has no class of nucleated red cells"
    assert none in page.inner_text("#specimen-notes")
    page.locator(".cell").first.click()
    _label(page, "erythroblast")
    until(page, "document.querySelector('#counts thead').innerText.includes('your labels')")
    said = "White cells are all cells counted but the nucleated red cells (erythroblast), which are given per"
    assert said in page.inner_text("#specimen-notes")
    assert none not in page.inner_text("#specimen-notes")
    page.select_option("#specimen", "marrow")
    assert "all nucleated cells, nucleated red cells (erythroblast) among" in page.inner_text(
        "#specimen-notes"
    )
    page.select_option("#specimen", "blood")
    page.evaluate("makeReports([0])")
    report = page.locator(".report").text_content()
    assert said in report
    assert none not in report


def test_a_page_without_cells_says_what_is_left_to_a_person(open_page, tmp_path):
    page = open_page(_write(tmp_path / "page.html", shown=[]))
    left = sum(record.left_to_person for record in CELLS)
    assert page.inner_text("#left") == str(left) != "0"
    heads = page.locator("#counts thead th").all_text_contents()
    assert heads == ["class", "cells the run is sure of", "all cells"]
    page.evaluate("makeReports([0])")
    assert f"60, {left} left to a person" in page.locator(".report").text_content()


def test_numbers_with_labels_follow_the_group(path, open_page):
    page = open_page(path)
    page.select_option("#group", label="p2")
    heads = page.inner_text("#counts thead")
    page.locator(".cell").first.click()
    _label(page, "plasma cell")
    until(page, "document.querySelector('#counts thead').innerText.includes('your labels')")
    assert "your labels" not in heads
    page.select_option("#group", label="p1")
    assert "your labels" not in page.inner_text("#counts thead")


def test_groups_side_by_side_are_counted_with_labels(path, open_page):
    page = open_page(path)
    page.locator("#count details summary").click()
    page.select_option("#group", label="p2")
    page.locator(".cell").first.click()
    _label(page, "blast")
    until(page, "document.querySelector('#groups-of').innerText.includes('your labels')")
    heads = page.locator("#groups th[scope=col]").all_text_contents()
    lines = page.locator("#groups tbody tr").evaluate_all(
        "(rows) => rows.map((row) => [...row.cells].map((cell) => cell.textContent))"
    )
    blasts = {line[0]: line[heads.index("blast")] for line in lines}
    assert blasts["p1"].startswith("0.0 %")
    assert not blasts["p2"].startswith("0.0 %")
    page.click("#undo")
    until(page, "!document.querySelector('#groups-of').innerText.includes('your labels')")
    assert "blast" not in page.locator("#groups th[scope=col]").all_text_contents()


def _report(page, groups=None):
    """Presses the buttons; the paper is then that of the reports."""
    page.evaluate("() => { window.print = () => {}; }")
    page.click("#report")
    if groups is not None:
        page.click("#print-none")
        for name in groups:
            page.get_by_label(name, exact=True).check()
    page.click("#print-go")
    page.wait_for_selector("#print", state="hidden")
    return page.locator(".report").all_text_contents()


def test_each_patient_s_report_is_one_page(path, open_page):
    page = open_page(path)
    page.select_option("#specimen", "blood")
    reports = _report(page)
    assert len(reports) == 2
    for text, name in zip(reports, ("p1", "p2"), strict=True):
        assert text.startswith(name)
        for part in (NOTICE, "Specimenblood", "tiny (step 7)", "fingerprint of the network 01234567",
                     "by nobody", "Typical cells", "per 100 white cells"):  # fmt: skip
            assert part in text, part
    assert page.locator(".report img").count() > 20
    assert _pages(page) == 2
    assert not page.evaluate(
        "[...document.querySelectorAll('.report')].some((one) => one.scrollHeight > one.clientHeight)"
    )


def test_cells_of_no_group_are_on_the_report_of_all_images(open_page, tmp_path):
    records = [dataclasses.replace(one, group=one.group * (row > 2)) for row, one in enumerate(CELLS)]
    page = open_page(_write(tmp_path / "page.html", records=records))
    reports = _report(page)
    assert [re.sub("For research.*", "", text) for text in reports] == ["made cells", "p2", "p1"]
    assert "Inputall 60 images" in reports[0]
    said = page.locator("#print-said").text_content()
    assert "3 images of no group are on the page of all images alone" in said


def test_one_patient_can_be_chosen_and_the_page_comes_back(path, open_page):
    page = open_page(path)
    (text,) = _report(page, ["p2"])
    assert text.startswith("p2")
    assert _pages(page) == 1
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator(".report").count() == 0
    assert page.locator("#counts").is_visible()


def test_a_report_says_what_a_person_changed(path, open_page):
    page = open_page(path)
    page.fill("#reviewer", "Dr. <b> A")
    page.locator("#reviewer").press("Tab")
    page.select_option("#group", label="p1")
    page.locator(".cell").first.click()
    _label(page, "blast")
    page.keyboard.press(" ")
    page.keyboard.press("Delete")
    (text,) = _report(page)
    assert "3 of 30 cells looked at: 1 accepted, 1 relabelled, 1 left out" in text
    assert "by Dr. <b> A" in text
    assert "as reviewed so far" in text
    assert "network alone" in text
    assert "blasts" in text
    assert _pages(page) == 1


def test_labels_that_nobody_signed_are_not_printed_as_signed(path, open_page, tmp_path):
    page = open_page(path, profile=tmp_path)
    page.select_option("#group", label="p1")
    page.locator(".cell").first.click()
    page.keyboard.press(" ")
    page.keyboard.press(" ")
    (text,) = _report(page, ["p1"])
    assert "by ______________________;" not in text
    assert "by ______________________" in text
    # The name given, then taken away, and one more label: a page recalls names of labels one by one.
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    page.fill("#reviewer", "Ann")
    page.locator("#reviewer").press("Tab")
    (text,) = _report(page, ["p1"])
    assert "by Ann" in text
    assert "nobody named" not in text
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    page.fill("#reviewer", "")
    page.locator("#reviewer").press("Tab")
    page.locator(".cell").nth(3).click()
    page.keyboard.press(" ")
    (text,) = _report(page, ["p1"])
    assert "by Ann; 1 by nobody named" in text


def test_a_count_is_after_review_once_no_cell_waits_for_a_person(path, open_page):
    page = open_page(path)
    page.select_option("#group", label="p1")
    page.select_option("#by-state", "person")
    page.click("#accept")
    (text,) = _report(page)
    assert "after review" in text
    assert "so far" not in text


def test_a_count_is_not_after_review_while_cells_that_wait_are_not_on_the_page(open_page, tmp_path):
    waiting = [cell for cell in CELLS if cell.left_to_person and cell.group == "p1"]
    shown = [cell for cell in CELLS if cell not in waiting[:3]]
    page = open_page(_write(tmp_path / "page.html", shown=shown))
    assert "57 of 60 cells (predict.page_cells): 3 more that are left to a person are not on it" in (
        page.inner_text("#cells")
    )
    page.select_option("#group", label="p1")
    page.select_option("#by-state", "person")
    page.click("#accept")
    until(page, "document.querySelector('#shown').textContent.includes('accepted')")
    status = page.inner_text("#shown")
    assert "all left to a person on this page looked at · 3 more are not on this page" in status
    (text,) = _report(page)
    assert "as reviewed so far" in text
    assert "3 more left to a person are not on the page; by" in text


def test_cells_of_a_page_without_room_for_the_surest_are_not_called_typical(open_page, tmp_path):
    gallery = Gallery(9)
    for cell in CELLS:
        gallery.add(cell)
    left = sum(cell.left_to_person for cell in CELLS)
    assert left > 9
    page = open_page(_write(tmp_path / "page.html", shown=gallery.records()))
    page.evaluate("makeReports([0])")
    text = page.locator(".report").text_content()
    assert "Typical cells" not in text
    assert (
        f"by nobody: the network's count alone; {left - 9} more left to a person are not on the page" in text
    )
    shown = page.locator(".report .strip > figure figcaption").count()
    assert shown == 9
    assert f"that nobody has looked at (9 of {left})" in text
    page.select_option("#by-state", "person")
    page.click("#accept")
    page.evaluate("makeReports([0])")
    text = page.locator(".report").text_content()
    assert "The surest of the 9 cells on the page, which has no room for surer ones" in text
    assert f"that nobody has looked at (0 of {left - 9})" in text


def test_a_count_longer_than_a_page_is_one_page_and_says_what_is_missing(open_page, tmp_path):
    names = tuple(one.code for one in known_classes().values())
    cells = [_of_class(number % len(names), len(names), number) for number in range(3 * len(names))]
    page = open_page(_write(tmp_path / "long.html", UNKNOWN, cells, names))
    (text,) = _report(page)
    assert _pages(page) == 1
    assert re.search(r"There is no room for \d+ classes more, with \d+ cells", text)
    assert not page.evaluate(
        "[...document.querySelectorAll('.report')].some((one) => one.scrollHeight > one.clientHeight)"
    )


def _of_class(label, classes, number):
    from tests.inference.predict.made import record

    return record(label, of=classes, path=f"{number}.png")


def test_printing_without_a_report_gives_the_count_alone(path, open_page):
    page = open_page(path, dark=True)
    assert _pages(page) == 1
    page.emulate_media(media="print")
    assert not page.locator("#cells").is_visible()
    assert page.locator("#counts").is_visible()
    assert "all images; specimen: not known" in page.inner_text("#count-of")


def test_reports_of_all_patients_are_there_under_an_address(path, open_page):
    """So that `chromium --print-to-pdf page.html#report` prints them."""
    page = open_page(path)
    page.goto(page.url + "#report")
    page.reload()
    page.wait_for_selector(".report", state="attached")
    assert _pages(page) == 2


def test_reports_under_an_address_are_printed_as_the_page_is_by_then(path, open_page):
    page = open_page(path)
    page.goto(page.url + "#report")
    page.reload()
    page.wait_for_selector(".report", state="attached")
    assert all("by nobody" in text for text in page.locator(".report").all_text_contents())
    page.select_option("#specimen", "blood")
    page.select_option("#group", label="p1")
    page.locator(".cell").first.click()
    _label(page, "blast")
    page.fill("#reviewer", "Ann")
    page.locator("#reviewer").press("Tab")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    first, second = page.locator(".report").all_text_contents()
    assert "1 of 30 cells looked at: 0 accepted, 1 relabelled" in first
    assert "by Ann" in first
    assert "by nobody" in second
    assert "Specimenblood" in first
    assert "Specimenblood" in second
    assert page.evaluate("[...document.querySelectorAll('.report img')].every((image) => image.complete)")
    assert _pages(page) == 2


def test_reports_under_an_address_are_printed_each_time_and_where_it_is_given_later(path, open_page):
    page = open_page(path)
    alone = _pages(page)
    page.evaluate("location.hash = '#report'")
    for _ in range(2):
        page.wait_for_selector(".report", state="attached")
        assert page.locator(".report").count() == _pages(page) == 2
    page.evaluate("location.hash = ''")
    page.wait_for_selector(".report", state="detached")
    assert _pages(page) == alone


def test_a_page_saved_as_it_is_seen_shows_what_it_holds(path, open_page, tmp_path):
    """Browsers save what the script has drawn too: cells of other places, an enlarged view, reports."""
    page = open_page(path)
    page.goto(page.url + "#report")
    page.reload()
    page.select_option("#sections", "")
    page.select_option("#sort", "certain")
    page.locator("#attention").check()
    page.locator(".cell").first.click()
    page.keyboard.press("Shift+Enter")
    page.wait_for_selector(".report", state="attached")
    saved = tmp_path / "saved.html"
    saved.write_text(page.content(), encoding="utf-8")
    again = open_page(saved)
    shown = again.locator(".cell")
    places = shown.evaluate_all("(all) => all.map((one) => one.dataset.place)")
    assert len(places) == len(set(places)) > 1
    picture = "one.querySelector('img').src.endsWith(picture(order[one.dataset.place]).jpeg)"
    assert shown.evaluate_all(f"(all) => all.every((one) => {picture})")
    assert again.locator(".report").count() == 0
    assert again.locator("#panel").bounding_box()["width"] < 500
    assert again.locator("#accept").is_enabled()
    again.locator("#attention").click()


@pytest.mark.parametrize("size", [PHONE, (683, 384)])
def test_a_long_name_of_a_group_does_not_make_the_page_scroll_sideways(open_page, tmp_path, size):
    group = "2024-03-17_Mueller_Hans_aspirate_left_iliac_crest_of_the_second_day"
    records = [dataclasses.replace(record, group=f"{group}_{record.group}") for record in CELLS]
    page = open_page(_write(tmp_path / "page.html", records=records), size=size)
    page.select_option("#group", "1")
    assert sideways(page) == []


def test_fields_can_be_printed_as_one_report_of_all_images(open_page, tmp_path):
    path = _write(tmp_path / "fields.html", slides=True)
    page = open_page(path)
    (text,) = _report(page)
    assert text.startswith("made cells")
    assert "all 60 images" in text
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    (text,) = _report(page, ["p2"])
    assert text.startswith("p2")
    page.goto(page.url + "#report")
    page.reload()
    page.wait_for_selector(".report", state="attached")
    assert _pages(page) == 3


@pytest.mark.parametrize("size", [None, PHONE])
def test_axe_finds_nothing_serious_in_the_dialog(path, open_page, size):
    page = open_page(path, injected=True, **({"size": size} if size else {}))
    page.click("#report")
    assert faults(page) == []
    page.keyboard.press("Escape")
    assert not page.locator("#print").is_visible()
    assert page.evaluate("document.activeElement.id") == "report"
