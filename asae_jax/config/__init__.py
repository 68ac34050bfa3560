"""The settings: the table of them all, the configuration of a run, its files, and its checks.

Nothing here loads JAX.
"""

from asae_jax.config.checks import check, check_new
from asae_jax.config.fields import (
    BRANCHES,
    BY_NAME,
    FIELDS,
    MODELS,
    NEUTRAL,
    SECTIONS,
    SOURCES,
    SPECIMENS,
    Field,
    Section,
    decides_weights,
    find_field,
    is_source,
)
from asae_jax.config.idle import unused
from asae_jax.config.recipes import (
    CONFIG_FILE,
    RUN_FILE,
    load_recipe,
    read_run_config,
    recipe,
    recipe_file,
    refused_places,
    warn_of_unknown,
)
from asae_jax.config.values import (
    SIGNED,
    base_config,
    branch_names,
    colour_of,
    completed,
    copy_with,
    flatten,
    set_field,
)

__all__ = [
    "BRANCHES",
    "BY_NAME",
    "CONFIG_FILE",
    "FIELDS",
    "MODELS",
    "NEUTRAL",
    "RUN_FILE",
    "SECTIONS",
    "SIGNED",
    "SOURCES",
    "SPECIMENS",
    "Field",
    "Section",
    "base_config",
    "branch_names",
    "check",
    "check_new",
    "colour_of",
    "completed",
    "copy_with",
    "decides_weights",
    "find_field",
    "flatten",
    "is_source",
    "load_recipe",
    "read_run_config",
    "recipe",
    "recipe_file",
    "refused_places",
    "set_field",
    "unused",
    "warn_of_unknown",
]
