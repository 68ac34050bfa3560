"""What an image goes through before and inside of the graph, exact enough to be written anew elsewhere."""

from pathlib import Path
from typing import Any

from PIL import Image

from asae_jax.augment.plain import MEAN, STD
from asae_jax.inference.export.images import example_image
from asae_jax.inference.export.program import Program
from asae_jax.input import hue, stain
from asae_jax.input.prepare import Preparation
from asae_jax.training.figures import NOTICE

FILE = "preprocessing.json"
EXAMPLE_RAW, EXAMPLE_PREPARED = "example_raw.png", "example_prepared.png"

_DECODE = (
    "RGB, 8 bits. Grey becomes three equal channels, a palette its colours; alpha is dropped, not "
    "composited; of 16 bits the upper 8 are kept; EXIF orientation is ignored; of several frames the first."
)
_SQUARE = (
    "side = min(height, width); top = (height - side) // 2; left = (width - side) // 2; "
    "keep rows top .. top + side - 1 and columns left .. left + side - 1."
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
_CROP = "rows and columns (stored - size) // 2 .. (stored - size) // 2 + size - 1."
_TOLERANCE = "the steps before the graph make the second from the first, to one level of 255."


def specification(program: Program) -> dict[str, Any]:
    """The content of `preprocessing.json`."""
    trained = program.trained
    return {
        "notice": NOTICE,
        "input": {
            "name": "images",
            "dtype": "uint8",
            "shape": ["batch", *program.image_shape],
            "channels": "RGB",
        },
        "before_the_graph": _host_steps(trained.preparation),
        "inside_the_graph": [
            {"step": "centre_crop", "size": trained.config.augment.size, "how": _CROP},
            {"step": "normalise", "mean": MEAN, "std": STD, "how": "(value / 255 - mean) / std, per channel"},
            {"step": "network", "output": "logits"},
            {"step": "softmax", "temperature": program.temperature, "output": "probabilities"},
        ],
        "outputs": {"names": ["logits", "probabilities"], "classes": trained.class_names},
        "example": {"raw": EXAMPLE_RAW, "prepared": EXAMPLE_PREPARED, "tolerance": _TOLERANCE},
    }


def write_example(program: Program, folder: Path) -> None:
    """Writes a drawn cell before and after preparation."""
    raw = example_image()
    Image.fromarray(raw).save(folder / EXAMPLE_RAW)
    Image.fromarray(program.trained.preparation(raw)).save(folder / EXAMPLE_PREPARED)


def _host_steps(preparation: Preparation) -> list[dict[str, Any]]:
    steps: list[dict[str, Any]] = [
        {"step": "decode", "how": _DECODE},
        {"step": "centre_square", "how": _SQUARE},
        {"step": "resize", "size": preparation.stored_size, "how": _RESIZE},
    ]
    if preparation.hue != "none":
        how = _HUE + (_ROBUST.format(least=hue.MIN_SATURATION) if preparation.hue == "robust" else "")
        steps.append(
            {
                "step": "hue",
                "mode": preparation.hue,
                "low": preparation.hue_low,
                "high": preparation.hue_high,
                "how": how,
            }
        )
    if preparation.stain != "none":
        steps.append({"step": "stain", "method": preparation.stain} | _stain_settings(preparation.stain))
    return steps


def _stain_settings(method: str) -> dict[str, Any]:
    """The constants of the method, and where it is written down."""
    how = f"asae_jax.input.stain.normalize_stain(image, method={method!r}); its docstring has the formula."
    if method == "reinhard":
        return {
            "target_mean": stain.TARGET_MEAN.tolist(),
            "target_deviation": stain.TARGET_DEVIATION.tolist(),
            "max_gain": stain.MAX_GAIN,
            "how": how,
        }
    return {
        "reference_stains": stain.REFERENCE_STAINS.tolist(),
        "reference_amounts": stain.REFERENCE_AMOUNTS.tolist(),
        "light_percentile": stain.LIGHT,
        "min_density": stain.MIN_DENSITY,
        "min_stained": stain.MIN_STAINED,
        "min_angle_radians": float(stain.MIN_ANGLE),
        "how": how,
    }
