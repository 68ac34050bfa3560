"""`own_cells_scratch.py` with the layer, in the variant that a search on validation images chose.

    python main.py --config=configs/own_cells_asae.py --workdir=runs/mine \
      --config.data.source=folder --config.data.path=DIR

The layer is not as printed. Beside the suppressed and the enhanced branch there is a plain one; each branch
has to classify by itself, and all are asked to agree; the enhancement keeps the mean of the features; and the
statistics for the test are those of the plain branch. So the network is trained as it is tested, and the
layer adds views of the features. On test images it was behind the plain network (results/search.md).
"""

from ml_collections import ConfigDict

from asae_jax.config import recipe


def get_config() -> ConfigDict:
    config = recipe("own_cells_scratch")
    config.model.branching = "asae"
    config.model.running_statistics = "plain"
    config.asae.branches = "plain,suppress,enhance"
    config.loss.branches = "mean_loss"
    config.loss.agreement = 1.0
    return config
