"""The page of `predict` in the hands of a person: label, take back, filter, download, come back tomorrow."""

import csv
import io
import json

import pytest

from tests.browser.chromium import reload, skip_if_lost
from tests.browser.made_pages import CLASSES, predict_page, predicted_cells

PREDICTED = {record.path: CLASSES[record.probabilities.argmax()] for record in predicted_cells()}
FIRST = "p1/cell 000.png"
OTHER = next(name for name in CLASSES if name != PREDICTED[FIRST])


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return predict_page(tmp_path_factory.mktemp("page") / "page.html")


@pytest.fixture
def page(path, open_page):
    return _first_chosen(open_page(path))


def _first_chosen(page):
    """The page with the cells in the order of the input, the first of them chosen."""
    page.select_option("#sections", "")
    page.select_option("#sort", "input")
    page.locator(".cell").first.click()
    page.locator("#path", has_text=FIRST).wait_for()
    return page


def _key_of(page, name):
    return page.locator(f'#classes li[data-label="{name}"] kbd').text_content()


def _downloaded(page, rows):
    page.select_option("#which", rows)
    with page.expect_download() as waiting:
        page.click("#download")
    text = waiting.value.path().read_bytes().decode("utf-8")
    return {line["path"]: line for line in csv.DictReader(io.StringIO(text))}


def _relabelled(page):
    """Labels of the cells that the page's own filter shows as relabelled."""
    page.select_option("#by-state", "changed")
    shown = page.locator(".cell .now").all_text_contents()
    page.select_option("#by-state", "")
    return shown


def test_a_key_labels_and_the_file_has_it(page):
    page.keyboard.press(_key_of(page, OTHER))
    page.keyboard.press(" ")  # accepts the second cell
    page.keyboard.press("Delete")  # and leaves out the third
    rows = _downloaded(page, "seen")
    second, third = list(PREDICTED)[1:3]
    assert {name: (row["label"], row["predicted"], row["seen"]) for name, row in rows.items()} == {
        FIRST: (OTHER, PREDICTED[FIRST], "yes"),
        second: (PREDICTED[second], PREDICTED[second], "yes"),
        third: ("", PREDICTED[third], "yes"),
    }
    assert [row["reason"] for row in rows.values()] == ["", "", "left out"]
    everything = _downloaded(page, "every")
    assert {name: row["predicted"] for name, row in everything.items()} == PREDICTED
    assert [row["seen"] for row in everything.values()].count("yes") == 3


def test_undo_takes_back_and_redo_does_it_again(page):
    page.keyboard.press(_key_of(page, OTHER))
    assert len(_relabelled(page)) == 1
    page.click("#undo")
    assert _relabelled(page) == []
    page.click("#redo")
    (shown,) = _relabelled(page)
    assert OTHER in shown


def test_filters_show_the_cells_they_name(page):
    page.select_option("#by-class", OTHER)
    expected = [name for name, label in PREDICTED.items() if label == OTHER]
    assert page.locator(".cell").count() == len(expected)
    page.select_option("#by-class", "")
    page.fill("#by-text", "cell 007")
    assert page.locator(".cell").count() == 1
    page.fill("#by-text", "")
    page.select_option("#by-state", "person")
    left = [r for r in predicted_cells() if r.uncertainty.abstain or r.uncertainty.is_outlier]
    assert page.locator(".cell").count() == len(left)


def test_the_page_never_clears_what_browsers_store(path):
    """Else `reload` would take the page's fault for the browser's."""
    assert "localStorage.clear" not in path.read_text(encoding="utf-8")


def test_labels_survive_a_reload_and_the_end_of_the_browser(path, open_page, tmp_path):
    page = _first_chosen(open_page(path, profile=tmp_path))
    page.keyboard.press(_key_of(page, OTHER))
    reload(page)
    (shown,) = _relabelled(page)
    assert OTHER in shown
    page.context.close()
    again = open_page(path, profile=tmp_path)
    skip_if_lost(again)
    assert _relabelled(again) == [shown]
    assert _downloaded(again, "seen")[FIRST]["label"] == OTHER


def test_pages_of_a_path_share_no_label_that_is_not_of_both(open_page, tmp_path):
    """One was made by an earlier version, which knew it by its path, and was moved; one is there now."""
    new = predict_page(tmp_path / "page.html", network="new")
    former = json.loads(open_page(new).text_content("#data"))["former"]
    old = _first_chosen(open_page(predict_page(tmp_path / "moved.html", network="old", key=former[0])))
    page = old.context.new_page()
    page.goto(new.as_uri())
    old.bring_to_front()
    old.keyboard.press(_key_of(old, OTHER))
    page.bring_to_front()
    assert _relabelled(page) == []
    _first_chosen(page).keyboard.press(" ")
    old.reload()
    (shown,) = _relabelled(old)
    assert OTHER in shown


