"""All layers trained on the labels, and honest scores of them: from copies that have not seen their fold.

The recipe is that of `benchmarks/few_labels.py`, fixed beforehand: SGD at a low rate from the run's weights,
every class drawn equally often, a moving average of the weights, and as many steps for every fold. It is a
plain training by cross entropy: no branching layer, nothing frozen.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from ml_collections import ConfigDict

from asae_jax.config import copy_with
from asae_jax.evaluation.outliers import fit_neighbours, neighbour_distances
from asae_jax.input.sampler import rows_by_label
from asae_jax.run import build, parallel
from asae_jax.run.devices import ADAPTING, within_memory
from asae_jax.run.run import Run
from asae_jax.run.state import TrainState
from asae_jax.terminal import Bar

_RATE, _MOMENTUM, _DECAY, _AVERAGE, _BATCH = 0.01, 0.9, 5e-4, 0.98, 30

_SETTINGS = {
    "model.branching": "none", "loss.name": "ce", "loss.label_smoothing": 0.0, "loss.agreement": 0.0,
    "augment.mix": "none", "init.freeze": "", "init.views": 0, "optimizer.ema_decay": _AVERAGE,
    "train.accumulate": 1,
}  # fmt: skip

_Variables = Mapping[str, Any]
_Score = Callable[[_Variables, np.ndarray], tuple[np.ndarray, np.ndarray]]


@within_memory(ADAPTING)
def cross_fit_all(
    run: Run,
    variables: _Variables,
    images: np.ndarray,
    labels: np.ndarray,
    score: _Score,
    folds: list[np.ndarray],
) -> tuple[_Variables, np.ndarray, np.ndarray]:
    """A network trained on all labels, and what copies that have not seen an image's fold say of it.

    Args:
      run: whose settings say how images are seen, and `adapt.epochs`.
      variables: to start from; they stay as they are.
      images: uint8 `[N, stored, stored, 3]`, prepared.
      labels: int `[N]`.
      score: `(variables, images) -> logits [n, classes], features [n, channels]`.
      folds: bool `[N]` each, of the images that are left out.

    Returns:
      Variables of the network; logits `[N, classes]`; distances `[N]` of each image to those that its copy
      was trained on, see `neighbour_distances`.
    """
    size = parallel.round_up_to_devices(min(_BATCH, len(labels)))
    steps = run.config.adapt.epochs * -(-len(labels) // size)
    optimizer = _optimizer(steps, warmup=steps // run.config.adapt.epochs)
    without_adl = run.config.model.name.removeprefix("adl_")  # the same weights fit
    config = copy_with(run.config, _SETTINGS | {"model.name": without_adl}).lock()
    update = build.compiled_train_step(config, run.num_classes, optimizer)
    logits, distances = np.zeros((len(labels), run.num_classes), np.float32), np.empty(len(labels))
    with Bar("training all layers", (len(folds) + 1) * steps, "step", compiles=1) as bar:

        def trained(rows: np.ndarray) -> _Variables:
            state = _start(variables, optimizer)
            for batch in _drawn(labels[rows], size, steps, config):
                chosen = rows[batch]
                share = parallel.split({"image": images[chosen], "label": labels[chosen].astype(np.int32)})
                state, _ = update(state, share)
                bar.update()
            return state.variables()

        for test in folds:
            copy = trained(np.flatnonzero(~test))
            found, features = score(copy, images)
            logits[test] = found[test]
            distances[test] = neighbour_distances(fit_neighbours(features[~test]), features[test])
        return trained(np.arange(len(labels))), logits, distances


def _start(variables: _Variables, optimizer: optax.GradientTransformation) -> TrainState:
    weights = {name: variables[name] for name in ("params", "batch_stats")}
    state = TrainState(
        step=jnp.zeros((), jnp.int32),
        opt_state=optimizer.init(weights["params"]),
        average=jax.tree.map(jnp.copy, weights),
        **weights,
    )
    return parallel.place(state)  # a copy, which the first step may use up


def _optimizer(steps: int, *, warmup: int) -> optax.GradientTransformation:
    rate = optax.warmup_cosine_decay_schedule(0.0, _RATE, min(warmup, steps - 1), steps)
    return optax.chain(
        optax.add_decayed_weights(_DECAY, mask=_kernels),
        optax.trace(decay=_MOMENTUM, nesterov=True),
        optax.scale_by_learning_rate(rate),
    )


def _kernels(params: Any) -> Any:
    return jax.tree_util.tree_map_with_path(lambda path, _: path[-1].key == "kernel", params)


def _drawn(labels: np.ndarray, size: int, steps: int, config: ConfigDict) -> list[np.ndarray]:
    """Rows of each batch, int `[size]`: every class of the labels as often, whatever their number.

    Each class comes once before any comes again, over the ends of batches too.
    """
    rng = np.random.default_rng(config.seed)
    of_class = [rows for _, rows in rows_by_label(labels)]
    rounds = [rng.permutation(len(of_class)) for _ in range(-(-steps * size // len(of_class)))]
    order = np.concatenate(rounds)[: steps * size].reshape(steps, size)
    return [np.array([rng.choice(of_class[number]) for number in one]) for one in order]
