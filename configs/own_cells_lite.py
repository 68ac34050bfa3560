"""Few labelled crops of your own: a start from the included model `blood11`, an EfficientNet-Lite0.

    python main.py --config=configs/own_cells_lite.py --workdir=runs/mine \
      --config.data.source=folder --config.data.path=DIR

That network comes from ImageNet's images by way of 9,212 blood cells. With 20 marrow cells of each of 8
classes it was right in 70.5 % of the validation images, where a small ResNet from the same blood cells was in
60.9 % and random weights in 55.0 (two draws, results/few_labels.md). A step takes twice as long as that of
`own_cells.py`, whose size, scale, and numbers of epochs and of images a batch it has.
"""

from ml_collections import ConfigDict

from asae_jax.config import recipe


def get_config() -> ConfigDict:
    config = recipe("own_cells")
    config.init.pretrained = "blood11"
    config.model.name = "efficientnet_lite0"
    config.model.width = 64
    config.optimizer.name = "adamw"
    config.optimizer.learning_rate = 5e-4
    config.optimizer.weight_decay = 0.01
    return config
