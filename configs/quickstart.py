"""The whole method in minutes on a two-core CPU: ResNet-18 with ASAE on small built-in cells.

    python main.py --config=configs/quickstart.py

At 64 px the standard stem would leave a 4x4 map in front of the layer, with one peak and nothing to
choose; without its max-pool the map is 8x8, and the suppression area is a share of it. The rate is higher
than the paper's, which has 60 epochs of 145 steps.
"""

from ml_collections import ConfigDict

from configs import default


def get_config() -> ConfigDict:
    config = default.get_config()
    config.data.num_examples = 2800
    config.data.stored_size = 72
    config.augment.size = 64
    config.model.name = "resnet18"
    config.model.stem = "no_pool"
    config.asae.area = 0.18
    config.optimizer.learning_rate = 0.02
    config.optimizer.schedule = "cosine"
    config.optimizer.warmup_epochs = 0.5
    config.train.batch_size = 70
    config.train.epochs = 6
    return config
