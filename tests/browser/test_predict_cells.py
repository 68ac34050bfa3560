"""The cells on the page of `predict`: seen from near, many selected at a time, who decided when."""

import csv
import io
import re
import unicodedata

import pytest

from tests.browser.chromium import PHONE, WIDE, faults, reload, sideways, until
from tests.browser.made_pages import CELLS, CLASSES, LARGE, SMALL, predict_page, predicted_cells

PATHS = [record.path for record in predicted_cells()]


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return predict_page(tmp_path_factory.mktemp("page") / "page.html")


def _in_order(page):
    """The cells in the order of the input, not grouped."""
    page.select_option("#sections", "")
    page.select_option("#sort", "input")
    return page


def _first_chosen(page):
    _cell(_in_order(page), 0).click()
    return page


@pytest.fixture
def page(path, open_page):
    return _first_chosen(open_page(path))


@pytest.fixture
def kept_page(path, open_page, tmp_path):
    """The same in a browser that keeps what the page stores."""
    return _first_chosen(open_page(path, profile=tmp_path))


def _cell(page, number):
    return page.locator(f'.cell[data-place="{number}"]')


def _selected(page):
    """Numbers of the cells that what is chosen applies to, of those in or near the window."""
    _settle(page)
    places = page.locator('.cell[aria-selected="true"]').evaluate_all(
        "(all) => all.map((c) => c.dataset.place)"
    )
    return sorted(map(int, places))


def _downloaded(page):
    page.select_option("#which", "seen")
    with page.expect_download() as waiting:
        page.click("#download")
    text = waiting.value.path().read_bytes().decode("utf-8")
    return {row["path"]: row for row in csv.DictReader(io.StringIO(text))}


def _settle(page):
    """Waits for what the page draws with its next picture."""
    page.evaluate(
        "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done())))"
    )


def _path(page):
    """Of the current cell."""
    _settle(page)
    return page.locator("#path").text_content()


def _scale(page):
    return float(page.locator("#scale").text_content()[:-1])


def _frame(page):
    """Left edge, top edge and width of the whole picture, in the coordinates of its view."""
    return page.evaluate(
        """() => {
          const edges = (id) => document.getElementById(id).getBoundingClientRect();
          const [stage, view] = [edges("stage"), edges("view")];
          return [stage.left - view.left, stage.top - view.top, stage.width];
        }"""
    )


# Seen from near


def test_the_whole_picture_is_shown_in_its_own_resolution(page):
    shown = page.locator("#plain")
    until(page, "document.getElementById('plain').naturalWidth > 0")
    assert shown.evaluate("(image) => image.naturalWidth") == LARGE
    assert page.locator("#small").is_hidden()
    assert _scale(page) == pytest.approx(_frame(page)[2] / LARGE, abs=0.06)
    _cell(page, SMALL).click()
    _settle(page)
    assert page.locator("#small").is_visible()
    assert "1 of 40 cells have a small picture only" in page.locator("#cells .head").first.text_content()


def test_the_wheel_zooms_where_the_mouse_is_and_a_double_click_goes_back(page):
    box = page.locator("#view").bounding_box()
    left, top, width = _frame(page)
    x, y = 0.6 * box["width"], 0.4 * box["height"]
    below = (x - left) / width, (y - top) / width
    page.mouse.move(box["x"] + x, box["y"] + y)
    page.mouse.wheel(0, -600)
    until(page, f"document.getElementById('stage').offsetWidth > {2 * width}")
    left, top, wider = _frame(page)
    assert _scale(page) == pytest.approx(wider / LARGE, abs=0.06)
    assert ((x - left) / wider, (y - top) / wider) == pytest.approx(below, abs=0.01)
    page.locator("#view").dblclick()
    assert _frame(page)[2] == pytest.approx(width)


def test_dragging_moves_the_picture_and_its_edge_stays_outside(page):
    page.keyboard.press("+")
    page.keyboard.press("+")
    left, top, width = _frame(page)
    box = page.locator("#view").bounding_box()
    page.mouse.move(box["x"] + 100, box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] + 100 + 5, box["y"] + 100 - 7)
    assert _frame(page) == pytest.approx([left + 5, top - 7, width], abs=0.6)
    page.mouse.move(box["x"] + 2000, box["y"] + 100)
    page.mouse.up()
    assert _frame(page)[0] <= 0.5
    assert _selected(page) == [0], "no other cell was chosen by that"


