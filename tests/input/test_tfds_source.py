import subprocess
import sys
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest

from asae_jax.errors import UserError
from asae_jax.input import tfds_source
from asae_jax.input.decode import BadImage, decode_image
from asae_jax.input.tfds_source import tfds_index

ROOT = Path(__file__).resolve().parents[2]

tfds = pytest.importorskip("tensorflow_datasets")

COUNTS = {"test": 3, "train": 10, "validation": 4, "extra": 2}
CLASSES = ["LYT", "BLA", "MON"]


def pixels(split, number):
    rng = np.random.default_rng([len(split), number])
    return rng.integers(0, 256, (9, 10, 3), np.uint8)


class Cells(tfds.core.GeneratorBasedBuilder):
    """Ten cells and more."""

    VERSION = tfds.core.Version("1.2.0")
    code_path = Path(__file__)  # TFDS 4.9.10 looks for it by a package that it does not require
    parts = COUNTS

    def _info(self):
        features = {
            "image": tfds.features.Image(encoding_format="png"),
            "label": tfds.features.ClassLabel(names=CLASSES),
            "patient": tfds.features.Text(),
            "slide": np.int64,
        }
        return self.dataset_info_from_configs(features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {name: self._generate_examples(name, count) for name, count in self.parts.items()}

    def _generate_examples(self, split, count):
        for number in range(count):
            label = -1 if (split, number) == ("test", 1) else number % 3
            yield (
                number,
                {
                    "image": pixels(split, number),
                    "label": label,
                    "patient": f"é{number % 4}",
                    "slide": number % 2,
                },
            )


class TrainOnly(Cells):
    """One split."""

    parts = MappingProxyType({"train": 5})


class Named(Cells):
    """With a name for each example, or one for all."""

    parts = MappingProxyType({"train": 5, "test": 3})
    name_of = "{}.png"

    def _info(self):
        info = super()._info()
        features = tfds.features.FeaturesDict({**info.features, "name": tfds.features.Text()})
        return self.dataset_info_from_configs(features=features)

    def _generate_examples(self, split, count):
        for number, example in super()._generate_examples(split, count):
            yield number, example | {"name": self.name_of.format(number)}


class NamedAlike(Named):
    """One name for all."""

    name_of = "cell.png"


class Unknown(Cells):
    """Some patients are not known; examples without a label do not count."""

    parts = MappingProxyType({"train": 6, "test": 3})
    patients = ("", "nan", "p1")

    def _generate_examples(self, split, count):
        for number, example in super()._generate_examples(split, count):
            unlabelled = example["label"] < 0
            known = split == "test" and not unlabelled
            yield number, example | {"patient": "p2" if known else self.patients[number % 3]}


class Scenes(tfds.core.GeneratorBasedBuilder):
    """Without a label."""

    VERSION = tfds.core.Version("1.0.0")
    code_path = Path(__file__)

    def _info(self):
        features = tfds.features.FeaturesDict({"image": tfds.features.Image()})
        return self.dataset_info_from_configs(features=features)

    def _split_generators(self, dl_manager):
        return {"train": iter([(0, {"image": pixels("train", 0)})])}

    def _generate_examples(self):
        raise NotImplementedError


def prepare(builder, data_dir, file_format):
    config = tfds.download.DownloadConfig(try_download_gcs=False)
    made = builder(data_dir=data_dir, file_format=file_format)
    made.download_and_prepare(download_config=config)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    place = tmp_path_factory.mktemp("tfds")
    for builder in (Cells, TrainOnly, Named, NamedAlike, Unknown, Scenes):
        prepare(builder, place, "array_record")
    return place


def which(index, split):
    """The number that the generator gave each example of `split`: TFDS shuffles them by their key."""
    known = {pixels(split, number).tobytes(): number for number in range(COUNTS[split])}
    rows = np.flatnonzero([name.startswith(f"{split}/") for name in index.names])
    return rows, [known[index.read(int(row)).tobytes()] for row in rows]


def test_every_example_with_label_group_and_split(data_dir):
    index = tfds_index("cells", data_dir=data_dir, group_feature="patient")
    assert index.source == "tfds:cells"
    assert index.class_names == tuple(CLASSES)
    assert len(index) == 10 + 4 + 2
    for split, count in {"train": 10, "validation": 4, "test": 2}.items():
        rows, numbers = which(index, split)
        assert len(set(numbers)) == count
        assert index.splits[rows].tolist() == [split] * count
        assert index.labels[rows].tolist() == [number % 3 for number in numbers]
        assert index.groups[rows].tolist() == [f"é{number % 4}" for number in numbers]
    assert len(set(index.names)) == len(index)


def test_images_without_a_group_are_refused(data_dir):
    """They would all be one patient."""
    with pytest.raises(UserError, match=r"'unknown' has 4 images without a value of 'patient'") as error:
        tfds_index("unknown", data_dir=data_dir, group_feature="patient", options="--")
    index = tfds_index("unknown", data_dir=data_dir)
    rows, numbers = which(index, "train")
    first = next(row for row, number in zip(rows, numbers, strict=True) if number % 3 != 2)
    assert f"(the first: {index.names[first]}, " in str(error.value)
    assert "(--group_feature=)" in str(error.value)


def test_what_is_left_out_is_said(data_dir):
    skipped = tfds_index("cells", data_dir=data_dir).skipped
    assert skipped[0] == ("extra", "not train, validation or test (2 examples)")
    assert [reason for _, reason in skipped[1:]] == ["no label"]


def test_numbers_can_be_groups_and_groups_may_be_none(data_dir):
    index = tfds_index("cells", data_dir=data_dir, group_feature="slide")
    rows, numbers = which(index, "train")
    assert index.groups[rows].tolist() == [str(number % 2) for number in numbers]
    assert tfds_index("cells", data_dir=data_dir).groups is None


def test_train_alone_is_no_split(data_dir):
    assert tfds_index("train_only", data_dir=data_dir).splits is None


def test_names_are_taken_where_they_tell_examples_apart(data_dir):
    index = tfds_index("named", data_dir=data_dir)
    rows, numbers = which(index, "train")
    assert index.names[rows].tolist() == [f"train/{number}.png" for number in numbers]
    alike = tfds_index("named_alike", data_dir=data_dir)
    assert alike.names.tolist()[:2] == ["train/000000", "train/000001"]


def test_a_version_may_be_named_and_the_fingerprint_stays(data_dir):
    one, two = tfds_index("cells", data_dir=data_dir), tfds_index("cells", data_dir=str(data_dir))
    assert one.fingerprint() == two.fingerprint()
    assert len(tfds_index("cells:1.2.0", data_dir=data_dir)) == len(one)


def test_a_damaged_image_is_a_bad_image(data_dir, monkeypatch):
    index = tfds_index("cells", data_dir=data_dir)
    monkeypatch.setattr(tfds_source, "decode_image", lambda data, name: decode_image(data[:-40], name))
    with pytest.raises(BadImage, match=r"train/000003: truncated"):
        index.read(3)


def test_files_without_random_access_name_the_remedy(tmp_path):
    prepare(TrainOnly, tmp_path, "tfrecord")
    with pytest.raises(UserError, match=r"tfrecord.*--file_format=array_record.*--config\.data\.path=DIR"):
        tfds_index("train_only", data_dir=tmp_path)


@pytest.mark.parametrize(
    ("name", "options", "what"),
    [
        ("no_such_cells", {}, "no TFDS data set 'no_such_cells'"),
        ("cells:9.9.9", {}, "no TFDS data set"),
        ("scenes", {}, "0 features of kind ClassLabel"),
        ("cells", {"group_feature": "donor"}, "choose one of image, label, patient, slide"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_line(data_dir, name, options, what):
    with pytest.raises(UserError, match=what) as error:
        tfds_index(name, data_dir=data_dir, **options)
    assert "\n" not in str(error.value)


def test_known_but_not_prepared(tmp_path):
    with pytest.raises(UserError, match=r"not prepared.*tfds build cells"):
        tfds_index("cells", data_dir=tmp_path)


def test_without_the_builder_the_prepared_files_suffice(data_dir):
    """In a process that knows no such builder, as main.py is one; and without loading TensorFlow."""
    code = (
        "import sys; from asae_jax.input.tfds_source import tfds_index\n"
        f"index = tfds_index('cells', data_dir={str(data_dir)!r}, group_feature='patient')\n"
        "print(len(index), index.read(0).shape, 'tensorflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "16 (9, 10, 3) False"


def test_features_that_may_tell_the_patient_are_named(data_dir):
    (note,) = tfds_index("cells", data_dir=data_dir).notes
    assert note.startswith("features of cells that are not used: patient, slide; ")
    (note,) = tfds_index("cells", data_dir=data_dir, group_feature="patient").notes
    assert note.startswith("features of cells that are not used: slide; ")


def test_records_are_known_by_what_they_hold(data_dir):
    index = tfds_index("cells", data_dir=data_dir)
    assert len(set(index.contents.tolist())) == len(index)
    assert b"" not in index.contents.tolist()
    alone = tfds_index("train_only", data_dir=data_dir)
    assert set(alone.contents.tolist()) < set(index.contents[index.splits == "train"].tolist())
