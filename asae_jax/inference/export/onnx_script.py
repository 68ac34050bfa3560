"""`predict_onnx.py` of an export: one image through `model.onnx`, in a few lines without this package.

What a run does to the colours is written into it: lines for the hue adjustment, the functions themselves for
stain normalisation.
"""

import inspect
from typing import Any

import numpy as np

from asae_jax.inference.export.program import Program
from asae_jax.input import hue, stain
from asae_jax.input.preparation import Preparation, centre_square
from asae_jax.input.reduced import FACTORS, Reduced, largest_factor, reduced_square, square_side
from asae_jax.pages import NOTICE

FILE = "predict_onnx.py"

_PACKAGES = "numpy opencv-python-headless pillow onnxruntime"

_SCRIPT = '''\
"""The classes of one image and their probabilities, as `asae predict` gives them.

    python {file} IMAGE

{notice} It needs model.onnx beside it, and
`pip install {packages}`. The image has 8 bits, is RGB or grey, and shows one cell.
"""

{future}import json
import sys
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
from PIL import Image

SIZE = {size}  # pixels; the model itself crops, normalises and applies the temperature
{functions}
if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
    sys.exit(__doc__)
try:
    with Image.open(sys.argv[1]) as picture:
        if picture.mode not in ("RGB", "RGBA", "L", "LA", "P"):
            sys.exit(f"{{sys.argv[1]}}: save it as an RGB image of 8 bits (it is {{picture.mode}})")
        pages = getattr(picture, "n_frames", 1) if picture.format in ("PNG", "WEBP", "GIF", "TIFF") else 1
        pixels = picture.width * picture.height
        for page in range(1, pages):
            picture.seek(page)
            tags = picture.tag_v2 if picture.format == "TIFF" else None
            small = picture.width * picture.height < pixels
            if not tags or not (small or tags.get(254, 0) & 5 or tags.get(255) == 2):  # no preview, no mask
                sys.exit(f"{{sys.argv[1]}}: several images (an animation or a stack), save each alone")
        picture.seek(0)
{draft}        turned = picture.getexif().get(274, 1) if picture.format == "TIFF" else 1
        picture = picture.convert("RGB")
        back = {{2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}}  # orientation -> Image.Transpose
        image = np.asarray(picture.transpose(back[turned]) if turned in back else picture)
except OSError as error:
    sys.exit(f"{{sys.argv[1]}}: it cannot be read ({{error}})")
{square}
blocks = max(side // SIZE, 1)
if side != blocks * SIZE:
    image = cv2.resize(image, (blocks * SIZE, blocks * SIZE), interpolation=cv2.INTER_LINEAR)
image = cv2.resize(image, (SIZE, SIZE), interpolation=cv2.INTER_AREA) if blocks > 1 else image
{colours}
session = onnxruntime.InferenceSession(str(Path(__file__).with_name("model.onnx")))
classes = json.loads(session.get_modelmeta().custom_metadata_map["class_names"])
(probabilities,) = session.run(["probabilities"], {{"images": image[None]}})
for probability, name in sorted(zip(probabilities[0].tolist(), classes), reverse=True):
    print(f"{{probability:.6f}} {{name}}")
'''

_SQUARE = """\
side = min(image.shape[:2])
top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
image = np.ascontiguousarray(image[top : top + side, left : left + side])"""
_SCALED = """\
image = np.ascontiguousarray(centre_square(image, {scale}))
side = len(image)"""

_DRAFT = """\
        height, width = picture.height, picture.width
        jpeg = picture.format in ("JPEG", "MPO")
        factor = largest_factor(height, width, {scale}, SIZE) if jpeg else 1
        picture.draft(None, (width // factor, height // factor))
"""
_REDUCED = """\
if factor > 1:
    image = reduced_square(Reduced.of(image, factor, (height, width)), {scale}, SIZE)
else:
    image = centre_square(image, {scale})
image = np.ascontiguousarray(image)
side = len(image)"""