def test_two_fingers_zoom(path, open_page):
    page = _in_order(open_page(path, size=PHONE, has_touch=True))
    _cell(page, 0).tap()
    width = _frame(page)[2]
    box = page.locator("#view").bounding_box()
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    session = page.context.new_cdp_session(page)

    def touch(kind, apart):
        points = (
            []
            if kind == "touchEnd"
            else [{"x": middle[0] + side * apart, "y": middle[1]} for side in (-1, 1)]
        )
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", 10)
    touch("touchMove", 20)
    touch("touchMove", 30)
    touch("touchEnd", 0)
    assert _frame(page)[2] == pytest.approx(3 * width, rel=0.02)


def test_a_panel_that_was_closed_shows_the_next_cell_as_before(path, open_page):
    page = _in_order(open_page(path, size=PHONE, has_touch=True))
    _cell(page, 0).tap()
    _settle(page)
    before = _frame(page)
    page.locator("#close").tap()
    _settle(page)
    _cell(page, 1).tap()
    _settle(page)
    assert _frame(page) == before
    page.locator("#view").dblclick()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("+")
    _settle(page)
    left, _, width = _frame(page)
    assert width == pytest.approx(1.25 * before[2])
    assert left + width / 2 == pytest.approx(before[0] + before[2] / 2), "zoomed about the middle"


def test_attention_is_lines_that_can_be_switched_off(page):
    assert page.locator("#lines path").count() == 6
    # In one go: a page that draws anew has other elements a moment later, and those of before have no style.
    fills = '[...document.querySelectorAll("#lines path")].map((path) => getComputedStyle(path).fill)'
    until(page, f'{fills}.join() === "{",".join(["none"] * 6)}"')
    page.locator("#contours").uncheck()
    assert page.locator("#lines").is_hidden()
    lines = _cell(page, 1).locator("svg")
    assert lines.is_hidden()
    page.locator("#attention").check()
    assert lines.is_visible()


def test_the_enlarged_view_goes_on_by_the_same_keys(page):
    page.keyboard.press("Shift+Enter")
    panel = page.locator("#panel")
    assert panel.bounding_box() == {"x": 0, "y": 0, "width": 1366, "height": 900}
    assert panel.get_attribute("aria-modal") == "true"
    page.keyboard.press("ArrowRight")
    assert _path(page) == PATHS[1]
    page.keyboard.press(" ")
    assert _path(page) == PATHS[2]
    page.keyboard.press("Escape")
    assert panel.bounding_box()["width"] < 500
    assert page.evaluate("document.activeElement.dataset.place") == "2"
    assert list(_downloaded(page)) == [PATHS[1]]


def test_values_stand_beside_what_they_need(page):
    number, record = next((n, r) for n, r in enumerate(predicted_cells()) if r.uncertainty.abstain)
    page.locator(".cell").first.focus()
    for _ in range(number):
        page.keyboard.press("ArrowRight")
    _settle(page)
    said = page.locator("#said").text_content().replace("\xa0", " ")
    name, most = CLASSES[record.label], 100 * record.probability
    assert re.search(rf"Predicted {name}: {most:.0f}[.\d]* %, needs 60[.0]* %\.", said)
    names = [CLASSES[label] for label in record.uncertainty.conformal_set]
    if len(names) > 1:
        assert f"Could be {', '.join(names[:-1])} or {names[-1]}." in said
    assert f"training cells: {number:.2f}, limit 33.50" in said


def test_the_most_similar_training_cells_are_shown(page):
    cells = page.locator("#similar-cells li")
    assert cells.locator("span").all_text_contents() == list(CLASSES)
    assert cells.locator("b").all_text_contents() == ["0.90", "0.80", "0.70", "0.60", "0.50"]
    assert (
        cells.first.locator("img").evaluate("(image) => image.decode().then(() => image.naturalWidth)") == 64
    )


