"""How the tests run a backbone's later stages on two branches."""

from functools import partial

import jax
import jax.numpy as jnp

from tests.quick import quick_options


def run_in_branches(model, variables, images):
    """(endpoints, logits) at test; after layer2 the batch is branch 0 and the batch reversed branch 1."""
    run = jax.jit(partial(model.apply, method=_run), compiler_options=quick_options())
    return run(variables, images)


def _run(network, x):
    endpoints = {}
    for name in network.backbone.stage_names:
        x = endpoints[name] = network.backbone.apply_stage(name, x, train=False)
        x = jnp.stack([x, x[::-1]]) if name == "layer2" else x
    return endpoints, network.backbone.classify(x)
