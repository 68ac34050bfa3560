"""A few thousand crops of your own on a CPU, from random weights: a plain network, trained long enough.

    python main.py --config=configs/own_cells_scratch.py --workdir=runs/mine \
      --config.data.source=folder --config.data.path=DIR

For cells that `own_cells.py` does not fit, whose start has seen single blood and marrow cells in the middle
of their crops. What matters most is the number of epochs: on real cells 40 instead of 18 brought three to
twelve points. The layer is left out: in two searches on validation images (results/search.md) no variant of
it was better than the plain network beyond chance. `own_cells_asae.py` has the layer. The hue is left alone:
on real cells it seems to carry information (results/exploration.md, one seed).

Measured was a quarter of ResNet-18's width (`--config.model.width=16`), 40 epochs of 1,580 images in about
six minutes on one core. At half width, as here, it has not been run to its end.
"""

from ml_collections import ConfigDict

from asae_jax.config import recipe


def get_config() -> ConfigDict:
    config = recipe("drawn_cells")
    config.data.hue = "none"
    config.model.branching = "none"
    config.loss.name = "ce"
    config.train.batch_size = 0  # chosen for your classes and cores
    config.train.epochs = 40
    return config