def test_long_names_of_similar_cells_make_no_column_wider(tmp_path, open_page):
    """All five are to be seen at once; what is cut off is said in full."""
    classes = [f"a class of {number} words, and a long one" for number in range(len(CLASSES))]
    page = _in_order(open_page(predict_page(tmp_path / "page.html", classes=classes)))
    _cell(page, 0).click()
    _settle(page)
    cells = page.locator("#similar-cells li")
    assert cells.evaluate_all("(all) => all.map((one) => one.offsetWidth)") == [52] * 5
    fits = "(list) => list.scrollWidth <= list.clientWidth"
    assert page.locator("#similar-cells").evaluate(fits)
    titles = cells.evaluate_all("(all) => all.map((one) => one.title)")
    assert all(title.startswith(name) for title, name in zip(titles, classes, strict=True))


@pytest.mark.parametrize(("size", "dark"), [(WIDE, False), (PHONE, True)], ids=["wide", "dark phone"])
def test_axe_finds_nothing_serious_in_the_enlarged_view_and_with_many_selected(path, open_page, size, dark):
    page = _in_order(open_page(path, size=size, dark=dark, injected=True))
    for number in (0, 1, 2):
        _cell(page, number).click(modifiers=["Control"])
    page.keyboard.press("x")
    page.keyboard.press("Control+a")
    _settle(page)
    assert faults(page) == []
    page.keyboard.press("Escape")
    page.keyboard.press("Shift+Enter")
    _settle(page)
    assert faults(page) == []
    assert sideways(page) == []


# Many at a time


def test_shift_selects_up_to_there_and_what_is_chosen_applies_to_all(page):
    _cell(page, 3).click(modifiers=["Shift"])
    assert _selected(page) == [0, 1, 2, 3]
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Shift+ArrowLeft")
    page.keyboard.press("Shift+ArrowLeft")
    assert _selected(page) == [0, 1, 2]
    _settle(page)
    assert page.locator("#panel-title").text_content() == "3 cells"
    page.keyboard.press("1")
    first = page.locator("#classes li").first.get_attribute("data-label")
    assert {name: row["label"] for name, row in _downloaded(page).items()} == dict.fromkeys(PATHS[:3], first)
    assert _selected(page) == [3], "the next one, alone"
    page.click("#undo")
    _settle(page)
    assert page.locator("#shown").text_content() == f"{CELLS} of {CELLS} cells"


def test_control_adds_and_takes_away_and_selects_all(page):
    for number in (2, 5, 7, 5):
        _cell(page, number).click(modifiers=["Control"])
    assert _selected(page) == [2, 7]
    page.keyboard.press("Control+a")
    _settle(page)
    assert f"{CELLS} selected" in page.locator("#shown").text_content()
    assert page.locator("#heard").text_content() == f"{CELLS} cells selected"
    page.keyboard.press("Escape")
    assert len(_selected(page)) == 1


def test_a_box_from_empty_space_selects_what_it_touches(page):
    first, second = (_cell(page, number).bounding_box() for number in (0, 1))
    between = (first["x"] + first["width"] + second["x"]) / 2
    below = page.locator('.cell[data-place="0"]').bounding_box()["height"]
    page.mouse.move(between, first["y"] + 20)
    page.mouse.down()
    page.mouse.move(between + 30, first["y"] + 40, steps=3)
    page.mouse.move(second["x"] + second["width"] + 20, first["y"] + below - 10, steps=3)
    page.mouse.up()
    assert _selected(page) == [1, 2]
    assert page.locator("#box").is_hidden()
    page.keyboard.press("Delete")
    assert {row["reason"] for row in _downloaded(page).values()} == {"left out"}


def test_with_shift_a_box_begins_on_a_cell_and_adds(page):
    _cell(page, 0).click(modifiers=["Control"])
    two, three = (_cell(page, number).bounding_box() for number in (2, 3))
    page.keyboard.down("Shift")
    page.mouse.move(two["x"] + 30, two["y"] + 30)
    page.mouse.down()
    page.mouse.move(three["x"] + 30, three["y"] + 60, steps=4)
    page.mouse.up()
    page.keyboard.up("Shift")
    assert _selected(page) == [0, 2, 3]


def test_cells_that_a_filter_hides_are_not_selected(page):
    page.keyboard.press("Control+a")
    page.fill("#by-text", "cell 00")
    page.click("#keep")
    assert sorted(_downloaded(page)) == sorted(PATHS[:10])


