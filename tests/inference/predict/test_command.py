"""`predict` as a user calls it."""

import csv
import errno
import json
import re
import shutil

import numpy as np
import pytest

from asae_jax import cli
from tests.edited import edited

pytestmark = pytest.mark.filterwarnings(
    "ignore:probabilities are not calibrated", "ignore:left out as no images"
)


def _predict(workdir, *options):
    return cli.main(["predict", f"--workdir={workdir}", *map(str, options)])


def _read(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def _probabilities(path):
    rows = _read(path)
    return np.array(
        [[float(row[f"p_{name}"]) for name in ("BLA", "EBO", "NGS")] for row in rows if row["label"]]
    )


@pytest.fixture(scope="module")
def alone(runs, folder, tmp_path_factory):
    """Predictions of each run by itself."""
    folder_out = tmp_path_factory.mktemp("alone")
    for number, run in enumerate(runs):
        output = folder_out / f"{number}.csv"
        assert _predict(run, f"--input={folder}", f"--output={output}", "--page_cells=4") == 0
    return folder_out


def test_rows_follow_the_input_and_a_bad_image_does_not_stop_them(alone, folder):
    rows = _read(alone / "0.csv")
    assert [row["path"] for row in rows] == sorted(str(path) for path in folder.glob("*/*.*"))
    assert list(rows[0])[:6] == ["path", "label", "probability", "p_BLA", "p_EBO", "p_NGS"]
    assert [row["path"][-7:] for row in rows if row["error"]] == ["02x.jpg"]
    np.testing.assert_allclose(_probabilities(alone / "0.csv").sum(1), 1, atol=3e-6)
    for row in rows:
        if row["label"]:
            assert row["probability"] == row[f"p_{row['label']}"] == max(row[c] for c in row if c[:2] == "p_")


def test_differential_and_page_lie_beside_them(alone):
    count = json.loads((alone / "0_differential.json").read_text())
    assert count["overall"]["images"] == 12
    assert count["overall"]["unreadable"] == 1
    assert [group["group"] for group in count["groups"]] == ["slide_a", "slide_b"]
    assert _read(alone / "0_differential.csv")[0]["what"] == "BLA"
    page = (alone / "0.html").read_text()
    assert "For research, not a diagnosis" in page
    made = json.loads(page.split('id="data">')[1].split("</script>")[0])["made"]
    assert made.startswith("a network for 3 classes of cells (run seed0, step 0), ASAE-JAX ")
    assert not list(alone.glob("*.part"))


def test_runs_together_average_their_probabilities(alone, runs, folder, tmp_path):
    output = tmp_path / "both.csv"
    assert _predict(
        runs[0], f"--input={folder}", f"--output={output}", f"--ensemble={runs[1]},", "--page=False"
    ) == 0  # fmt: skip
    mean = (_probabilities(alone / "0.csv") + _probabilities(alone / "1.csv")) / 2
    assert np.abs(_probabilities(alone / "0.csv") - mean).max() > 0.01
    np.testing.assert_allclose(_probabilities(output), mean, atol=2e-6)
    assert not output.with_suffix(".html").exists()


def test_a_list_gives_json_lines_named_after_it(runs, folder, tmp_path, capsys):
    (tmp_path / "some.csv").write_text(f"path,group\n{folder}/slide_b/10.png,p7\nmissing.png,p7\n")
    output = tmp_path / "some.jsonl"
    assert _predict(runs[0], f"--input={tmp_path / 'some.csv'}", f"--output={output}", "--nopage") == 0
    good, bad = map(json.loads, output.read_text().splitlines())
    assert good["group"] == "p7"
    assert good["error"] is None
    assert bad["path"] == "missing.png"
    assert bad["error"] == "unreadable (No such file or directory)"
    shown = capsys.readouterr().out
    assert "2 images" in shown
    assert shown.startswith("input: 2 images, 1 group: p7 2; run ")


def test_predictions_of_another_kind_that_stay_are_named(runs, folder, tmp_path, capsys):
    """Whose they are is not known: they may be the list that was predicted, or wanted beside the new ones."""
    command = [runs[0], f"--input={folder}", "--nopage"]
    assert _predict(*command, f"--output={tmp_path / 'a.jsonl'}") == 0
    assert not _of_kinds(capsys)
    before = (tmp_path / "a.jsonl").read_bytes()
    assert _predict(*command, f"--output={tmp_path / 'a.csv'}") == 0
    assert f"note: {tmp_path / 'a.jsonl'} was there before and is left as it is" in _of_kinds(capsys)
    assert (tmp_path / "a.jsonl").read_bytes() == before
    (tmp_path / "some.csv").write_text(f"path\n{folder}/slide_b/10.png\n")
    output = tmp_path / "some.jsonl"
    assert _predict(runs[0], f"--input={tmp_path / 'some.csv'}", f"--output={output}", "--nopage") == 0
    assert not _of_kinds(capsys)


def _of_kinds(capsys):
    """What was said of files that were there before."""
    return "".join(line for line in capsys.readouterr().out.splitlines() if "there before" in line)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "--input=DIR"),
        (["--input=nowhere"], "does not exist"),
        (["--input={folder}", "--ensemble={tmp}/none"], "no run in"),
        (["--input={tmp}/list.csv", "--output={tmp}/list.csv"], "is the input and would be lost"),
        (["--input={tmp}/list.csv", "--output={tmp}"], "is a folder: give a file, such as --output="),
        (["--input={folder}", "--page_cells=-1"], "predict.page_cells=-1"),
    ],
)
def test_mistakes_end_in_one_line(runs, folder, tmp_path, capsys, options, message):
    (tmp_path / "list.csv").write_text("path\nx.png\n")
    assert _predict(runs[0], *(option.format(folder=folder, tmp=tmp_path) for option in options)) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1, error
    assert message in error[0]


