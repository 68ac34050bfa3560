"""The parameters of auxiliary batch normalisation (AdvProp, Xie et al., CVPR 2020) among the variables.

In training every altered branch has a scale and bias of its own (`layers.BatchNorm`); the test passes the
main ones. They are parameters like others for gradient, weight decay, moving average and checkpoint, and no
part of what is scored, exported or taken from other networks.
"""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp

AUXILIARY = {"scale": "auxiliary_scale", "bias": "auxiliary_bias"}
"""Parameters of batch normalisation -> those of the altered branches, `[branches - 1, channels]`."""


def without_auxiliary(variables: Mapping[str, Any]) -> dict[str, Any]:
    """Nested variables without the parameters that only altered branches use in training."""
    return {
        name: without_auxiliary(value) if isinstance(value, Mapping) else value
        for name, value in variables.items()
        if name not in AUXILIARY.values()
    }


def copied_to_auxiliary(loaded: Mapping[str, Any], like: Mapping[str, Any]) -> dict[str, Any]:
    """Nested variables `loaded`, and for the auxiliary parameters in `like` copies of the main ones.

    So all branches start from pretrained weights, as in timm's `convert_splitbn_model`.

    Args:
      loaded: variables without auxiliary parameters.
      like: variables of the same network, whose auxiliary parameters tell which there are.
    """
    full = {
        name: copied_to_auxiliary(loaded[name], value) if isinstance(value, Mapping) else loaded[name]
        for name, value in like.items()
        if name not in AUXILIARY.values()
    }
    copies = {
        name: jnp.broadcast_to(loaded[main], like[name].shape)
        for main, name in AUXILIARY.items()
        if name in like
    }
    return full | copies
