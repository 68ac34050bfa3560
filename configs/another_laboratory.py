"""Training for other laboratories: `shipped` with images varied in scale, stain, light and sharpness.

    python main.py --config=configs/another_laboratory.py --workdir=runs/mine --config.data.path=cells.csv

Cells are shown at 0.6 to 1.7 times the size that the network sees at test, enlarged as often as reduced: in
two public sets, of blood and of marrow, nuclei differ by a factor of 1.6. Stain and light vary a little more
than between these two. What it was worth: docs/another_laboratory.md. With `--config.model.norm=group` (not
measured) the network keeps no statistics of the training images that `adapt` would have to estimate again.
"""

from ml_collections import ConfigDict

from asae_jax.config import recipe


def get_config() -> ConfigDict:
    config = recipe("shipped")
    config.augment.scale_min = 0.2
    config.augment.scale_max = 1.55
    config.augment.scale_even = "logarithm"
    config.augment.stain = 0.4
    config.augment.light = 0.2
    config.augment.brightness = 0.2
    config.augment.contrast = 0.2
    config.augment.saturation = 0.2
    config.augment.blur = 1.0
    config.augment.jpeg = 40.0
    return config
