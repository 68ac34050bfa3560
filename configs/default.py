"""Every setting at its default: the paper's values where it states them.

The settings themselves, with their meaning and range, are the field table in `asae_jax/config/fields.py`; the
documentation's settings page shows it. Other files in this folder change a few of them.
"""

from ml_collections import ConfigDict

from asae_jax.config import base_config


def get_config() -> ConfigDict:
    return base_config()
