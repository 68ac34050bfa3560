"""Writing, reading and walking files; and what HTML pages share."""

import base64
import contextlib
import errno
import json
import os
import stat
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import jinja2
import numpy as np
import pytest

from asae_jax import files, folders, json_files, pages
from asae_jax.errors import UserError
from asae_jax.evaluation.calibration import Temperature

ODD_NAME = os.fsdecode(b"b\xff.png")


def test_a_path_that_a_user_typed(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert files.user_path("~/cells") == tmp_path / "cells"
    assert files.user_path("cells") == files.user_path(Path("cells"))
    assert files.user_path("~nobody-is-called-so/cells") == Path("~nobody-is-called-so/cells")


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_error_half_way_leaves_the_old_file_alone(tmp_path, error):
    path = tmp_path / "report.txt"
    files.write_text(path, "old")

    def write():
        with files.atomic_text(path) as file:
            file.write("new")
            file.flush()
            assert path.read_text() == "old"
            raise error

    with pytest.raises(error):
        write()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_is_replaced_and_its_folder_made(tmp_path):
    path = tmp_path / "deep" / "er" / "report.txt"
    for text in ("first", "second\r\nline\n"):
        files.write_text(path, text)
        assert path.read_bytes() == text.encode()
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("name", [".", "there/.."])
def test_a_name_that_no_file_can_take_is_an_error_of_the_disk(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").mkdir()
    with (
        pytest.raises(UserError, match=r"cannot write it \(.+\): name another"),
        files.disk_errors("write it", remedy="name another"),
    ):
        files.write_text(Path(name), "text")
    assert [path.name for path in tmp_path.rglob("*")] == ["there"]


@pytest.mark.parametrize("way", ["alone", "together", "removed first", "written twice"])
@pytest.mark.parametrize("given", ["link.csv", "chain.csv"])
def test_a_link_stays_one_and_what_it_leads_to_is_written(tmp_path, monkeypatch, way, given):
    """Also of a link to a link, relative ones, and where the link lies in another folder than the file."""
    here, far = tmp_path / "here", tmp_path / "far"
    here.mkdir()
    far.mkdir()
    (far / "real.csv").write_text("before")
    (here / "link.csv").symlink_to("../far/real.csv")
    (here / "chain.csv").symlink_to("link.csv")
    monkeypatch.chdir(here)
    with contextlib.nullcontext() if way == "alone" else files.together():
        if way == "removed first":
            files.remove(Path(given))
        if way == "written twice":
            files.write_text(Path("link.csv"), "first")
        files.write_text(Path(given), "now")
        if way != "alone":
            assert (far / "real.csv").read_text() == "before"
    assert (far / "real.csv").read_text() == Path(given).read_text() == "now"
    assert [path.name for path in sorted(here.iterdir()) if path.is_symlink()] == ["chain.csv", "link.csv"]
    assert [path.name for path in far.iterdir()] == ["real.csv"]


def test_an_error_leaves_link_and_file_as_they_were(tmp_path):
    (tmp_path / "real").write_text("before")
    (tmp_path / "link").symlink_to("real")

    def write():
        with files.together():
            files.write_text(tmp_path / "link", "now")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "link": "before",
        "real": "before",
    }
    assert (tmp_path / "link").is_symlink()


def test_of_a_link_that_is_removed_the_file_stays(tmp_path):
    (tmp_path / "real").write_text("before")
    (tmp_path / "link").symlink_to("real")
    with files.together():
        files.write_text(tmp_path / "link", "now")
        files.remove(tmp_path / "link")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"real": "before"}


def test_a_link_to_nothing_makes_the_file_but_no_folder(tmp_path):
    (tmp_path / "link").symlink_to("new")
    files.write_text(tmp_path / "link", "now")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "new").read_text() == "now"
    (tmp_path / "unplugged").symlink_to(tmp_path / "disk" / "new")
    with pytest.raises(FileNotFoundError):
        files.write_text(tmp_path / "unplugged", "now")
    assert not (tmp_path / "disk").exists()


