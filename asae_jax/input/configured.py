"""Table and preparation as the section `data` of a configuration says: for training and audit alike."""

from ml_collections import ConfigDict

from asae_jax.input.prepare import Preparation
from asae_jax.input.sources import load_table
from asae_jax.input.table import Table


def configured_table(settings: ConfigDict) -> Table:
    """The table that `settings`, the section `data`, describe.

    Raises:
      UserError: data that cannot be found or used.
    """
    return load_table(
        settings.source,
        path=settings.path,
        num_examples=settings.num_examples,
        seed=settings.synthetic_seed,
        size=settings.stored_size,
        group_feature=settings.group_feature,
        class_map=settings.class_map,
    )


def configured_preparation(settings: ConfigDict) -> Preparation:
    """What `settings`, the section `data`, do to each image."""
    return Preparation(
        stored_size=settings.stored_size,
        hue=settings.hue,
        hue_low=settings.hue_low,
        hue_high=settings.hue_high,
        stain=settings.stain,
    )
