"""What is exported: a function from prepared images to scores, and how an image is prepared for it.

The preparation is written down exactly enough to be written anew elsewhere (`preprocessing.json`).
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict
from PIL import Image

from asae_jax.evaluation.uncertainty import Uncertainty
from asae_jax.evaluation.uncertainty_files import read_matching_uncertainty, uncertainty_without_layer
from asae_jax.files import atomic_binary
from asae_jax.inference.export.sources import constants
from asae_jax.input import hue, stain
from asae_jax.input.preparation import Preparation
from asae_jax.input.reduced import FACTORS
from asae_jax.models.convolution import as_on_accelerators
from asae_jax.models.network import Network
from asae_jax.pages import NOTICE
from asae_jax.run import build
from asae_jax.run.run import Run, open_for_inference
from asae_jax.synthetic import render
from asae_jax.types import HostImage

PLATFORMS = ("cpu", "cuda", "tpu")
"""Where a StableHLO program may run."""

PREPROCESSING = "preprocessing.json"
EXAMPLE_RAW, EXAMPLE_PREPARED = "example_raw.png", "example_prepared.png"


@dataclasses.dataclass(frozen=True)
class Program:
    """A trained network with the operations around it that belong in the graph.

    It computes in float32, whatever the run's `model.dtype` is: runtimes differ in what else they support.

    Attributes:
      run: whose weights it uses.
      network: the run's, in float32; the layer is treated as `eval.test_mode` says.
      uncertainty: estimates fitted for this checkpoint and way of testing, or None.
    """

    run: Run
    network: Network
    uncertainty: Uncertainty | None

    @property
    def temperature(self) -> float:
        """Divides the logits before the softmax; 1 where no calibration was measured."""
        return 1.0 if self.uncertainty is None else self.uncertainty.temperature.value

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of a prepared image."""
        size = self.run.preparation.stored_size
        return size, size, 3

    @functools.cached_property
    def plain(self) -> "Program":
        """The program without the branching layer: what the weights compute in another framework.

        Its estimates are those of a test without the layer, as other logits need another temperature; None
        where that was not measured.
        """
        if self.network.branching is None or self.network.test_mode == "skip":
            return self
        network = self.network.clone(branching=None)
        return dataclasses.replace(self, network=network, uncertainty=uncertainty_without_layer(self.run))

    def __call__(self, images: jax.Array) -> dict[str, jax.Array]:
        """Scores of prepared images.

        Args:
          images: uint8 RGB `[batch, stored, stored, 3]`, as the run's preparation gives them.

        Returns:
          `logits` and `probabilities`, float32 `[batch, classes]`; centre crop and normalisation are done
          here. (In test mode "mean" the logits are log-probabilities.) Convolutions are traced as XLA has
          them, whatever machine this is.
        """
        with as_on_accelerators():
            return self._scores(self.run.variables, images)

    def scores(self, images: np.ndarray, variables: Mapping[str, Any] | None = None) -> dict[str, np.ndarray]:
        """The scores by Flax at full precision.

        Args:
          images: uint8 RGB `[batch, stored, stored, 3]`.
          variables: weights to use instead of the run's.
        """
        weights = self.run.variables if variables is None else variables
        with jax.default_matmul_precision("highest"):
            return {name: np.asarray(array) for name, array in self._compiled(weights, images).items()}

    @functools.cached_property
    def _compiled(self) -> Callable[..., dict[str, jax.Array]]:
        return jax.jit(self._scores)

    def _scores(self, variables: Mapping[str, Any], images: jax.Array) -> dict[str, jax.Array]:
        logits: Any = self.network.apply(variables, self.run.preprocess(images), train=False)
        return {"logits": logits, "probabilities": jax.nn.softmax(logits / self.temperature)}


def load_program(workdir: Path, config: ConfigDict) -> Program:
    """The run in `workdir` as a program.

    Raises:
      UserError: see `open_for_inference`.
    """
    run = open_for_inference(workdir, config)
    in_float32 = ConfigDict(config.to_dict())
    in_float32.model.dtype = "float32"
    network = build.create_network(in_float32, run.num_classes)
    return Program(run, network, read_matching_uncertainty(run))


def preprocessing(program: Program) -> dict[str, Any]:
    """The content of `preprocessing.json`."""
    run = program.run
    mean, std = build.normalisation(run.config)
    return {
        "notice": NOTICE,
        "input": {
            "name": "images",
            "dtype": "uint8",
            "shape": ["batch", *program.image_shape],
            "batch": "any number of images; one at a time for model.tflite, which refuses more",
            "channels": "RGB",
        },
        "before_the_graph": _host_steps(run.preparation),
        "inside_the_graph": [
            {"step": "centre_crop", "size": run.config.augment.size, "how": _CENTRE_CROP},
            {"step": "normalise", "mean": mean, "std": std, "how": _NORMALISE},
            {"step": "network", "output": "logits"},
            {"step": "softmax", "temperature": program.temperature, "output": "probabilities"},
        ],
        "outputs": {"names": ["logits", "probabilities"], "classes": run.class_names},
        "example": {"raw": EXAMPLE_RAW, "prepared": EXAMPLE_PREPARED, "tolerance": _TOLERANCE},
    }


def write_example(program: Program, folder: Path) -> None:
    """Writes a drawn cell before and after preparation: no patient's image travels."""
    raw = drawn_cell(0)
    for name, image in ((EXAMPLE_RAW, raw), (EXAMPLE_PREPARED, program.run.preparation(raw))):
        with atomic_binary(folder / name) as file:
            Image.fromarray(image).save(file, "PNG")