@pytest.mark.parametrize("linked", [False, True])
def test_no_file_takes_the_place_of_a_pipe_or_device(tmp_path, linked):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    if linked:
        (tmp_path / "link").symlink_to(path)
    for function in (lambda given: files.write_text(given, "now"), files.check_replaceable):
        with pytest.raises(OSError, match="not a file but a pipe, socket or device"):
            function(tmp_path / "link" if linked else path)
    assert path.is_fifo()


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664, 0o444, 0o755])
@pytest.mark.parametrize("linked", [False, True])
def test_who_may_read_a_file_stays_when_it_is_written_again(tmp_path, mode, linked):
    path = tmp_path / "table.csv"
    path.write_text("before")
    path.chmod(mode)
    (tmp_path / "link").symlink_to(path)
    with files.together(), files.atomic_text(tmp_path / "link" if linked else path) as file:
        file.write("now")
        (part,) = tmp_path.glob("*.part")
        assert stat.S_IMODE(part.stat().st_mode) == 0o600  # what is private is so from the beginning
    assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == ("now", mode)


def test_a_new_file_is_as_readable_as_any(tmp_path):
    (tmp_path / "usual").touch()
    files.write_text(tmp_path / "new", "now")
    assert (tmp_path / "new").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_what_no_new_folder_can_replace(tmp_path, monkeypatch):
    here, other, link = tmp_path / "here", tmp_path / "other", tmp_path / "link"
    here.mkdir()
    other.mkdir()
    link.symlink_to(other)
    monkeypatch.chdir(here)
    for path in (Path("."), here, Path("../here")):
        assert files.irreplaceable(path) == "is the folder that you work in"
    assert files.irreplaceable(link) == "is a link"
    assert files.irreplaceable(Path("/")) == "is a mount point"
    assert files.irreplaceable(other) == files.irreplaceable(tmp_path / "new") == ""


def test_many_may_write_at_once(tmp_path):
    path = tmp_path / "report.txt"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: files.write_text(path, str(number) * 10_000), range(10), timeout=60))
    text = path.read_text()
    assert text == text[0] * 10_000
    assert list(tmp_path.iterdir()) == [path]


def test_names_that_are_not_utf8_keep_their_bytes(tmp_path):
    path = tmp_path / "list.txt"
    files.write_text(path, ODD_NAME)
    assert path.read_bytes() == b"b\xff.png"
    with files.open_text(path, "a") as file:
        file.write("é")
    with files.open_text(path, "r") as file:
        assert file.read() == ODD_NAME + "é"


def test_safe_names_differ_and_fit_every_disk():
    texts = ["骨" * 100, "骨" * 101, "Müller", "Mu\u0308ller", "mÜLLER", "a/b c", "..", "x" * 300]
    names = files.safe_names(texts)
    assert len({unicodedata.normalize("NFC", name).casefold() for name in names}) == len(texts)
    assert max(len(name.encode()) for name in names) <= 130
    assert names[5:7] == ["a_b_c", "unnamed"]


def test_json_is_read_back_as_written(tmp_path):
    content = {"name": ODD_NAME, "class": "é", "values": [1, 2.5, None, True]}
    path = tmp_path / "content.json"
    json_files.write_json(path, content)
    assert path.read_bytes().endswith(b"}\n")
    assert json_files.read_json(path, remedy="write it again") == content
    json_files.write_json(path, {"é": 1}, indent=1)
    assert path.read_text(encoding="utf-8") == '{\n "é": 1\n}\n'


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_json_has_no_nan_and_the_old_file_stays(tmp_path, value):
    path = tmp_path / "content.json"
    json_files.write_json(path, [1])
    with pytest.raises(ValueError, match="not JSON compliant"):
        json_files.write_json(path, [value])
    assert json.loads(path.read_text()) == [1]