def test_a_run_of_other_classes_is_refused(runs, folder, tmp_path, capsys):
    copy = tmp_path / "copy"
    shutil.copytree(runs[1], copy)
    with edited(copy / "run.json") as info:
        info["class_names"][0] = "BLAST"
    (copy / "digests.json").unlink(missing_ok=True)  # which would call the change damage
    assert _predict(runs[0], f"--input={folder}", f"--ensemble={copy}") == 2
    assert "their classes differ in BLA, BLAST" in capsys.readouterr().err


def _page(path):
    text = path.read_text(encoding="utf-8").split('<script type="application/json" id="data">')[1]
    return json.loads(text.split("</script>")[0])


def test_another_patient_under_the_same_names_is_known_by_its_pixels(runs, folder, tmp_path):
    """One folder is predicted, filled again, predicted again: names and page stay, contents do not."""
    cells = tmp_path / "cells"
    pages = []
    for names in ("123", "456"):
        shutil.rmtree(cells, ignore_errors=True)
        cells.mkdir()
        for new, old in zip("123", names, strict=True):
            shutil.copy(next(folder.glob(f"*/0{old}.png")), cells / f"{new}.png")
        assert _predict(runs[0], f"--input={cells}", f"--output={tmp_path / 'out.csv'}") == 0
        pages.append(_page(tmp_path / "out.html"))
    first, second = ({cell["path"]: cell["content"] for cell in page["cells"]} for page in pages)
    assert first.keys() == second.keys()
    assert not set(first.values()) & set(second.values())
    assert pages[0]["page"] == pages[1]["page"]
    assert pages[0]["network"] == pages[1]["network"]


def test_the_same_pictures_are_found_again_and_another_network_is_told(alone, runs, folder, tmp_path):
    again = tmp_path / "again.csv"
    (tmp_path / "moved").symlink_to(runs[0])
    assert _predict(tmp_path / "moved", f"--input={folder}", f"--output={again}", "--page_cells=4") == 0
    page, same, other = map(_page, (alone / "0.html", again.with_suffix(".html"), alone / "1.html"))
    assert [cell["content"] for cell in page["cells"]] == [cell["content"] for cell in same["cells"]]
    assert page["network"] == same["network"] != other["network"]


def test_labels_of_a_page_stay_with_its_folder_when_that_is_moved(runs, folder, tmp_path):
    before, after = tmp_path / "before", tmp_path / "elsewhere" / "after"
    after.parent.mkdir()
    options = [f"--input={folder}", "--page_cells=2"]
    assert _predict(runs[0], *options, f"--output={before / 'out.csv'}") == 0
    page = _page(before / "out.html")["page"]
    before.rename(after)
    assert _predict(runs[0], *options, f"--output={after / 'out.csv'}") == 0
    assert _page(after / "out.html")["page"] == page
    assert _predict(runs[0], *options, f"--output={before / 'out.csv'}") == 0
    record = json.loads((after / "out_differential.json").read_text())
    record["made_from"]["page"] = "<script>"
    (after / "out_differential.json").write_text(json.dumps(record))
    assert _predict(runs[0], *options, f"--output={after / 'out.csv'}") == 0
    assert re.fullmatch("[0-9a-f]{16}", renewed := _page(after / "out.html")["page"])
    assert renewed != page


def test_a_renamed_run_and_the_next_of_its_name_have_pages_of_their_own(runs, folder, tmp_path):
    """Else labels left aside on the one could be deleted there, and would be gone on the other."""
    before, after = tmp_path / "mine", tmp_path / "mine_v1"
    options = [f"--input={folder}", "--page_cells=2", f"--output={before / 'out.csv'}"]
    assert _predict(runs[0], *options) == 0
    before.rename(after)
    assert _predict(runs[1], *options) == 0
    old, new = (_page(path / "out.html") for path in (after, before))
    assert old["page"] != new["page"]
    assert old["former"] == new["former"]


def test_cells_that_the_page_has_no_room_for_are_known_there(runs, folder, tmp_path):
    pages = []
    for limit in (100, 1):
        output = tmp_path / f"{limit}.csv"
        assert _predict(runs[0], f"--input={folder}", f"--output={output}", f"--page_cells={limit}") == 0
        pages.append(_page(output.with_suffix(".html")))
    whole, small = pages
    contents = {cell["content"] for cell in whole["cells"]}
    (shown,) = small["cells"]
    digits = {content[: small["content_digits"]] for content in contents - {shown["content"]}}
    assert set(small["without_room"]) == digits
    assert whole["without_room"] == []


