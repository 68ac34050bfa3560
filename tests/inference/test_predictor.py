"""Records of images, against the network applied by hand."""

import copy
import io
import shutil

import jax
import numpy as np
import pytest
from PIL import Image

from asae_jax.augment.pipeline import centre_crop
from asae_jax.config import copy_with, read_run_config
from asae_jax.errors import UserError
from asae_jax.evaluation.abstention import Abstention
from asae_jax.evaluation.calibration import Temperature
from asae_jax.evaluation.conformal import Conformal
from asae_jax.evaluation.outliers import Outliers
from asae_jax.evaluation.uncertainty import Uncertainty
from asae_jax.inference.inputs import Item, read_input
from asae_jax.inference.predictor import (
    Options,
    Predictor,
    attention_extent,
    load_runs,
)
from asae_jax.input.nucleus_sizes import NucleusSizes
from asae_jax.input.sources import configured_preparation
from asae_jax.run.run import open_run
from tests.edited import edited
from tests.inference.predict.conftest import _shallow, folder, images, runs
from tests.input.drawn_nuclei import crop
from tests.training.tiny import tiny_config

__all__ = ["_shallow", "folder", "images", "runs"]

pytestmark = pytest.mark.filterwarnings("ignore:left out as no images")


def _changed(run, **attributes):
    """A copy of `run` with other attributes."""
    changed = copy.copy(run)
    for name, value in attributes.items():
        setattr(changed, name, value)
    return changed


@pytest.fixture(scope="module")
def trained(runs):
    return open_run(runs[0])


@pytest.fixture(scope="module")
def expected(trained, images):
    """Probabilities `[views, 11, classes]` of the views that NumPy makes."""
    turned = [np.rot90(start, k, axes=(1, 2)) for start in (images, images[:, :, ::-1]) for k in range(4)]

    @jax.jit
    def apply(batch):
        return jax.nn.softmax(
            trained.network.apply(trained.variables, trained.preprocess(batch), train=False)
        )

    return np.stack([apply(view) for view in turned])


@pytest.fixture(scope="module")
def plain(trained, folder):
    """(records of the folder in batches of 8, how often the step was traced)."""
    traces = []

    def preprocess(batch):
        traces.append(batch.shape)
        return trained.preprocess(batch)

    predictor = Predictor(
        [_changed(trained, preprocess=preprocess)],
        [None],
        Options(8, pictures=True),
    )
    return list(predictor(read_input(str(folder)))), len(traces)


def test_images_come_in_order_with_the_network_s_probabilities(plain, expected):
    good = [record for record in plain[0] if not record.error]
    assert [record.path[-6:] for record in good] == [f"{number:02}.png" for number in range(11)]
    assert np.ptp(expected[0][:, 0]) > 0.01, "the images differ for the network"
    np.testing.assert_allclose([r.probabilities for r in good], expected[0], atol=1e-5)


def test_a_bad_image_is_a_row_with_its_error(plain):
    records = plain[0]
    assert len(records) == 12
    assert [record.error for record in records if record.error] == [
        "not a JPEG, PNG, BMP, TIFF, WebP, GIF or JPEG 2000 image"
    ]
    assert records[3].label is None


def test_the_whole_image_is_kept_in_its_own_resolution_up_to_a_side(trained, tmp_path):
    rng = np.random.default_rng(1)
    for name, shape in (("a", (60, 90, 3)), ("b", (200, 100, 3))):
        coarse = rng.integers(60, 200, (3, 3, 3), dtype=np.uint8)
        smooth = Image.fromarray(coarse).resize(shape[1::-1], Image.Resampling.BICUBIC)
        smooth.save(tmp_path / f"{name}.png")
    options = Options(8, pictures=True, picture_side=100)
    first, second = Predictor([trained], [None], options)(read_input(str(tmp_path)))
    for record, size, kept in ((first, (90, 60), (90, 60)), (second, (100, 200), (50, 100))):
        assert record.size == size
        with Image.open(io.BytesIO(record.picture)) as image, Image.open(record.file) as original:
            assert (image.format, image.size) == ("JPEG", kept)
            np.testing.assert_allclose(np.asarray(image), np.asarray(original.resize(kept)), atol=12)


def test_without_a_side_there_are_small_pictures_only(plain):
    assert {record.picture for record in plain[0]} == {None}
    assert all(record.thumbnail for record in plain[0] if not record.error)


def test_the_last_batch_does_not_compile_anew(plain):
    assert plain[1] == 1


def test_pictures_show_the_image_and_where_the_network_looked(plain):
    record = plain[0][0]
    assert record.thumbnail.startswith(b"\xff\xd8\xff")
    assert (record.attention.dtype, record.attention.min(), record.attention.max()) == (np.uint8, 0, 255)
    assert record.attention.ndim == 2


