"""`tiny_config` as a configuration file."""

from tests.training.tiny import tiny_config


def get_config():
    return tiny_config()
