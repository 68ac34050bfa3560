"""The two compiled steps: what the network looks at, and what it says when something is hidden."""

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from asae_jax.errors import UserError
from asae_jax.inference.alignment import Grid, grid_of
from asae_jax.inference.explain import hiding
from asae_jax.inference.explain.gradcam import grad_cams
from asae_jax.inference.explain.maps import LayerMaps, layer_maps
from asae_jax.inference.trained import Trained
from asae_jax.models.network import Network
from asae_jax.training import parallel
from asae_jax.types import Images, Scores


class Seen(NamedTuple):
    """What the network makes of a batch."""

    log_probs: Scores
    """float32 `[batch, classes]`"""
    maps: LayerMaps
    """Of the stage that the layer follows, or would follow."""
    grad_cams: dict[str, jax.Array]
    """Of that stage and of the last one, by name: float32 `[batch, 2, height, width]`, of the predicted and
    of the true class, before the ReLU."""


class Explainer:
    """A trained run, made ready for batches of one size; each of the two steps compiles once.

    Attributes:
      stages: where maps are taken, see `explained_stages`.
      grids: where the cells of each of them lie.
    """

    def __init__(self, run: Trained, *, fill: str):
        """Takes the run, and how hidden regions are filled (see `hiding.hide`)."""
        parts: dict[str, Any] = {"network": run.network, "preprocess": run.preprocess}
        self.stages = explained_stages(run.network)
        self.grids = _grids(run, self.stages)
        self._see = parallel.parallel_score(
            functools.partial(see_step, **parts, stages=self.stages, settings=run.config.asae)
        )
        self._hide = parallel.parallel_score(
            functools.partial(hide_step, **parts, grid=self.grids[self.stages[0]], fill=fill)
        )
        self._variables = parallel.place(dict(run.variables))

    def see(self, images: np.ndarray, labels: np.ndarray) -> Seen:
        """What the network makes of images, on the host.

        Args:
          images: uint8 `[batch, stored, stored, 3]`.
          labels: int32 `[batch]`, -1 where not known.

        Raises:
          UserError: scores that are not finite.
        """
        seen = self._see(self._variables, parallel.split({"image": images, "label": labels}))
        seen = jax.tree.map(parallel.join, seen)
        if not np.isfinite(seen.log_probs).all():
            raise UserError("the network's scores are not finite: the run has diverged, train another one.")
        return seen

    def hide(self, images: np.ndarray, region: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Log-probabilities `[batch, classes]` with `region` hidden, and how much that changed `[batch]`.

        Args:
          images: uint8 `[batch, stored, stored, 3]`.
          region: bool `[batch, height, width]`.
        """
        log_probs, change = self._hide(self._variables, parallel.split({"image": images, "region": region}))
        return parallel.join(log_probs), parallel.join(change)


def explained_stages(network: Network) -> tuple[str, ...]:
    """The stage that the layer follows, or would follow, and the last one: one name where they are the same.

    Rivals of the layer may act on class maps, which are no stage: then it is the last.
    """
    stages = network.backbone.stage_names
    inserted = network.insert_after if network.insert_after in stages else stages[-1]
    return tuple(dict.fromkeys((inserted, stages[-1])))


def _grids(run: Trained, stages: tuple[str, ...]) -> dict[str, Grid]:
    """Where the cells of each stage lie; nothing is computed."""
    size = run.config.augment.size
    images = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
    apply = functools.partial(run.network.apply, train=False, return_endpoints=True)
    endpoints: Any = jax.eval_shape(apply, run.variables, images)[1]
    return {name: grid_of(run.network.backbone, endpoints[name].shape[-2], size) for name in stages}


def see_step(
    variables: Mapping[str, Any],
    batch: Mapping[str, jax.Array],
    *,
    network: Network,
    preprocess: Any,
    stages: tuple[str, ...],
    settings: ConfigDict,
) -> Seen:
    """One device's share of a batch; see `Seen` and `explained_stages`, and `maps` for `settings`."""
    images = preprocess(batch["image"])
    logits, endpoints, cams = grad_cams(network, variables, images, stages, batch["label"])
    return Seen(jax.nn.log_softmax(logits), layer_maps(endpoints[stages[0]], settings), cams)


def hide_step(
    variables: Mapping[str, Any],
    batch: Mapping[str, jax.Array],
    *,
    network: Network,
    preprocess: Any,
    grid: Grid,
    fill: str,
) -> tuple[Scores, jax.Array]:
    """Log-probabilities of one device's share with `region` hidden, and `hiding.change`."""
    images: Images = preprocess(batch["image"])
    hidden = hiding.hide(images, batch["region"], grid, fill=fill)
    logits: Any = network.apply(variables, hidden, train=False)
    return jax.nn.log_softmax(logits), hiding.change(images, hidden, batch["region"], grid)
