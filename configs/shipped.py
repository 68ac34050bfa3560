"""What the networks in `data/models/` share: how images are shown, and how they are trained.

    python -m data.models.images manifest FOLDER ... --output=blood.csv --classes=blood
    python main.py --config=configs/shipped.py --workdir=runs/blood96 --config.data.path=blood.csv

trains a half-width ResNet-18 from random weights, from which comparisons in `results/` start. The included
models are EfficientNet-Lite0 from ImageNet's weights: the commands in their cards also give network, size and
optimiser. Cells lie in the middle of their images, and fill a third to two thirds of the side: of the 128
pixels only the middle 96 are shown, so that cells are larger at the same cost.
"""

from ml_collections import ConfigDict

from asae_jax.config import base_config


def get_config() -> ConfigDict:
    config = base_config()
    config.data.source = "csv"
    config.data.stored_size = 128
    config.data.hue = "none"
    config.data.sampler = "shuffled"
    config.augment.size = 96
    config.augment.scale_min = 0.48
    config.augment.scale_max = 0.72
    config.augment.brightness = 0.15
    config.augment.contrast = 0.15
    config.augment.saturation = 0.15
    config.model.name = "resnet18"
    config.model.width = 32
    config.model.branching = "none"
    config.loss.name = "ce"
    config.loss.label_smoothing = 0.1
    config.optimizer.learning_rate = 0.05
    config.optimizer.nesterov = True
    config.optimizer.weight_decay = 5e-4
    config.optimizer.decay_all = False
    config.optimizer.schedule = "cosine"
    config.optimizer.warmup_epochs = 1.0
    config.optimizer.ema_decay = 0.998
    config.train.batch_size = 64
    config.train.epochs = 24
    return config
