"""What is exported: the function from prepared images to logits and calibrated probabilities."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from asae_jax.inference.trained import Trained, load_trained
from asae_jax.models.network import Network
from asae_jax.training import build
from asae_jax.training.trust import read_matching_trust
from asae_jax.trust import Trust


@dataclasses.dataclass(frozen=True)
class Program:
    """A trained network with everything around it that belongs into the graph.

    It computes in float32, whatever `model.dtype` of the run is: runtimes differ in what else they can.

    Attributes:
      trained: the run.
      network: its network, the layer treated as `eval.test_mode` says.
      trust: what was measured for this checkpoint and way of testing, or None.
    """

    trained: Trained
    network: Network
    trust: Trust | None

    @property
    def temperature(self) -> float:
        """Logits are divided by it before the softmax; 1 where no calibration was measured."""
        return 1.0 if self.trust is None else self.trust.temperature.value

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of a prepared image."""
        size = self.trained.preparation.stored_size
        return size, size, 3

    @functools.cached_property
    def plain(self) -> "Program":
        """The same without the branching layer: what the weights alone, in another framework, compute."""
        if self.network.branching is None or self.network.test_mode == "skip":
            return self
        return dataclasses.replace(self, network=self.network.clone(branching=None))

    def __call__(self, images: jax.Array) -> dict[str, jax.Array]:
        """Scores of prepared images.

        Args:
          images: uint8 RGB `[batch, stored, stored, 3]`, as the run's preparation gives them.

        Returns:
          `logits` and `probabilities`, float32 `[batch, classes]`; centre crop and normalisation are done
          here. (In test mode "mean" the logits are log-probabilities.)
        """
        return self._scores(self.trained.variables, images)

    def scores(self, images: np.ndarray, variables: Mapping[str, Any] | None = None) -> dict[str, np.ndarray]:
        """The same for arrays, computed by Flax at full precision; with other weights if some are given."""
        weights = self.trained.variables if variables is None else variables
        with jax.default_matmul_precision("highest"):
            return {name: np.asarray(array) for name, array in self._compiled(weights, images).items()}

    @functools.cached_property
    def _compiled(self) -> Callable[..., dict[str, jax.Array]]:
        return jax.jit(self._scores)

    def _scores(self, variables: Mapping[str, Any], images: jax.Array) -> dict[str, jax.Array]:
        logits: Any = self.network.apply(variables, self.trained.preprocess(images), train=False)
        return {"logits": logits, "probabilities": jax.nn.softmax(logits / self.temperature)}


def load_program(workdir: Path, config: ConfigDict) -> Program:
    """The run in `workdir` as a program.

    Raises:
      UserError: see `load_trained`.
    """
    trained = load_trained(workdir, config)
    in_float32 = ConfigDict(config.to_dict())
    in_float32.model.dtype = "float32"
    network = build.create_network(in_float32, len(trained.class_names))
    return Program(trained, network, read_matching_trust(workdir, config, trained.step))
