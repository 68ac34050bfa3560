"""Files of strangers cost little before they are refused, in one line, and nothing in them is run.

`benchmarks/fuzz.py` tries thousands; here is one of each kind of fault that it found.
"""

import csv
import io
import json
import os
import pickle
import struct
import subprocess
import sys
import zipfile
import zlib

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from asae_jax import config as settings
from asae_jax.cli import main
from asae_jax.csv_cells import CsvWriter, csv_records, guarded, unguarded
from asae_jax.errors import UserError
from asae_jax.files import open_text
from asae_jax.folders import walk
from asae_jax.input.csv_rows import read_rows
from asae_jax.input.decode import BadImage, decode_image, read_image
from asae_jax.input.manifest import manifest_index
from asae_jax.input.npz import npz_index, read_arrays
from asae_jax.json_files import parse_json, read_json
from asae_jax.models.weights import read_tensors
from asae_jax.run import folder
from benchmarks.hostile import images, pool


def picture(kind="JPEG", **options):
    file = io.BytesIO()
    smooth = np.random.default_rng(0).integers(0, 255, (5, 6, 3), np.uint8)
    Image.fromarray(smooth).resize((48, 40), Image.Resampling.BICUBIC).save(file, kind, **options)
    return file.getvalue()


def reason(data):
    with pytest.raises(BadImage) as caught:
        decode_image(data, "x")
    return caught.value.reason


class TestImages:
    def test_damaged_files_are_decoded_or_refused_in_one_line(self, tmp_path):
        images.prepare(tmp_path)
        outcomes = {
            pool.try_one(images.attempt(number, 1, tmp_path), tmp_path, 500)[0] for number in range(150)
        }
        assert outcomes == {"used", "refused"}

    def test_scans_that_add_nothing_are_refused_before_they_are_decoded(self):
        data = picture(progressive=True)
        last = data.rfind(b"\xff\xda")
        assert "more than 100 scans" in reason(data[:-2] + data[last:-2] * 200 + data[-2:])

    def test_metadata_in_many_pieces_are_not_read_to_the_end(self):
        data = picture()
        assert "pieces" in reason(b"\xff\xd8" + b"\xff\xfe\0\x02" * 100_000 + data[2:])

    def test_a_file_larger_than_any_image_is_not_read(self, tmp_path):
        path = tmp_path / "x.jpg"
        path.write_bytes(picture())
        os.truncate(path, 10**12)  # sparse
        with pytest.raises(BadImage, match="1,000,000,000,000 bytes"):
            read_image(path)

    def test_declared_pixels_are_looked_at_first(self):
        head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
        chunk = b"IHDR" + head
        data = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
        assert "pixels" in reason(data + picture("PNG")[33:])

    def test_an_animation_of_many_frames_is_called_one(self):
        head = b"GIF89a" + struct.pack("<HH", 48, 40) + b"\x80\0\0" + b"\0\0\0\xff\xff\xff"
        frame = b"," + struct.pack("<HHHH", 0, 0, 48, 40) + b"\0" + b"\x02\x02\x4c\x01\0"
        assert "animation" in reason(head + frame * 130_000 + b";")


class TestTables:
    def write(self, tmp_path, text):
        (tmp_path / "list.csv").write_text(text)
        return tmp_path / "list.csv"

    def test_a_label_without_end_is_refused_with_its_line(self, tmp_path):
        file = self.write(tmp_path, f"path,label\na.png,A\nb.png,{'B' * 100_000}\n")
        with pytest.raises(UserError, match="line 3: label has 100,000 characters") as caught:
            manifest_index(file)
        assert len(str(caught.value)) < 500

    def test_more_labels_than_classes_can_be(self, tmp_path):
        (tmp_path / "a.png").write_bytes(b"")
        rows = "".join(f"a{n}.png,class {n}\n" for n in range(5000))
        file = self.write(tmp_path, f"path,label\na.png,A\n{rows}")
        with pytest.raises(UserError, match=r"5,001 classes, more than 1,000"):
            manifest_index(file)

    def test_columns_without_end(self, tmp_path):
        file = self.write(tmp_path, "path," + "c," * 100_000 + "label\n")
        with pytest.raises(UserError, match="100,002 columns, more than 1,000"):
            read_rows(file, required=("path", "label"))

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
    @pytest.mark.parametrize("read", [manifest_index, npz_index, read_tensors])
    def test_a_pipe_is_no_list(self, tmp_path, read):
        os.mkfifo(tmp_path / "x")
        with pytest.raises(UserError, match="pipe"):
            read(tmp_path / "x")

    @pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="needs devices")
    def test_a_device_is_no_list(self):
        with pytest.raises(UserError, match="device"):
            manifest_index("/dev/zero")