@pytest.mark.parametrize("scale", [0.6, 1.0, 1.6])
@pytest.mark.parametrize("shape", [(120, 120), (120, 200), (200, 120)])
def test_the_attention_covers_what_the_network_saw(scale, shape):
    """A ramp tells: so many pixels of the image lie from one edge of what is seen to the other."""
    config = tiny_config(data__hue="none", data__scale=scale)
    ramp = np.broadcast_to(np.arange(shape[1], dtype=np.uint8)[:, None], (*shape, 3))
    size = config.augment.size
    seen = centre_crop(configured_preparation(config.data)(ramp)[None], size=size)[0, size // 2, :, 0]
    middle = seen[size // 4 : -size // 4].astype(float)
    slope = np.polyfit(np.arange(len(middle)), middle, 1)[0]
    assert slope * size / min(shape) == pytest.approx(attention_extent(config), rel=0.02)
    assert middle.mean() == pytest.approx((shape[1] - 1) / 2, abs=1)


def test_turned_views_are_averaged_and_make_turning_irrelevant(trained, images, expected, tmp_path):
    turned = np.rot90(images[3])[:, ::-1]
    for name, image in (("straight", images[3]), ("turned", turned)):
        Image.fromarray(np.ascontiguousarray(image)).save(tmp_path / f"{name}.png")
    items = [Item(name, str(tmp_path / f"{name}.png")) for name in ("straight", "turned")]
    over_views = _changed(trained, config=copy_with(trained.config, {"eval.tta": True}))
    first, second = Predictor([over_views], [None], Options(8, pictures=False))(items)
    np.testing.assert_allclose(first.probabilities, expected[:, 3].mean(0), atol=1e-5)
    np.testing.assert_allclose(second.probabilities, first.probabilities, atol=1e-5)
    assert first.thumbnail is first.attention is None


def test_a_network_that_has_diverged_gives_errors_not_numbers(trained, folder):
    broken = jax.tree.map(lambda x: np.full_like(x, np.nan), dict(trained.variables))
    predictor = Predictor([_changed(trained, variables=broken)], [None], Options(8, pictures=False))
    assert {record.error for record in predictor(read_input(str(folder)))} == {
        "the network's scores are not finite", "not a JPEG, PNG, BMP, TIFF, WebP, GIF or JPEG 2000 image",
    }  # fmt: skip


@pytest.mark.parametrize("ensemble", ["{run}", "{other},{other}", "{other},{run}/../{name}"])
def test_a_run_has_one_voice(runs, ensemble):
    names = {"run": runs[0], "other": runs[1], "name": runs[0].name}
    config = read_run_config(runs[0])
    config.predict.ensemble = ensemble.format(**names)
    with pytest.raises(UserError, match="would predict twice, and count as two opinions"):
        load_runs(config, runs[0])


def test_a_copy_of_a_run_is_the_same_voice(runs, tmp_path):
    """As a model and the run folder that it was copied to; in another preparation it is another."""
    copy = shutil.copytree(runs[0], tmp_path / "copy")
    config = read_run_config(runs[0])
    config.predict.ensemble = f"{runs[1]},{copy}"
    with pytest.raises(UserError, match=r"copy is a copy of .*would predict twice, and count"):
        load_runs(config, runs[0])
    with edited(copy / "config.json") as settings:
        settings["data"]["scale"] = 1.5
    assert len(load_runs(config, runs[0])) == 3


def test_batch_statistics_that_are_asked_for_are_those_of_all_runs(runs, tmp_path):
    """Folds are trained alike: what the first of them is refused for, the others are as well."""
    for run in runs:
        shutil.copytree(run, tmp_path / run.name)
        with edited(tmp_path / run.name / "config.json") as settings:
            settings["eval"]["batch_statistics"] = "reestimate"
    first, other = (tmp_path / run.name for run in runs)
    config = read_run_config(first)
    config.predict.ensemble = str(other)
    with pytest.raises(UserError, match="'reestimate' needs the training images"):
        load_runs(config, first)
    config.eval.batch_statistics = "running"
    assert [run.config.eval.batch_statistics for run in load_runs(config, first)] == ["running"] * 2
    config = read_run_config(runs[0])
    config.predict.ensemble = str(other)  # nothing else than the first run's own was asked for
    with pytest.raises(UserError, match="'reestimate' needs the training images"):
        load_runs(config, runs[0])


@pytest.mark.parametrize(
    ("asked", "value"),
    [("checkpoint", "last"), ("test_mode", "enhance"), ("look_threshold", 0.5), ("tta", True)],
)
def test_all_runs_are_tested_as_is_asked(runs, asked, value):
    """With the newest checkpoint of one run and the best of another it would be neither ensemble."""
    config = read_run_config(runs[0])
    config.predict.ensemble = str(runs[1])
    own = read_run_config(runs[1]).eval
    assert own[asked] != value
    config.eval[asked] = value
    _, other = load_runs(config, runs[0])
    assert other.config.eval[asked] == value
    rest = set(own) - {asked}
    assert {name: other.config.eval[name] for name in rest} == {name: own[name] for name in rest}


def test_crops_of_another_scale_are_noted_once_all_are_predicted(trained, tmp_path):
    """The network knows nuclei of 20 % of the side, and these are of 50."""
    for number in range(30):
        Image.fromarray(crop(50 + number % 3)).save(tmp_path / f"{number:02}.png")
    items = read_input(str(tmp_path))
    fitted = Uncertainty(
        class_names=trained.class_names,
        num_examples=10,
        conditions={},
        temperature=Temperature(1.0, 1.0, 1.0),
        abstention=Abstention(0.1, 0.05, 0.0, 0.8, 0.04, (0.0, 0.1)),
        conformal=Conformal("lac", 0.1, 0.7),
        outliers=Outliers("energy", 0.95, 0.0),
        nuclei=NucleusSizes(100, 18.0, 20.0, 22.0),
    )
    predictor = Predictor([trained], [fitted], Options(8, pictures=False, scale_check=True))
    assert predictor.notes() == []
    assert len(list(predictor(items))) == 30
    (note,) = predictor.notes()
    assert note.startswith("Nuclei are 2.")
    assert "instead of 20 %" in note