def test_on_a_touch_screen_a_long_press_selects(path, open_page):
    page = _in_order(open_page(path, size=PHONE, has_touch=True))
    _cell(page, 1).scroll_into_view_if_needed()
    box = _cell(page, 1).bounding_box()
    session = page.context.new_cdp_session(page)
    point = {"x": box["x"] + 40, "y": box["y"] + 40}
    session.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [point]})
    until(page, "document.getElementById('select').getAttribute('aria-pressed') === 'true'")
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    page.wait_for_timeout(50)
    _cell(page, 2).tap()
    assert _selected(page) == [1, 2]
    page.locator("#select").tap()
    assert page.locator("#select").get_attribute("aria-pressed") == "false"


def test_on_a_touch_screen_to_select_none_ends_selecting(path, open_page):
    page = _in_order(open_page(path, size=PHONE, has_touch=True))
    page.locator("#select").tap()
    _cell(page, 1).tap()
    page.locator("#clear-selection").tap()
    assert page.locator("#select").get_attribute("aria-pressed") == "false"
    _cell(page, 2).tap()
    _cell(page, 0).tap()
    assert _selected(page) == [0]


# What a person has done and what is left to do


def test_the_cells_stay_where_they_are_while_a_person_works(page):
    def top():
        _settle(page)
        return page.locator("#gallery").evaluate("(all) => all.getBoundingClientRect().top + scrollY")

    before = top()
    page.keyboard.press("Shift+ArrowRight")
    assert top() == before
    page.keyboard.press("x")
    assert top() == before
    page.select_option("#by-state", "open")
    page.keyboard.press("Control+z")
    assert page.locator("#again").is_visible()
    assert top() == before


def test_what_is_said_of_the_cells_is_of_the_patient_chosen(page):
    page.keyboard.press(" ")
    page.select_option("#group", label="p1")
    _settle(page)
    assert page.locator("#cells-title").text_content() == "Cells of p1"
    shown = f"{CELLS // 2} of {CELLS // 2} cells"
    assert page.locator("#shown").text_content().startswith(f"{shown} · 1 accepted")
    page.select_option("#group", label="p2")
    _settle(page)
    assert page.locator("#shown").text_content() == shown


def test_cells_that_still_wait_for_a_person_are_found(page):
    left = sum(r.uncertainty.abstain or r.uncertainty.is_outlier for r in predicted_cells())
    page.select_option("#by-state", "todo")
    assert page.locator(".cell").count() == left
    _cell(page, 0).click()
    page.keyboard.press(" ")
    _settle(page)
    assert f"{left - 1} left to a person not looked at yet" in page.locator("#shown").text_content()
    page.click("#again")
    assert page.locator(".cell").count() == left - 1
    assert page.locator("#accept").text_content() == f"Accept all {left - 1} not looked at"
    page.click("#accept")
    _settle(page)
    assert "all left to a person looked at" in page.locator("#shown").text_content()


def test_accepting_all_is_about_the_cells_that_nobody_has_looked_at(page):
    _cell(page, 0).click()
    page.keyboard.press("x")
    _settle(page)
    assert page.locator("#accept").text_content() == f"Accept the {CELLS - 1} not looked at"
    page.click("#accept")
    _settle(page)
    assert (page.locator("#accept").text_content(), page.locator("#accept").is_disabled()) == (
        "None left to accept", True,
    )  # fmt: skip
    assert (
        page.locator("#shown")
        .text_content()
        .startswith(f"{CELLS} of {CELLS} cells · {CELLS - 1} accepted · 1 left")
    )


def test_an_artefact_can_still_be_left_out_without_a_reason(page):
    page.click("#artefact")
    _settle(page)
    assert page.locator("#artefact").is_disabled()
    page.click("#drop")
    (row,) = _downloaded(page).values()
    assert row["reason"] == "left out"
    assert page.locator("#drop").is_disabled()


def test_one_key_marks_an_artefact(page):
    page.keyboard.press("x")
    (row,) = _downloaded(page).values()
    assert (row["path"], row["label"], row["reason"]) == (PATHS[0], "", "artefact")
    page.select_option("#by-state", "out")
    assert page.locator(".cell .now").all_text_contents() == ["artefact"]


# Who and when, and after a reload


