"""What we recommend for crops of your own: a start from the included model `cells`.

    python main.py --config=configs/own_cells.py --workdir=runs/mine \
      --config.data.source=folder --config.data.path=DIR

`cells` is an EfficientNet-Lite0 that was trained on ImageNet's images, then on 13,000 blood and marrow cells
of two laboratories. On marrow cells, with 20 images a class, such a network that had seen blood cells alone
was eight points better than a small network that had seen the same, and sixteen better than random weights
(results/few_labels.md, three draws). This recipe itself has not been run on cells of a third laboratory. The
number of images decides how many epochs it trains; the start of the run says how many.

Size and scale are those that `cells` knows: one cell in the middle of its crop, of which the outer eighth on
each side is not looked at. Where cells fill the crop, the start of the run says so, and which settings show
the whole. The layer is left out (docs/methods_compared.md); `quickstart.py` has it.
"""

from ml_collections import ConfigDict

from asae_jax.config import recipe


def get_config() -> ConfigDict:
    config = recipe("quickstart")
    config.data.source = "synthetic"
    config.data.specimen = ""
    config.model.branching = "none"
    config.loss.name = "ce"
    config.init.head_rate = 1.0
    config.optimizer.learning_rate = 5e-4
    config.train.batch_size = 0  # chosen for your classes and cores
    config.train.epochs = 0  # chosen for your number of images
    return config