class TestSpreadsheets:
    FORMULAS = ("=1+1", "=cmd|' /C calc'!A0", "@SUM(A1)", "+f(1)", "-2|x!A0", " =1", "\t=1", "'=1", "''=1")
    PLAIN = (
        "",
        "A",
        "+",
        "-",
        "-1",
        "+5",
        "CD34+",
        "a=b",
        "a@b",
        "'a'",
        "'",
        "x(1)",
        "a; b",
        "a;b=c",
        "a;CD34+",
    )

    @pytest.mark.parametrize("text", FORMULAS + PLAIN)
    def test_a_cell_comes_back_as_it_was(self, text):
        assert unguarded(guarded(text)) == text
        assert not guarded(text).lstrip().startswith(("=", "@"))

    @pytest.mark.parametrize("text", PLAIN)
    def test_what_is_no_formula_stays(self, text):
        assert guarded(text) == text

    @given(st.text(";\t\r\n'\"=@+-(|! \xa0,a"))
    @example("a;'=1")
    @example("\t\n=1")
    @example('a;"=1"')
    def test_no_reader_begins_a_cell_with_a_formula(self, text):
        """Spreadsheets with a decimal comma split at semicolons, and a comma is a letter."""
        assert unguarded(guarded(text)) == text
        file = io.StringIO(newline="")
        CsvWriter(file).writerow(["x", text])
        for delimiter in ";\t":
            for row in csv.reader(io.StringIO(file.getvalue(), newline=""), delimiter=delimiter):
                assert not any(cell.lstrip().startswith(("=", "@", "+", "-")) for cell in row)

    def test_a_formula_behind_a_semicolon(self):
        assert guarded("a;=cmd|' /C calc'!A0;.png") == "a;'=cmd|' /C calc'!A0;.png"
        assert guarded("=1;'@x\t+2") == "'=1;''@x\t'+2"

    def test_a_file_named_as_a_formula_goes_through_a_list(self, tmp_path):
        from asae_jax.input.run_split import read_records, write_splits

        (tmp_path / "=1+1.png").write_bytes(b"x")
        (tmp_path / "list.csv").write_text("path,label\n=1+1.png,@home\n")
        index = manifest_index(tmp_path / "list.csv")
        write_splits(tmp_path / "splits.csv", index, np.array(["train"]))
        assert (tmp_path / "splits.csv").read_text().splitlines()[1].startswith("'=1+1.png,'@home,")
        assert read_records(tmp_path / "splits.csv")["=1+1.png"].label == "@home"
        with open_text(tmp_path / "splits.csv", "r") as file:
            assert next(csv_records(file)) == ["name", "label", "split", "content"]


class TestTerminal:
    def test_an_error_is_one_line_whatever_the_name(self, capsys):
        assert main(["predict", "--workdir=\x1b[2J\u202ea\nb", "--input=x"]) == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1
        assert said.rstrip("\n").isprintable()
        assert r"\x1b[2J\u202ea\nb" in said

    def test_names_in_output_do_not_steer_the_terminal(self, tmp_path, capsys):
        from asae_jax.cli import _Harmless

        file = io.StringIO()
        print("a\x1b[31m\x9b\x07b\r\tc", file=_Harmless(file))
        assert file.getvalue() == "a\\x1b[31m\\x9b\\x07b\r\tc\n"

    def test_a_message_without_end_is_shortened(self):
        assert len(str(UserError("x" * 10**6))) < 5000

    def test_a_class_folder_that_ends_a_line_is_refused(self, tmp_path):
        from asae_jax.input.folder import folder_index

        for name in ("a", "b\nerror: all is lost"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "x.png").write_bytes(b"")
        with pytest.raises(UserError, match=r"unprintable characters in its name, 'b\\nerror"):
            folder_index(tmp_path)