SEALED = {"b": [0.1, -1e-300, 3], "a": {"ä": "\ud8ff", "none": None}, "c": True}


def test_sealed_json_is_read_without_its_checksum_in_any_order(tmp_path):
    path = tmp_path / "a.json"
    json_files.write_sealed_json(path, SEALED)
    assert json_files.read_json(path, remedy="") == SEALED
    content = json.loads(path.read_text())
    path.write_text(json.dumps(dict(reversed(content.items()))))
    assert json_files.read_json(path, remedy="") == SEALED


@pytest.mark.parametrize(
    ("then", "now"), [("0.1", "0.11"), ("true", "false"), ("-1e-300", "-1e-301"), ('"none"', '"nine"')]
)
def test_sealed_json_that_has_changed_is_refused_by_name(tmp_path, then, now):
    path = tmp_path / "a.json"
    json_files.write_sealed_json(path, SEALED)
    text = path.read_text()
    assert text.count(then) == 1
    path.write_text(text.replace(then, now))
    with pytest.raises(
        UserError, match=rf"a\.json has changed.*measure again.*delete its entry '{json_files.CHECKSUM}'"
    ):
        json_files.read_json(path, remedy="measure again")
    content = json.loads(path.read_text())
    del content[json_files.CHECKSUM]
    path.write_text(json.dumps(content))
    assert json_files.read_json(path, remedy="") == content


def test_a_write_that_fails_names_its_file(tmp_path):
    with pytest.raises(OSError, match=r"full.*a\.txt"), files.atomic_text(tmp_path / "a.txt"):
        raise OSError(errno.ENOSPC, "full")


def _write_three(folder, text):
    with files.together():
        files.write_text(folder / "a.txt", text)
        with files.together():
            json_files.write_json(folder / "b.json", text)
        files.write_bytes(folder / "c", text.encode())
        if text == "bad":
            raise OSError(errno.ENOSPC, "full")


def test_files_written_together_appear_all_or_not_at_all(tmp_path):
    with pytest.raises(OSError, match="full"):
        _write_three(tmp_path, "bad")
    assert not list(tmp_path.iterdir())
    _write_three(tmp_path, "good")
    with pytest.raises(OSError, match="full"):
        _write_three(tmp_path, "bad")
    there = {path.name: path.read_text().strip() for path in tmp_path.iterdir()}
    assert there == {"a.txt": "good", "b.json": '"good"', "c": "good"}
    files.write_text(tmp_path / "a.txt", "alone")
    assert (tmp_path / "a.txt").read_text() == "alone"


def test_of_files_written_together_a_name_that_is_refused_takes_the_new_ones_back(tmp_path):
    (tmp_path / "b").mkdir()  # no file can take this name
    (tmp_path / "old.txt").write_text("before")

    @files.together()
    def write():
        for name in ("a", "old.txt", "b", "c"):
            files.write_text(tmp_path / name, "now")

    with pytest.raises(IsADirectoryError):
        write()
    there = {path.name: path.read_text() for path in tmp_path.iterdir() if path.is_file()}
    assert there == {"old.txt": "before"}


def test_the_error_of_a_file_that_is_open_elsewhere_says_so(tmp_path, monkeypatch):
    path = tmp_path / "cells.csv"
    path.write_text("before")

    def refuse(part, path):  # as Windows does
        raise PermissionError(errno.EACCES, "Permission denied", str(part))

    monkeypatch.setattr(Path, "replace", refuse)
    reason = r"cannot write it \(cells\.csv cannot be replaced: another program may have it open.*\): choose"
    with pytest.raises(UserError, match=reason), files.disk_errors("write it", remedy="choose another"):
        files.write_text(path, "now")
    assert {entry.name: entry.read_text() for entry in tmp_path.iterdir()} == {"cells.csv": "before"}


