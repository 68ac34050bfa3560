"""The paper's full method: ResNet-50, ASAE after layer3, GMMCE, hue adjustment, balanced batches.

    python main.py --config=configs/resnet50_asae.py --config.data.source=folder --config.data.path=DIR

Without `data.source` and `data.path` it trains on drawn cells (15,252 images of 14 classes, 224 px, 60
epochs). It is meant for a GPU: on two CPU cores its first steps took 35 s each, which makes three days, and
we have not run it to its end. The batch size is the paper's; for another number of classes than 14 give a
multiple of that number (`--config.train.batch_size=...`), or 0 for one that fits. The paper's data are
private, so its 77.63 % cannot be checked.
"""

from ml_collections import ConfigDict

from asae_jax.config import base_config


def get_config() -> ConfigDict:
    config = base_config()
    config.train.batch_size = 84
    return config