def test_the_file_tells_who_decided_when_and_what_proposed(kept_page):
    kept_page.fill("#reviewer", "Kim, A.")
    _cell(kept_page, 0).click()
    kept_page.keyboard.press(" ")
    (row,) = _downloaded(kept_page).values()
    assert (row["reviewer"], row["run"], row["reason"]) == ("Kim, A.", "n", "")
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", row["reviewed"])
    reload(kept_page)
    assert kept_page.input_value("#reviewer") == "Kim, A."
    assert _downloaded(kept_page) == {PATHS[0]: row}


def test_steps_are_taken_back_after_a_reload(kept_page):
    _cell(kept_page, 3).click(modifiers=["Shift"])
    kept_page.keyboard.press(" ")
    kept_page.keyboard.press("x")
    reload(kept_page)
    assert kept_page.locator("#undo").is_enabled()
    kept_page.click("#undo")
    _settle(kept_page)
    assert "left out" not in kept_page.locator("#shown").text_content()
    assert "4 accepted" in kept_page.locator("#shown").text_content()
    kept_page.click("#undo")
    _settle(kept_page)
    assert kept_page.locator("#shown").text_content() == f"{CELLS} of {CELLS} cells"
    assert kept_page.locator("#undo").is_disabled()


def test_classes_are_listed_by_lineage_and_maturity_with_their_names(page):
    order = page.locator("#classes li").evaluate_all("(all) => all.map((one) => one.dataset.label)")
    names = page.locator("#classes li em").all_text_contents()
    assert order.index("BLA") < order.index("NGS") < order.index("EBO") < order.index("LYT")
    assert dict(zip(order, names, strict=True))["LYT"] == "lymphocyte"


@pytest.mark.parametrize(
    ("typed", "taken"), [("neutro", "NGS"), ("ly", "LYT"), ("blast", "BLA"), ("ngs", "NGS")]
)
def test_a_class_is_found_by_its_code_or_by_a_word_of_its_name(page, typed, taken):
    page.keyboard.press("Enter")
    page.keyboard.type(typed)
    page.keyboard.press("Enter")
    assert _downloaded(page)[PATHS[0]]["label"] == taken


def test_known_cells_are_proposed_where_the_run_has_no_such_class(page):
    page.keyboard.press("Enter")
    page.keyboard.type("plasma")
    names = page.locator("#classes li").evaluate_all("(all) => all.map((one) => one.dataset.label)")
    assert names == ["plasma", "plasma cell"]
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    assert _downloaded(page)[PATHS[0]]["label"] == "plasma cell"


def test_names_are_found_in_any_unicode_form(open_page, tmp_path):
    """Folders from a Mac have accents apart from their letters, and people type them in one."""
    name, group = (unicodedata.normalize("NFD", text) for text in ("jüngere Zelle", "Müller"))
    path = predict_page(tmp_path / "page.html", classes=(name, *CLASSES[1:]), groups={"p1": group})
    page = _in_order(open_page(path))
    page.fill("#by-text", "müller")
    assert page.locator("#shown").text_content() == f"{CELLS // 2} of {CELLS} cells"
    _cell(page, 0).click()
    page.keyboard.press("Enter")
    page.keyboard.type("jüngere Zelle")
    offered = page.locator("#classes li").evaluate_all("(all) => all.map((one) => one.dataset.label)")
    assert offered == [name]
    page.keyboard.press("Enter")
    assert [row["label"] for row in _downloaded(page).values()] == [name]


def test_what_the_run_has_is_not_proposed_again(page):
    """LYT is the run's lymphocyte."""
    page.keyboard.press("Enter")
    page.keyboard.type("lymphocyte")
    names = page.locator("#classes li").evaluate_all("(all) => all.map((one) => one.dataset.label)")
    assert names[:2] == ["LYT", "lymphocyte"]
    assert "large granular lymphocyte" in names
    assert names.count("lymphocyte") == 1


def test_a_new_class_is_read_in_full_on_a_small_screen(path, open_page):
    page = _in_order(open_page(path, size=PHONE))
    _cell(page, 0).click()
    page.fill("#typed", "megakaryocyte of some kind")
    entry = page.locator("#classes li.new span")
    assert entry.evaluate("(one) => one.scrollWidth <= one.clientWidth")
    assert entry.evaluate("(one) => one.closest('li').clientHeight") < 60


def _type_plasma_cell(page):
    page.keyboard.press("Enter")
    assert page.locator("#typed").is_visible()
    page.keyboard.type("plasma cell")
    page.keyboard.press("Enter")
    _settle(page)