def test_a_disk_too_full_for_copies_of_older_files_keeps_them(tmp_path, monkeypatch):
    def fill(path, copy, **_):
        Path(copy).write_text("bef")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(copy))

    (tmp_path / "a.csv").write_text("before")
    monkeypatch.setattr(files, "HOLDS_OPEN_FILES", True)
    monkeypatch.setattr("shutil.copy2", fill)
    with pytest.raises(OSError, match="No space left"), files.together():
        files.write_text(tmp_path / "a.csv", "now")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a.csv": "before"}


def test_on_windows_what_is_open_elsewhere_has_no_second_name_for_a_moment(tmp_path, monkeypatch):
    """NTFS refuses to remove any name of a file that another program holds open."""
    held = tmp_path / "b.csv"
    (tmp_path / "a.csv").write_text("before")
    held.write_text("before")
    number, replace, unlink = held.stat().st_ino, Path.replace, Path.unlink

    def is_held(path):
        return path.exists() and path.stat().st_ino == number

    def replace_unless_held(part, path):
        if is_held(path):
            raise PermissionError(errno.EACCES, "Permission denied", str(part))
        return replace(part, path)

    def unlink_unless_held(path, missing_ok=False):
        if is_held(path):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        unlink(path, missing_ok=missing_ok)

    def write():
        with files.together():
            for name in ("a.csv", "b.csv"):
                files.write_text(tmp_path / name, "now")

    monkeypatch.setattr(files, "HOLDS_OPEN_FILES", True)
    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", replace_unless_held)
        patched.setattr(Path, "unlink", unlink_unless_held)
        with pytest.raises(PermissionError, match=r"b\.csv cannot be replaced"):
            write()
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "a.csv": "before",
        "b.csv": "before",
    }


@pytest.mark.parametrize("links", [True, False])
def test_of_files_written_together_one_that_is_open_elsewhere_keeps_all_as_they_were(
    tmp_path, monkeypatch, links
):
    names = ("a.csv", "b.csv", "c.html")
    for name in (*names, "old.json"):
        (tmp_path / name).write_text("before")
    replace = Path.replace

    def refuse(part, path):  # as Windows does
        if path.name == "b.csv" and "now" in part.read_text():
            raise PermissionError(errno.EACCES, "Permission denied", str(part))
        return replace(part, path)

    def no_link(*_, **__):
        raise OSError(errno.EPERM, "no links here")

    def write(text):
        with files.together():
            files.remove(tmp_path / "old.json")
            for name in (*names, "new.json"):
                files.write_text(tmp_path / name, text)

    if not links:
        monkeypatch.setattr("os.link", no_link)
    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", refuse)
        with pytest.raises(PermissionError, match=r"b\.csv cannot be replaced: another program may have it"):
            write("now")
    there = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert there == dict.fromkeys((*names, "old.json"), "before")
    write("now")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == dict.fromkeys(
        (*names, "new.json"), "now"
    )


def test_where_one_file_cannot_be_put_back_the_others_are(tmp_path, monkeypatch):
    names = ("a.csv", "b.csv", "c.csv")
    for name in names:
        (tmp_path / name).write_text("before")
    replace = Path.replace

    def refuse(part, path):
        if path.name == "c.csv" or (path.name == "b.csv" and part.read_text() == "before"):
            raise PermissionError(errno.EACCES, "Permission denied", str(part))
        return replace(part, path)

    def write():
        with files.together():
            for name in names:
                files.write_text(tmp_path / name, "now")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(PermissionError):
        write()
    assert [(tmp_path / name).read_text() for name in names] == ["before", "now", "before"]
    assert [path.read_text() for path in tmp_path.iterdir() if path.name not in names] == ["before"]


def test_what_is_removed_together_goes_with_the_rest(tmp_path):
    def write(*, fail):
        with files.together():
            for name in ("old", "again", "absent"):
                files.remove(tmp_path / name)
            files.write_text(tmp_path / "again", "new")
            files.write_text(tmp_path / "begun", "new")
            files.remove(tmp_path / "begun")
            if fail:
                raise KeyboardInterrupt

    for name in ("old", "again"):
        (tmp_path / name).write_text("before")
    with pytest.raises(KeyboardInterrupt):
        write(fail=True)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "old": "before",
        "again": "before",
    }
    write(fail=False)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"again": "new"}
    files.remove(tmp_path / "again")
    assert not list(tmp_path.iterdir())


