"""A few hundred crops of your own: from the included model `cells` instead of random weights.

    python main.py --config=configs/own_cells_pretrained.py --workdir=runs/mine \
      --config.data.source=folder --config.data.path=DIR

A plain network, as in `own_cells.py`, at the size and scale that `cells` knows: crops with one cell in the
middle, of which the outer eighth on each side is not looked at. Where your cells fill the crop, raise
`augment.size` to `data.stored_size`, and the two shares with it. What a start from another
laboratory brings is in results/few_labels.md; this recipe itself has not been run on cells of a third one.
"""

from ml_collections import ConfigDict

from asae_jax.config import recipe


def get_config() -> ConfigDict:
    config = recipe("quickstart")
    config.data.source = "synthetic"
    config.data.specimen = ""
    config.model.branching = "none"
    config.loss.name = "ce"
    config.train.batch_size = 0
    config.train.epochs = 15
    return config
