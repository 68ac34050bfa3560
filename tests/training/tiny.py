"""A configuration that trains in seconds: the real code at a tiny size."""

import contextlib
from collections.abc import Iterator
from functools import partial

import pytest
from ml_collections import ConfigDict

from asae_jax import models
from asae_jax.config import base_config
from asae_jax.models.backbones.resnet import BasicBlock, ResNet

NUM_CLASSES = 14
BATCH_SIZE = 56
"""A multiple of the 14 built-in classes and of the 8 virtual devices."""
STAGES = (1, 1, 1, 1)
"""Blocks of each stage of the `shallow` ResNet-18."""


def tiny_config(**changes: object) -> ConfigDict:
    """ResNet-18 of width 8 with ASAE on 32 px cells; `changes` as `section__field=value`."""
    config = base_config()
    config.data.num_examples = 160
    config.data.stored_size = 36
    config.augment.size = 32
    config.model.name = "resnet18"
    config.model.stem = "small"
    config.model.width = 8
    config.asae.area = 0.18
    config.optimizer.learning_rate = 0.05
    config.train.batch_size = BATCH_SIZE
    config.train.epochs = 2
    config.train.log_every = 2
    config.eval.bootstrap = 20
    config.eval.batch_size = 32
    for name, value in changes.items():
        section, field = name.split("__")
        config[section][field] = value
    return config


@contextlib.contextmanager
def shallow() -> Iterator[None]:
    """ResNet-18 with one block a stage: half of the time of such tests would be XLA's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(models.MODELS, "resnet18", partial(ResNet, block=BasicBlock, stage_sizes=STAGES))
        yield