def test_of_a_file_written_twice_together_only_the_last_is_left(tmp_path):
    with files.together():
        files.write_text(tmp_path / "a.txt", "first")
        files.write_text(tmp_path / "a.txt", "last")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a.txt": "last"}


@pytest.mark.parametrize(
    "value", [True, 1e300, -1e300, 10**400, float("inf"), float("nan"), "2", None, [2.0]]
)
def test_no_other_value_passes_for_a_number(value):
    assert json_files.typed(Temperature, {"value": 2, "low": 1.5, "high": 2.6}).value == 2
    with pytest.raises(TypeError, match="value is"):
        json_files.typed(Temperature, {"value": value, "low": 1.5, "high": 2.6})


def test_json_that_cannot_be_read_names_file_and_remedy(tmp_path):
    path = tmp_path / "content.json"
    with pytest.raises(UserError, match=r"cannot read .*content\.json \(No such file.*\): train again\.$"):
        json_files.read_json(path, remedy="train again")
    path.write_text('{"a": ')
    with pytest.raises(UserError, match=r"content\.json is damaged.*: train again\.$"):
        json_files.read_json(path, remedy="train again")


def caught(error):
    with files.disk_errors("write the table", remedy="choose another folder"):
        raise error


def chained(message, cause):
    error = ValueError(message)
    error.__cause__ = cause
    return error


def unchained(message, context):
    """As `raise ValueError(message) from None` while `context` is handled."""
    error = chained(message, None)
    error.__context__ = context
    assert error.__suppress_context__
    return error


FULL = os.strerror(errno.ENOSPC)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(errno.ENOSPC, FULL), FULL),
        (OSError("4,096 bytes needed"), "4,096 bytes needed"),
        (PermissionError(errno.EACCES, os.strerror(errno.EACCES), "file"), os.strerror(errno.EACCES)),
        (chained("cannot save", OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))), os.strerror(errno.EDQUOT)),
        (chained("outer", chained("inner", OSError(errno.ENOSPC, FULL))), FULL),
        # As Orbax raises it: no OSError is left in the chain, but its text.
        (ValueError(f"INTERNAL: Error writing local file: [OS error 28: ENOSPC {FULL.upper()}]"), FULL),
        (chained("cannot save", RuntimeError(os.strerror(errno.EROFS))), os.strerror(errno.EROFS)),
    ],
)
def test_disk_errors_of_any_library_become_one_line(error, reason):
    with pytest.raises(UserError) as raised:
        caught(error)
    assert str(raised.value) == f"cannot write the table ({reason}): choose another folder."
    assert raised.value.__cause__ is error


@pytest.mark.parametrize(
    "error",
    [
        ValueError("negative size"),
        chained("cannot save", KeyError("a")),
        unchained("a fault of the program", PermissionError(errno.EACCES, "dealt with")),
        KeyboardInterrupt(),
    ],
)
def test_other_errors_pass_through(error):
    with pytest.raises(type(error)) as raised:
        caught(error)
    assert raised.value is error


def test_a_users_error_is_not_wrapped_though_a_disk_error_caused_it():
    error = UserError("the message")
    error.__cause__ = OSError(errno.ENOSPC, FULL)
    with pytest.raises(UserError, match=r"^the message$"):
        caught(error)


def put(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"1234")
        os.utime(path, ns=(5, 7_000_000_001))