def _labels(page):
    return {name: row["label"] for name, row in _downloaded(page).items()}


@pytest.mark.parametrize("size", [WIDE, PHONE, (683, 384)], ids=["wide", "phone", "zoomed to 200 %"])
def test_a_class_can_be_typed_in_the_enlarged_view(path, open_page, size):
    """Where the field was hidden each letter was a key, which labelled other cells."""
    page = _first_chosen(open_page(path, size=size))
    page.keyboard.press("Shift+Enter")
    _type_plasma_cell(page)
    page.keyboard.press("Escape")
    assert _labels(page) == {PATHS[0]: "plasma cell"}


def test_enter_opens_a_panel_that_was_closed(path, open_page):
    """Its field is hidden till then."""
    page = _first_chosen(open_page(path, size=PHONE))
    page.click("#close")
    page.wait_for_selector("#panel", state="hidden")
    _type_plasma_cell(page)
    assert _labels(page) == {PATHS[0]: "plasma cell"}


def test_what_an_input_method_proposes_is_no_class_yet(page):
    page.keyboard.press("Enter")
    page.keyboard.type("ly")
    enter = "(field) => field.dispatchEvent(new KeyboardEvent('keydown', {key: 'Enter', isComposing: %s}))"
    page.locator("#typed").evaluate(enter % "true")
    assert page.locator("#typed").input_value() == "ly"
    page.locator("#typed").evaluate(enter % "false")
    assert _downloaded(page)[PATHS[0]]["label"] == "LYT"


@pytest.mark.parametrize("box", ["#attention", "#contours"])
def test_steps_are_taken_back_from_a_checkbox_too(page, box):
    page.keyboard.press(" ")
    page.locator(box).click()
    page.keyboard.press("Control+z")
    _settle(page)
    assert page.locator("#shown").text_content() == f"{CELLS} of {CELLS} cells"
    assert page.locator("#undo").is_disabled()


def test_a_typed_class_goes_when_no_cell_has_it_any_more(page):
    def last():
        _settle(page)
        return page.locator("#classes li").last.get_attribute("data-label")

    before = last()
    page.keyboard.press("Enter")
    page.keyboard.type("smdge")
    page.keyboard.press("Enter")
    assert last() == "smdge"
    page.keyboard.press("Control+z")
    assert last() == before
    page.keyboard.press("Control+y")
    assert last() == "smdge"


def _keys_of_typed(page):
    _settle(page)
    keys = page.locator("#classes li").evaluate_all(
        "(all) => all.map((one) => [one.dataset.label, one.querySelector('kbd').textContent])"
    )
    return {name: key for name, key in keys if name not in CLASSES}


def _type_class(page, number, name):
    _cell(page, number).click()
    page.keyboard.press("Enter")
    page.keyboard.type(name)
    page.keyboard.press("Enter")


def test_the_key_of_a_typed_class_is_its_own_after_a_reload_too(kept_page):
    page = kept_page
    page.keyboard.press(" ")  # the first cell has a label before there is a typed class
    _type_class(page, 3, "smudge cell")
    _type_class(page, 4, "giant platelet")
    _type_class(page, 0, "giant platelet")
    keys = {"smudge cell": "6", "giant platelet": "7"}
    assert _keys_of_typed(page) == keys
    reload(page)
    _in_order(page)
    _cell(page, 8).click()
    assert _keys_of_typed(page) == keys
    page.keyboard.press("6")
    assert _downloaded(page)[PATHS[8]]["label"] == "smudge cell"


def test_the_key_of_a_class_that_no_cell_has_any_more_is_no_other_s(kept_page):
    page = kept_page
    _type_class(page, 3, "smudge cell")
    _type_class(page, 4, "giant platelet")
    _cell(page, 3).click()
    page.keyboard.press("1")
    assert _keys_of_typed(page) == {"giant platelet": "7"}
    before = _downloaded(page)
    page.keyboard.press("6")
    assert _downloaded(page) == before
    reload(page)
    _in_order(page)
    assert _keys_of_typed(page) == {"giant platelet": "7"}
    _type_class(page, 5, "smudge cell")
    assert _keys_of_typed(page) == {"smudge cell": "6", "giant platelet": "7"}