class TestArrays:
    def bomb(self, path, shape="(110000, 1000)", size=110_000_000, **options):
        header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(117) + b"\n"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, **options) as archive:
            for name, chunks in (("train_labels", size // 10_000_000), ("train_images", 1)):
                with archive.open(f"{name}.npy", "w") as file:
                    file.write(b"\x93NUMPY\x01\0" + len(header).to_bytes(2, "little") + header)
                    for _ in range(chunks):
                        file.write(bytes(10_000_000))
        return path

    @pytest.mark.parametrize("read", [npz_index, read_arrays])
    def test_what_is_packed_a_thousandfold_is_not_unpacked(self, tmp_path, read, monkeypatch):
        path = self.bomb(tmp_path / "x.npz")
        monkeypatch.setattr(np, "empty", pytest.fail)
        with pytest.raises((UserError, ValueError), match="compressed to less than a 200th"):
            read(path)

    def test_a_declared_size_that_is_not_there_is_not_reserved(self, tmp_path, monkeypatch):
        path = self.bomb(tmp_path / "x.npz", shape="(10000000, 10000000)", size=10_000_000)
        monkeypatch.setattr(np, "empty", pytest.fail)
        with pytest.raises(ValueError, match="not as long as its header says"):
            read_arrays(path)

    def test_the_limit_is_of_all_arrays_together(self, tmp_path):
        path = tmp_path / "x.npz"
        np.savez_compressed(path, a=np.zeros(1000), b=np.zeros(1000))
        with zipfile.ZipFile(path) as archive:
            first, second = (entry.file_size for entry in archive.infolist())
        assert len(read_arrays(path, most=first + second)) == 2
        for most in (first, first + second - 1):
            with pytest.raises(ValueError, match=r"b\.npy has .* bytes when it is unpacked"):
                read_arrays(path, most=most)


PROLOGUE = b"".join(pickle.dumps(x, 2) for x in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}))


class TestWeights:
    def refused(self, tmp_path, content):
        path = tmp_path / "x.pth"
        path.write_bytes(content)
        with pytest.raises(UserError) as caught:
            read_tensors(path)
        return str(caught.value)

    def archive(self, tensor):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("a/data.pkl", b"\x80\x02}(Vw\n" + tensor + b"u.")
            archive.writestr("a/data/0", bytes(24))
        return file.getvalue()

    def tensor(self, shape, strides):
        storage = b"(Vstorage\nctorch\nFloatStorage\nV0\nVcpu\nI6\ntQ"
        numbers = [b"".join(b"I%d\n" % n for n in values) for values in (shape, strides)]
        return b"ctorch._utils\n_rebuild_tensor_v2\n(%sI0\n(%st(%stI00\n}tR" % (storage, *numbers)

    def test_a_tensor_that_repeats_one_number_is_refused(self, tmp_path):
        assert "repeats numbers" in self.refused(tmp_path, self.archive(self.tensor((10**6, 10**6), (0, 0))))

    def test_a_sound_one_is_read(self, tmp_path):
        (tmp_path / "x.pth").write_bytes(self.archive(self.tensor((2, 3), (3, 1))))
        assert read_tensors(tmp_path / "x.pth")["w"].shape == (2, 3)

    def test_a_pickle_does_not_reserve_gigabytes(self, tmp_path):
        said = self.refused(tmp_path, PROLOGUE + b"\x80\x02K\x01r\xff\xff\xff\x7f.")
        assert "more or larger objects" in said

    def test_entries_that_share_their_bytes(self, tmp_path):
        file = io.BytesIO(self.archive(self.tensor((2, 3), (3, 1))))
        with zipfile.ZipFile(file, "a") as archive:
            archive.writestr("a/data/1", bytes(10_000))
            for number in range(2, 9):
                archive.filelist.append(zipfile.ZipInfo(f"a/data/{number}"))
                for name in ("header_offset", "file_size", "compress_size", "CRC"):
                    setattr(archive.filelist[-1], name, getattr(archive.getinfo("a/data/1"), name))
            archive._didModify = True
        assert "overlap" in self.refused(tmp_path, file.getvalue())

    def test_a_safetensors_shape_that_no_array_has(self, tmp_path):
        text = json.dumps({"a": {"dtype": "F32", "shape": [1] * 99, "data_offsets": [0, 4]}}).encode()
        assert "no weights that can be read" in self.refused(
            tmp_path, struct.pack("<Q", len(text)) + text + bytes(4)
        )