def test_walk_finds_files_at_any_depth_with_size_and_time(tmp_path):
    put(tmp_path, "b.txt", "a/c.PNG", "a/deep/er/d.jpeg", f"a/{ODD_NAME}")
    found = {file.name: file for file in folders.walk(tmp_path)}
    assert set(found) == {"b.txt", "a/c.PNG", "a/deep/er/d.jpeg", f"a/{ODD_NAME}"}
    assert found["a/c.PNG"] == ("a/c.PNG", 4, 7_000_000_001, False)
    assert {name for name, file in found.items() if not file.is_image} == {"b.txt"}


def test_hidden_files_and_folders_are_passed_over(tmp_path):
    put(tmp_path, "a/1.png", ".cache/1.png", "a/.thumbs/1.png", "a/._1.png", ".DS_Store")
    assert [file.name for file in folders.walk(tmp_path)] == ["a/1.png"]
    assert [entry.name for entry in folders.visible_entries(tmp_path)] == ["a"]
    assert folders.is_hidden(".x")
    assert not folders.is_hidden("x.")


def test_what_systems_leave_is_passed_over(tmp_path):
    left = (
        *(
            "@eaDir/1.png",
            "__MACOSX/a/1.png",
            "a/Thumbs.db",
            "a/thumbs/1.png",
            "lost+found/1.png",
            "a/._1.png",
        ),
        *("#recycle/1.png", "$RECYCLE.BIN/1.png", "System Volume Information/1.png", "a/desktop.ini"),
        "a/SYNOFILE_THUMB_1.jpg",
    )
    put(tmp_path, "a/1.png", "a/my@eaDir.png", "a/thumb.png", *left)
    assert sorted(file.name for file in folders.walk(tmp_path)) == [
        "a/1.png",
        "a/my@eaDir.png",
        "a/thumb.png",
    ]
    assert [entry.name for entry in folders.visible_entries(tmp_path)] == ["a"]
    assert all(folders.leftover_in(name) for name in left)
    assert folders.leftover_in("a/@eaDir/x") == "@eaDir"
    assert not folders.leftover_in(".cache/a/1.png")


def test_pipes_and_links_in_a_circle_are_found_as_what_they_are(tmp_path):
    put(tmp_path, "1.png")
    os.mkfifo(tmp_path / "2.png")
    os.symlink(tmp_path / "3.png", tmp_path / "3.png")
    os.symlink("/dev/zero", tmp_path / "4.png")
    os.symlink(tmp_path / "6", tmp_path / "5")
    os.symlink(tmp_path / "5", tmp_path / "6")
    found = {file.name: file.special for file in folders.walk(tmp_path)}
    assert found == {"1.png": False, "2.png": True, "3.png": False, "4.png": True, "5": False, "6": False}


def test_links_are_followed_but_not_round_in_circles(tmp_path):
    put(tmp_path, "root/a/1.png", "elsewhere/2.png")
    root = tmp_path / "root"
    os.symlink(tmp_path / "elsewhere", root / "b")
    os.symlink(root, root / "a" / "loop")
    os.symlink(root / "a" / "1.png", root / "3.png")
    found = {file.name: file.size for file in folders.walk(root)}
    assert found == {"a/1.png": 4, "b/2.png": 4, "3.png": 4}


def test_a_folder_that_is_linked_twice_is_walked_twice(tmp_path):
    put(tmp_path, "elsewhere/2.png")
    for name in ("a", "b"):
        os.symlink(tmp_path / "elsewhere", tmp_path / name)
    names = sorted(file.name for file in folders.walk(tmp_path))
    assert names == ["a/2.png", "b/2.png", "elsewhere/2.png"]


def test_a_dangling_link_is_found_as_a_file(tmp_path):
    os.symlink(tmp_path / "gone.png", tmp_path / "1.png")
    (file,) = folders.walk(tmp_path)
    assert file.name == "1.png"
    assert file.size == os.lstat(tmp_path / "1.png").st_size


def test_a_folder_that_cannot_be_listed_is_named(tmp_path):
    with pytest.raises(UserError, match=r"cannot list folder .*missing \(No such file.*check"):
        list(folders.walk(tmp_path / "missing"))


