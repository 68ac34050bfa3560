"""What is known of public sets of blood and marrow cells: cards, class maps, TFDS builders.

Nothing is downloaded: licences and registrations are between the user and the laboratory. Importing
this package loads no TensorFlow Datasets; a builder's module is imported when its class is asked for.
"""

import importlib
from typing import Any

BUILDERS = {
    name: f".{name}.{name}_dataset_builder:Builder"
    for name in (
        "aml_cytomorphology_lmu",
        "bloodmnist",
        "bm_cytomorphology",
        "mll23",
        "pbc_acevedo",
        "raabin_wbc",
        "wbcbench2026",
    )
}
"""Name of each set -> "module:class" of its builder, relative to this package."""


def builder_class(name: str) -> Any:
    """The builder of a set in `BUILDERS`; after this call `tfds.builder(name)` finds it too.

    Args:
      name: "mll23", or "pbc_acevedo/maturity": what follows the slash is the caller's affair.

    Raises:
      KeyError: no such set here.
    """
    module, _, attribute = BUILDERS[name.partition("/")[0]].partition(":")
    return getattr(importlib.import_module(module, __name__), attribute)