def test_labels_that_an_earlier_network_s_page_was_given_can_be_downloaded(open_page, tmp_path):
    path = predict_page(tmp_path / "page.html", network="old", key="0" * 16)
    page = _first_chosen(open_page(path))
    page.fill("#reviewer", "Kim")
    page.locator(".cell").first.click()
    page.keyboard.press(_key_of(page, OTHER))
    predict_page(path, network="new", key="0" * 16)
    page.reload()
    page.get_by_text("1 label was given on this page to other pictures, or when another network").wait_for()
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download those of pictures on this page").click()
    assert waiting.value.suggested_filename == "made cells_labels_left_aside.csv"
    (row,) = csv.DictReader(io.StringIO(waiting.value.path().read_text(encoding="utf-8")))
    assert (row["path"], row["label"], row["predicted"]) == (FIRST, OTHER, PREDICTED[FIRST])
    assert (row["run"], row["reviewer"], row["seen"], row["content"]) == ("old", "Kim", "yes", "pixels of 0")


_FULL = "() => { Storage.prototype.setItem = () => { throw new Error('QuotaExceededError'); }; }"
_NAMED = "() => dispatchEvent(new StorageEvent('storage', { key: 'asae-reviewer' }))"


def test_labels_that_could_not_be_stored_stay_when_another_tab_writes(page):
    page.evaluate(_FULL)
    page.keyboard.press(_key_of(page, OTHER))
    page.get_by_text("This browser does not keep your labels").wait_for()
    page.evaluate(_NAMED)
    (shown,) = _relabelled(page)
    assert OTHER in shown


def test_a_page_that_comes_back_shows_what_was_stored_meanwhile(path, open_page):
    """Browsers keep a page that is left as it was; another tab may have it open then."""
    page = _first_chosen(open_page(path))
    page.keyboard.press(_key_of(page, OTHER))
    key = page.evaluate("Object.keys(localStorage).find((name) => /^asae-predict \\S+$/.test(name))")
    page.evaluate("(key) => localStorage.removeItem(key)", key)
    page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))")
    assert _relabelled(page) == []
    page.evaluate("dispatchEvent(new PageTransitionEvent('pagehide', { persisted: true }))")
    assert page.evaluate("(key) => localStorage.getItem(key)", key) is None


def test_labels_are_signed_by_a_name_that_was_given_on_another_page_once_a_person_says_so(page):
    page.keyboard.press(_key_of(page, OTHER))
    page.evaluate("localStorage.setItem('asae-reviewer', 'Kim')")
    page.evaluate(_NAMED)
    page.get_by_text("1 label of this page has no reviewer's name.").wait_for()
    assert _downloaded(page, "seen")[FIRST]["reviewer"] == ""
    page.get_by_role("button", name="Sign as Kim").click()
    page.locator("#unsigned").wait_for(state="hidden")
    assert _downloaded(page, "seen")[FIRST]["reviewer"] == "Kim"


_FILL = """() => {
  localStorage.setItem("asae-predict other downloaded", "[1]");
  for (let size = 5 * 2 ** 20; ; size -= 10) {
    try {
      localStorage.setItem("asae-predict other", "x".repeat(size));
      return;
    } catch {}
  }
}"""


def test_a_full_store_can_be_emptied_of_pages_that_were_downloaded(path, open_page):
    page = _first_chosen(open_page(path))
    page.evaluate(_FILL)
    page.on("dialog", lambda dialog: dialog.accept())
    page.keyboard.press(_key_of(page, OTHER))
    page.get_by_text("It also keeps the labels of 1 other page").wait_for()
    page.click("#make-room")
    page.locator("#full").wait_for(state="hidden")
    assert page.locator("#warning").is_hidden()
    assert page.evaluate("localStorage.getItem('asae-predict other')") is None
    assert OTHER in page.evaluate("Object.values({ ...localStorage }).join(' ')")


@pytest.mark.parametrize("grouped", ["predicted", "label", ""])
def test_a_typed_class_can_be_filtered_by_where_cells_are_grouped_by_their_label(page, grouped):
    def offered():
        return page.locator("#by-class option").evaluate_all("(all) => all.map((one) => one.value)")

    page.select_option("#sections", grouped)
    before = offered()
    page.locator(".cell").first.click()
    page.keyboard.press("Enter")
    page.keyboard.type("smudge")
    page.keyboard.press("Enter")
    assert set(offered()) - set(before) == ({"smudge"} if grouped == "label" else set())
    if grouped == "label":
        page.select_option("#by-class", "smudge")
        assert page.locator(".cell").count() == 1
    page.click("#undo")
    assert offered() == before


def test_a_class_can_be_typed(page):
    page.keyboard.press("Enter")
    page.keyboard.type("smudge")
    page.keyboard.press("Enter")
    assert _downloaded(page, "seen")[FIRST]["label"] == "smudge"
