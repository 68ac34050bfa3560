"""A comparison on real cells (results/exploration.md): half-width ResNet-18, 64 px, 12 epochs on a CPU.

    python main.py --config=configs/comparison.py --workdir=DIR --config.seed=SEED \
      --config.data.source=folder --config.data.path=CELLS --config.train.batch_size=BATCH [ROW]

with BATCH 66 for the 11 classes of blood and 64 for the 8 of marrow, and ROW one of

    as printed:   (nothing)
    plain:        --config.model.branching=none --config.loss.name=ce --config.data.hue=none \
                  --config.data.sampler=shuffled
    mean-keeping: --config.asae.enhancement=sigmoid_mean1 --config.data.hue=none

The rows with the same weights are `python main.py evaluate --workdir=DIR --name=NAME` with
`--batch_statistics=reestimate` or `--test_mode=mean`. The measured runs had one thread each; on another
machine rounding differs, and with it the course of a training.
"""

from ml_collections import ConfigDict

from asae_jax.config import base_config


def get_config() -> ConfigDict:
    config = base_config()
    config.data.stored_size = 72
    config.augment.size = 64
    config.model.name = "resnet18"
    config.model.stem = "no_pool"
    config.model.width = 32
    config.asae.area = 0.18
    config.optimizer.learning_rate = 0.05
    config.optimizer.schedule = "cosine"
    config.optimizer.warmup_epochs = 0.5
    config.train.batch_size = 84
    config.train.epochs = 12
    return config