class TestFolders:
    def test_json_is_read_with_limits(self, tmp_path):
        for text in ("[" * 100_000, '{"a": NaN}', "-Infinity", "9" * 10_000):
            with pytest.raises(ValueError, match=r"within each other|number|digits"):
                parse_json(text)
        (tmp_path / "x.json").write_text("1")
        os.truncate(tmp_path / "x.json", 10**12)
        with pytest.raises(UserError, match="more than 200,000,000 bytes"):
            read_json(tmp_path / "x.json", remedy="x")

    @pytest.mark.parametrize(
        "fields",
        [
            [],
            {"class_names": "ABC"},
            {"class_names": ["A", 1]},
            {"class_names": []},
            {"class_names": ["A", "A"]},
            {"class_names": ["A", "b\x1b[2J"]},
            {"class_names": [f"c{n}" for n in range(1001)]},
            {"versions": {"jax": 1}},
            {"images": {"A": 1}},
            {"data_fingerprint": None},
        ],
        ids=lambda fields: str(fields)[:40],
    )
    def test_a_record_of_other_types_is_refused(self, tmp_path, fields):
        sound = {"class_names": ["A", "B"], "data_fingerprint": "x", "versions": {}}
        content = sound | fields if isinstance(fields, dict) else fields
        (tmp_path / "run.json").write_text(json.dumps(content))
        with pytest.raises(UserError, match=r"run\.json"):
            folder.read_record(tmp_path)

    def test_links_that_lead_out_of_a_run_are_refused(self, tmp_path):
        run, other = tmp_path / "run", tmp_path / "other"
        (run / "a").mkdir(parents=True)
        other.mkdir()
        (run / "inside").symlink_to(run / "a")
        folder.refuse_links(run)
        (tmp_path / "link").symlink_to(run)
        folder.refuse_links(tmp_path / "link")
        (run / "a" / "metrics.jsonl").symlink_to(other / "precious")
        with pytest.raises(UserError, match="leads out of the run folder"):
            folder.refuse_links(run)

    def test_of_a_folder_of_runs_a_file_that_leads_out_is_refused_and_a_run_on_another_disk_is_not(
        self, tmp_path
    ):
        grid, other = tmp_path / "grid", tmp_path / "other"
        grid.mkdir()
        other.mkdir()
        (grid / "runs").symlink_to(other)
        (grid / "inside.json").symlink_to(grid / "report.json")
        folder.refuse_linked_files(grid)
        folder.refuse_linked_files(tmp_path / "none")
        (grid / "report.json").symlink_to(other / "precious")
        with pytest.raises(UserError, match=r"inside\.json is a link that leads out of the run folder"):
            folder.refuse_linked_files(grid)

    @pytest.mark.parametrize(
        ("command", "linked"),
        [("audit", "audit/audit.json"), ("crossval", "results.csv"), ("reproduce", "report.json")],
    )
    def test_commands_refuse_to_write_through_a_link_that_leads_out(self, tmp_path, capsys, command, linked):
        run, precious = tmp_path / "run", tmp_path / "precious"
        (run / linked).parent.mkdir(parents=True)
        precious.write_text("before")
        (run / linked).symlink_to(precious)
        assert main([command, "--config=drawn_cells", f"--workdir={run}"]) == 2
        assert "leads out of the run folder" in capsys.readouterr().err
        assert precious.read_text() == "before"

    def test_settings_ask_for_no_more_than_a_machine_has(self):
        config = settings.base_config()
        config.eval.batch_size = 100_000
        with pytest.raises(UserError, match=r"eval.batch_size=100000 .* at most 4,096"):
            settings.check(config)

    def test_a_cache_in_a_place_that_is_not_there_is_not_made(self, tmp_path):
        config = settings.base_config()
        config.data.cache_dir = str(tmp_path / "nowhere")
        (tmp_path / "config.json").write_text(json.dumps(config.to_dict()))
        assert settings.read_run_config(tmp_path).data.cache_dir == ""
        (tmp_path / "nowhere").mkdir()
        assert settings.read_run_config(tmp_path).data.cache_dir == str(tmp_path / "nowhere")


class TestWalks:
    def test_folders_that_link_to_each_other_end(self, tmp_path):
        for name in range(12):
            (tmp_path / str(name)).mkdir()
            for other in range(12):
                (tmp_path / str(name) / f"to{other}").symlink_to(tmp_path / str(other))
        with pytest.raises(UserError, match="more than 20 links"):
            list(walk(tmp_path))

    def test_a_folder_within_a_folder_without_end(self, tmp_path):
        (tmp_path / "/".join(["a"] * 150)).mkdir(parents=True)
        assert list(walk(tmp_path)) == []
        (tmp_path / "/".join(["a"] * 250)).mkdir(parents=True)
        with pytest.raises(UserError, match="more than 200 others"):
            list(walk(tmp_path))


def test_the_fuzz_script_counts_what_a_process_does(tmp_path):
    code = (
        "import os, sys\nfrom benchmarks.hostile import pool\n"
        "sys.addaudithook(pool._audit)\nimport pathlib\nplace = pathlib.Path(sys.argv[1])\n"
        "calls = [lambda: os.system('true'), lambda: open(place.parent / 'x', 'w'), lambda: 1 / 0, list]\n"
        "print(*[pool.try_one(call, place, 500)[0] for call in calls])\n"
    )
    place = tmp_path / "own"
    place.mkdir()
    result = subprocess.run(
        [sys.executable, "-c", code, str(place)], capture_output=True, text=True, check=True
    )
    assert result.stdout.split() == ["executed", "wrote", "traceback", "used"]
