"""`predict_onnx.py` of an export: one image through `model.onnx`, in a few lines without this package.

What a run does to the colours is written into it: the functions themselves, as text.
"""

from collections.abc import Callable
from typing import Any

from asae_jax.inference.export.program import Program
from asae_jax.inference.export.sources import joined, needed
from asae_jax.input import hue, stain
from asae_jax.input.preparation import Preparation, centre_square
from asae_jax.input.reduced import largest_factor, reduced_square, square_side
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
{typing}
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


def onnx_script(program: Program) -> str:
    """The content of `predict_onnx.py`, with the preparation of the program's run."""
    preparation = program.run.preparation
    colours, functions = _colours(preparation)
    square = _SQUARE
    reduced = preparation.decoding == "reduced"
    if reduced or preparation.scale != 1:
        square = (_REDUCED if reduced else _SCALED).format(scale=preparation.scale)
        functions += [centre_square, *([largest_factor, reduced_square] if reduced else [square_side])]
    return _SCRIPT.format(
        file=FILE,
        notice=NOTICE,
        packages=_PACKAGES,
        future="from __future__ import annotations\n\n" if functions else "",
        size=preparation.stored_size,
        draft=_DRAFT.format(scale=preparation.scale) if reduced else "",
        typing="from typing import NamedTuple\n" if reduced else "",
        square=square,
        functions=f"{joined(needed(*functions))}\n" if functions else "",
        colours=colours,
    )


def _colours(preparation: Preparation) -> tuple[str, list[Callable[..., Any]]]:
    """The lines that change the colours, and the functions that they call."""
    lines: list[str] = []
    functions: list[Callable[..., Any]] = []
    if preparation.background:
        functions.append(stain.match_background)
        lines.append(f"image = match_background(image, {preparation.background})\n")
    if preparation.stain != "none":
        normalize = stain.METHODS[preparation.stain]
        functions.append(normalize)
        lines.append(f"image = {normalize.__name__}(image)\n")
    if preparation.hue != "none":
        low, high, table = preparation.hue_low, preparation.hue_high, hue.MODES[preparation.hue]
        functions += [hue._looked_up, table]
        lines.append(f"image = _looked_up(image, {low}, {high}, {table.__name__})\n")
    return "".join(lines), functions
