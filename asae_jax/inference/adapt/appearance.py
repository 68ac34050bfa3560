"""Scale, background and stain of the other laboratory's images, brought to those the network knows."""

import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from asae_jax.config import colour_of, copy_with
from asae_jax.errors import UserError
from asae_jax.inference.adapt.cells import MEASURED, measured_nuclei, raw_images
from asae_jax.inference.inputs import Item, read_input
from asae_jax.input.appearance import evenly, scale_between
from asae_jax.input.preparation import SCALES
from asae_jax.input.run_split import SPLITS_FILE, read_records
from asae_jax.input.stain import background_light
from asae_jax.run import digests
from asae_jax.run.data import data_root
from asae_jax.run.model_folder import holds_model
from asae_jax.run.run import Run


def adapted(run: Run, items: Sequence[Item]) -> tuple[Run, dict[str, Any], dict[str, Any]]:
    """The run with another preparation of images, the settings that changed, and what to record.

    Args:
      run: to be adapted.
      items: of the other laboratory.

    Raises:
      UserError: the run's own images are needed and not there, or a scale out of range.
    """
    settings = run.config.adapt
    changes: dict[str, Any] = {}
    record: dict[str, Any] = {}
    own_light = run.config.data.background  # to which the run's preparation brings all images already
    matched = settings.background == "match" and not own_light
    template = _template(run) if settings.scale == 0 or matched else []
    if settings.scale == 0:
        scale, low, high = scale_between(measured_nuclei(template), measured_nuclei(items))
        if not SCALES[0] <= scale <= SCALES[1]:
            raise UserError(
                f"nuclei seem to be {1 / scale:.3g} times as large as in the run's own images, which cannot "
                "be right: give the enlargement, --scale=NUMBER."
            )
        changes["data.scale"] = round(_in_all(scale, run.config.data.scale), 4)
        record["scale"] = {"value": scale, "interval": [low, high], "estimated": True}
    elif settings.scale != 1:
        changes["data.scale"] = _in_all(settings.scale, run.config.data.scale)
        record["scale"] = {"value": settings.scale, "estimated": False}
    if settings.background == "match" and own_light:
        record["background"] = list(colour_of(own_light))
    elif matched:
        light = np.median(_background_lights(template), axis=0)
        changes["data.background"] = ",".join(f"{value:.0f}" for value in light)
        record["background"] = light.round(1).tolist()
    if settings.stain != "keep":
        changes |= {"data.stain": settings.stain, "data.hue": "none"}
        record["stain"] = settings.stain
    config = copy_with(run.config, changes).lock()
    return _OfOtherImages(run, config), changes, {"appearance": record}


def _in_all(scale: float, own: float) -> float:
    """The enlargement of a run that enlarges by `own` already.

    Raises:
      UserError: it is out of range; the message says which `scale` is not.
    """
    low, high = SCALES
    if low <= scale * own <= high:
        return scale * own
    already = "" if own == 1 else f"the run enlarges cells {own:g} times already, and "
    least, most = math.ceil(1000 * low / own) / 1000, math.floor(1000 * min(high / own, high)) / 1000
    raise UserError(
        f"--scale={scale:.3g}: {already}{low:g} to {high:g} times in all can be made: give "
        f"--scale={least:g} to --scale={most:g}."
    )


class _OfOtherImages(Run):
    """A run with the weights of another and settings of its own."""

    def __init__(self, run: Run, config: Any):
        super().__init__(run.workdir, config, run.class_names)
        self._of = run

    @property
    def _weights(self) -> Any:  # the folder's settings are those of `run`
        return self._of.variables, self._of.step


def _template(run: Run) -> Sequence[Item]:
    """Images of the run's own laboratory: those given, or else of its training part."""
    given = run.config.adapt.template
    if given:
        return evenly(read_input(given), MEASURED)
    root, splits = data_root(run.config), run.workdir / SPLITS_FILE
    if holds_model(run.workdir) or root is None or not splits.exists():
        raise UserError(
            "scale and background are taken from training images of the run's own laboratory, which are not "
            "here: give some, --template=FOLDER, or --scale=NUMBER and --background=keep."
        )
    digests.check_unchanged(run.workdir, SPLITS_FILE)
    names = [name for name, row in read_records(splits).items() if row.split == "train"]
    return [Item(name, os.path.abspath(root / name)) for name in evenly(names, MEASURED)]


def _background_lights(items: Sequence[Item]) -> list[np.ndarray]:
    """See `background_light`, of the images that can be read."""
    found = [background_light(pixels) for pixels in raw_images(items)]
    if not found:
        raise UserError(
            "not one image of the run's own laboratory can be read: give others, --template=FOLDER."
        )
    return found