def test_names_of_images():
    assert all(folders.is_image_name(f"cell{extension.upper()}") for extension in folders.IMAGE_EXTENSIONS)
    assert not any(folders.is_image_name(name) for name in ("cell", "cell.png.txt", ".png", "cell.heic"))


def test_templates_are_strict_and_escape_where_they_should():
    page = pages.environment("asae_jax.audit", {"double": lambda text: text * 2})
    assert page.from_string("{{ name | double }}").render(name="<") == "&lt;&lt;"
    plain = pages.environment("asae_jax.audit", {}, autoescape=False, finalize=lambda value: value or "-")
    assert plain.from_string("{{ name }}{{ other }}").render(name="<", other=None) == "<-"
    with pytest.raises(jinja2.UndefinedError):
        page.from_string("{{ missing }}").render()


def test_a_picture_travels_inside_the_page():
    image = np.full((16, 24, 3), (200, 40, 90), np.uint8)
    uri = pages.jpeg_uri(image, quality=95)
    head, data = uri.split(",")
    assert head == "data:image/jpeg;base64"
    assert base64.b64decode(data) == pages.encode_jpeg(image, quality=95)
    decoded = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert decoded.shape == image.shape
    assert np.abs(decoded.astype(int) - image).max() <= 6
    assert pages.image_uri("png", b"x") == "data:image/png;base64,eA=="


def test_a_fault_of_the_disk_is_found_behind_other_errors():
    full = OSError(errno.ENOSPC, "No space left on device", "a.json")
    behind = RuntimeError("a thread failed")
    behind.__cause__ = ValueError("x")
    behind.__cause__.__context__ = full
    assert files.disk_fault(behind) == "No space left on device (a.json)"
    assert files.disk_fault(FileNotFoundError(errno.ENOENT, "No such file", "a")) is None
    assert files.disk_fault(None) is None


def _chain(kind, *, dealt_with=False):
    """RuntimeError, raised from or while handling a ValueError of the disk error `kind`."""
    try:
        try:
            raise kind
        except OSError as error:
            raise ValueError("a library's") from (None if dealt_with else error)
    except ValueError as error:
        outer = RuntimeError("a thread's")
        outer.__context__ = error
        return outer


@pytest.mark.parametrize(
    ("error", "within", "anywhere"),
    [
        (_chain(OSError(errno.ENOSPC, "No space", "a", None, "b")), "(No space)", "No space (b)"),
        (_chain(OSError(errno.ENOSPC, "No space"), dealt_with=True), None, None),
        (_chain(FileNotFoundError(errno.ENOENT, "No such file", "a")), "(No such file)", None),
        (OSError("without a number"), "(without a number)", None),
        (
            ValueError("INTERNAL: read-only file system; x"),
            "(Read-only file system)",
            "Read-only file system",
        ),
    ],
)
def test_both_ways_to_name_a_disk_error_walk_one_chain(error, within, anywhere):
    """Where files are worked on every OSError counts, elsewhere those that no fault of the program gives."""
    assert files.disk_fault(error) == anywhere
    with (
        pytest.raises(UserError if within else type(error)) as raised,
        files.disk_errors("write x", remedy="go"),
    ):
        raise error
    assert str(raised.value) == (f"cannot write x {within}: go." if within else str(error))


def test_a_file_has_one_name_however_its_folder_is_spelled_and_a_link_to_it_another(tmp_path, monkeypatch):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "real" / "b").symlink_to(tmp_path / "real" / "a")
    monkeypatch.chdir(tmp_path)
    assert {
        files.in_real_folder(path)
        for path in ("real/a", "link/a", "real/../link/./a", tmp_path / "link" / "a")
    } == {str(tmp_path / "real" / "a")}
    assert files.in_real_folder("link/b") == str(tmp_path / "real" / "b")
    assert files.in_real_folder("no\0/a") == str(tmp_path / "no\0" / "a")