_HUE = """\
hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
hue = {hue}
least, most = {range}
span = max(most - least, 1)
stretched = {low} + (2 * {width} * (np.clip(hue, least, most) - least) + span) // (2 * span)
hsv[..., 0] = stretched if most > least else {middle}
image = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
"""
_PAPER = {"hue": "hsv[..., 0].astype(int)", "range": "int(hue.min()), int(hue.max())"}
_ROBUST = {
    "hue": "(hsv[..., 0].astype(int) - 60) % 180  # counted from green",
    "range": "np.searchsorted(counts, counts[-1] * np.array([0.01, 0.99]))",
}
_COUNTS = "counts = np.cumsum(np.bincount(hue[hsv[..., 1] >= {least}], minlength=180))\n"

_STAIN = {
    "reinhard": (("TARGET_MEAN", "TARGET_DEVIATION", "MAX_GAIN"), (stain._reinhard, stain._to_bytes)),
    "macenko": (
        ("REFERENCE_STAINS", "REFERENCE_AMOUNTS", "MAX_GAIN", "LIGHT", "MIN_DENSITY", "MIN_STAINED",
         "MIN_ANGLE", "_LOGARITHM"),
        (stain._macenko, stain._find_stains, stain._to_bytes),
    ),
}  # fmt: skip


def onnx_script(program: Program) -> str:
    """The content of `predict_onnx.py`, with the preparation of the program's run."""
    preparation = program.run.preparation
    colours = _hue_lines(preparation) if preparation.hue != "none" else ""
    functions = ""
    if preparation.stain != "none":
        functions = _stain_functions(preparation.stain)
        colours = f"image = _{preparation.stain}(image)\n"
    if preparation.background:
        functions = _background_functions(bare=not functions) + functions
        colours = f"image = match_background(image, {preparation.background})\n{colours}"
    square = _SQUARE
    reduced = preparation.decoding == "reduced"
    if reduced or preparation.scale != 1:
        square = (_REDUCED if reduced else _SCALED).format(scale=preparation.scale)
        functions += _square_functions(reduced)
    return _SCRIPT.format(
        file=FILE,
        notice=NOTICE,
        packages=_PACKAGES,
        future="from __future__ import annotations\n\n" if functions else "",
        size=preparation.stored_size,
        draft=_DRAFT.format(scale=preparation.scale) if reduced else "",
        square=square,
        functions=functions,
        colours=colours,
    )


def _square_functions(reduced: bool) -> str:
    """The functions that cut out the centre square."""
    named: list[Any] = [square_side, centre_square]
    head = []
    if reduced:
        head = [f"from typing import NamedTuple\n\nFACTORS = {FACTORS}"]
        named += [Reduced, largest_factor, reduced_square]
    return "\n\n\n".join([*head, *(inspect.getsource(one).rstrip() for one in named)]) + "\n\n"


def _hue_lines(preparation: Preparation) -> str:
    low, high = preparation.hue_low, preparation.hue_high
    robust = preparation.hue == "robust"
    lines = _HUE.format(
        **(_ROBUST if robust else _PAPER), low=low, width=high - low, middle=(low + high + 1) // 2
    )
    if robust:
        lines = lines.replace("least, most =", _COUNTS.format(least=hue.MIN_SATURATION) + "least, most =")
    return lines


def _stain_functions(method: str) -> str:
    names, functions = _STAIN[method]
    constants = "\n".join(map(_constant, names))
    return "\n\n\n".join([constants, *(inspect.getsource(function).rstrip() for function in functions), ""])


def _background_functions(*, bare: bool) -> str:
    """The functions that match the background, with the constants that stain normalisation may bring too."""
    named = (stain.background_light, stain.match_background, *((stain._to_bytes,) if bare else ()))
    constants = [f"LIGHT = {stain.LIGHT}", f"MAX_GAIN = {stain.MAX_GAIN}"]
    return "\n\n\n".join(["\n".join(constants), *(inspect.getsource(one).rstrip() for one in named), ""])


def _constant(name: str) -> str:
    if name == "_LOGARITHM":
        return "_LOGARITHM = np.log(np.arange(256) + 1).astype(np.float32)"
    value = getattr(stain, name)
    return f"{name} = np.array({value.tolist()})" if np.ndim(value) else f"{name} = {float(value)}"