def test_the_terminal_says_which_page_to_open(runs, folder, tmp_path, capsys):
    said = []
    for option in ((), ("--page=False",)):
        assert _predict(runs[0], f"--input={folder}", f"--output={tmp_path / 'out.csv'}", *option) == 0
        said.append(capsys.readouterr().out)
    assert f"in a browser: {tmp_path / 'out.html'}" in said[0]
    assert "out.html" not in said[1]


def test_what_an_earlier_call_wrote_and_this_one_does_not_is_gone(runs, folder, tmp_path):
    options = [f"--input={folder}", f"--output={tmp_path / 'out.csv'}"]
    assert _predict(runs[0], *options, f"--label_studio={folder}") == 0
    both = {"out.csv", "out_differential.csv", "out_differential.json"}
    assert {path.name for path in tmp_path.iterdir()} == both | {
        "out.html", "out_label_studio.json", "out_label_studio.xml",
    }  # fmt: skip
    assert _predict(runs[1], *options, "--page=False") == 0
    assert {path.name for path in tmp_path.iterdir()} == both


def test_cells_that_may_be_several_are_told_of(runs, folder, tmp_path):
    listed = tmp_path / "cells.csv"
    names = [
        f"{path},{'may be several cells' * (n < 2)}" for n, path in enumerate(sorted(folder.glob("*/*.png")))
    ]
    listed.write_text("\n".join(["path,note", *names]))
    assert _predict(runs[0], f"--input={listed}", f"--output={tmp_path / 'out.csv'}", "--nopage") == 0
    notes = json.loads((tmp_path / "out_differential.json").read_text())["notes"]
    assert any(note.startswith("2 of the images may show several cells") for note in notes)


@pytest.mark.parametrize("where", ["write_differential", "Interchange.write"])
def test_after_a_full_disk_the_same_command_goes_on(runs, folder, monkeypatch, capsys, where):
    """Predictions that were complete before the disk was full would pass for those of another input."""
    written = runs[1] / "predictions"

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    options = [f"--input={folder}", "--nopage"]
    with monkeypatch.context() as patched:
        patched.setattr(f"asae_jax.inference.predict.command.{where}", full)
        assert _predict(runs[1], *options) == 2
    assert "No space left on device" in capsys.readouterr().err
    assert not written.exists()
    assert _predict(runs[1], *options) == 0
    assert sorted(path.name for path in written.glob("*.csv")) == [
        f"{folder.name}.csv", f"{folder.name}_differential.csv",
    ]  # fmt: skip
    shutil.rmtree(written)


def test_two_folders_of_one_name_keep_their_files(runs, folder, tmp_path, capsys):
    shutil.copytree(runs[0], tmp_path / "run")
    for patient, part in (("p1", "slide_a"), ("p2", "slide_b")):
        shutil.copytree(folder / part, tmp_path / patient / "cells")
        assert _predict(tmp_path / "run", f"--input={tmp_path / patient / 'cells'}") == 0
    out = tmp_path / "run" / "predictions"
    assert "these are called cells-2" in capsys.readouterr().out
    for name, patient in (("cells", "p1"), ("cells-2", "p2")):
        assert all(f"/{patient}/cells/" in row["path"] for row in _read(out / f"{name}.csv"))
        made_from = json.loads((out / f"{name}_differential.json").read_text())["made_from"]
        assert made_from["input"] == str(tmp_path / patient / "cells")
        assert made_from["runs"][0]["step"] == 0
        assert _page(out / f"{name}.html")["title"] == name


def test_predictions_of_another_input_are_not_replaced(runs, folder, tmp_path, capsys):
    output = tmp_path / "mine.csv"
    output.write_text("path,label\nx.png,BLA\n")
    assert _predict(runs[0], f"--input={folder}", f"--output={output}") == 2
    assert "mine.csv was not made from this input and would be lost" in capsys.readouterr().err
    assert output.read_text() == "path,label\nx.png,BLA\n"


def test_without_one_readable_image_the_status_is_not_0(runs, tmp_path, capsys):
    for name in ("1.png", "2.png"):
        (tmp_path / "cells" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "cells" / name).write_bytes(b"no image")
    output = tmp_path / "out.csv"
    assert _predict(runs[0], f"--input={tmp_path / 'cells'}", f"--output={output}") == 1
    assert "error: none of the images could be read" in capsys.readouterr().err
    assert [row["error"] != "" for row in _read(output)] == [True, True]


def test_another_ending_of_the_output_is_refused(runs, folder, tmp_path, capsys):
    assert _predict(runs[0], f"--input={folder}", f"--output={tmp_path / 'x.xlsx'}") == 2
    assert "x.xlsx ends with none of .csv, .jsonl: give a name such as" in capsys.readouterr().err
    assert not any(tmp_path.iterdir())