def drawn_cell(number: int) -> HostImage:
    """A cell drawn by this package, higher than wide: uint8 RGB `[300, 260, 3]`."""
    return render(0, number, size=300)[:, 20:280]


def _host_steps(preparation: Preparation) -> list[dict[str, Any]]:
    steps: list[dict[str, Any]] = [
        {"step": "decode", "how": _DECODE} | _reduced_settings(preparation),
        {"step": "centre_square", "how": _SQUARE} | _scale_settings(preparation.scale),
        {"step": "resize", "size": preparation.stored_size, "how": _RESIZE},
    ]
    if preparation.background:
        steps.append(
            {
                "step": "background",
                "light": list(preparation.background),
                "percentile": stain.LIGHT,
                "max_gain": stain.MAX_GAIN,
                "how": _BACKGROUND,
            }
        )
    if preparation.hue != "none":
        steps.append(
            {
                "step": "hue",
                "mode": preparation.hue,
                "low": preparation.hue_low,
                "high": preparation.hue_high,
                "how": HUE_HOW[preparation.hue],
            }
        )
    if preparation.stain != "none":
        steps.append({"step": "stain", "method": preparation.stain} | _stain_settings(preparation.stain))
    return steps


def _reduced_settings(preparation: Preparation) -> dict[str, Any]:
    """Of JPEGs that are decoded at a reduced scale; nothing where none is."""
    if preparation.decoding == "full":
        return {}
    return {"reduced_factors": list(FACTORS), "reduced_how": _REDUCED}


def _scale_settings(scale: float) -> dict[str, Any]:
    """Of a square of another side than the image's shorter one; nothing where it is that."""
    return {} if scale == 1 else {"scale": scale, "scale_how": _SCALE}


def _stain_settings(method: str) -> dict[str, Any]:
    """The constants of the method, and where it is documented."""
    how = f"asae_jax.input.stain.normalise_stain(image, method={method!r}); its docstring has the formula."
    values = {
        _STAIN_KEYS.get(name, name.lower()): np.asarray(value).tolist()
        for name, value in constants(stain.METHODS[method]).items()
    }
    return values | {"how": how}


_STAIN_KEYS = {"LIGHT": "light_percentile", "MIN_ANGLE": "min_angle_radians"}
"""Constant of `stain` -> its name in the file, where that says more."""

_DECODE = (
    "RGB, 8 bits. Grey becomes three equal channels, a palette its colours; alpha is dropped, not "
    "composited; of 16 bits the upper 8 are kept; the orientation that a file states is ignored. A file of "
    "several images is refused: an animation (PNG, WebP, GIF), or a TIFF with another page of as many pixels "
    "as the first or more; smaller pages, and those marked as reduced images or masks, are ignored."
)
_REDUCED = (
    "Of a JPEG, the first of these factors for which side // factor >= size is taken (side and size: see the "
    "next steps); if there is none, or side > min(height, width), the image as it is. libjpeg-turbo decodes "
    "at 1 / factor of the size, rounded up (Pillow: Image.draft), and a last row or column that stands for "
    "fewer than `factor` pixels is left out. top, left and side are those of the whole image, divided by "
    "`factor`. Where these are no integers, the square is brought to k * size at once, with k of "
    "side // factor: bilinear with these fractions (OpenCV's warpAffine), at the edges mirrored; see "
    "asae_jax.input.reduced.reduced_square."
)
_SQUARE = (
    "side = min(height, width); top = (height - side) // 2; left = (width - side) // 2; "
    "keep rows top .. top + side - 1 and columns left .. left + side - 1."
)
_SCALE = (
    "side = max(1, round(min(height, width) / scale)), to the nearest even number at a half; beyond its "
    "edges the image is continued by its mirror image (the outermost row and column are repeated)."
)
_BACKGROUND = (
    "Each of red, green and blue times min(light / max(p, 1), max_gain), p being that percentile of it over "
    "the image; rounded, at most 255."
)
_RESIZE = (
    "k = max(side // size, 1). Unless side == k * size: bilinear to k * size (pixel centres at half "
    "integers, no antialiasing, rounded to integers: OpenCV's INTER_LINEAR). Then, if k > 1, the mean of "
    "each block of k x k pixels, rounded (OpenCV's INTER_AREA)."
)
_HUE = (
    "H, S, V as OpenCV's 8-bit COLOR_RGB2HSV: H in degrees / 2, integers 0..179. With l, m the lowest and "
    "highest H of the image: H' = low + floor((high - low) * (H - l) / (m - l) + 1/2); "
    "(low + high + 1) // 2 for all pixels if l == m. S and V stay; back by COLOR_HSV2RGB."
)
_ROBUST = (
    " Instead of H itself, (H - 60) mod 180 is counted; l and m are its 1st and 99th percentile (the lowest "
    "value whose cumulated count reaches the share) over pixels with S >= {least}; values beyond are clipped "
    "to them. Without such a pixel all get the middle."
)
HUE_HOW = {"paper": _HUE, "robust": _HUE + _ROBUST.format(least=hue.MIN_SATURATION)}
"""What each of `hue.MODES` does."""
_NORMALISE = "(value / 255 - mean) / std, per channel"
_CENTRE_CROP = "rows and columns (stored - size) // 2 .. (stored - size) // 2 + size - 1."
_TOLERANCE = "the steps before the graph make the second from the first, to one level of 255."
