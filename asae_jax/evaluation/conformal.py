"""Split conformal prediction: for each image a set of classes that contains the true one at a given rate.

Angelopoulos and Bates 2021 (arXiv:2107.07511), sections 1 and 2.1. The guarantee, a rate of 1 - error on
average over images, holds for images exchangeable with those of the fit: same laboratory, stain, camera.
"""

import dataclasses
import math
from collections.abc import Callable

import numpy as np


@dataclasses.dataclass(frozen=True)
class Conformal:
    """A fitted rule.

    Attributes:
      method: one of `METHODS`.
      error: guaranteed upper limit of the share of sets without the true class, 0..1.
      threshold: highest nonconformity score of a class in the set; 1 where the examples were too few for
        any guarantee: then every class is in every set.

    Raises:
      ValueError: an unknown method, as of a file of a later version.
    """

    method: str
    error: float
    threshold: float

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ValueError(f"unknown conformal method {self.method!r}; known: {', '.join(METHODS)}")

    def sets(self, probabilities: np.ndarray) -> np.ndarray:
        """bool `[N, classes]`: the classes of each set; the most probable class is always in it."""
        chosen = class_scores(probabilities, self.method) <= self.threshold
        chosen[np.arange(len(chosen)), np.argmax(probabilities, 1)] = True
        return chosen


def fit_conformal(probabilities: np.ndarray, labels: np.ndarray, *, error: float, method: str) -> Conformal:
    """The rule whose sets miss the true class at a rate of at most `error`.

    Args:
      probabilities: `[N, classes]` of examples not trained on.
      labels: int `[N]`.
      error: 0 < error < 1.
      method: one of `METHODS`.
    """
    scores = class_scores(probabilities, method)[np.arange(len(labels)), labels]
    # A little less than (N + 1)(1 - error): 10 * (1 - 0.7) is 3.0000000000000004 in float64, not 3.
    rank = math.ceil((len(labels) + 1) * (1 - error) - 1e-9)
    threshold = 1.0 if rank > len(labels) else float(np.sort(scores)[rank - 1])
    return Conformal(method, error, threshold)


def class_scores(probabilities: np.ndarray, method: str) -> np.ndarray:
    """Nonconformity score of each class, 0..1, `[N, classes]`; higher fits worse.

    lac: one minus its probability. aps: the probability of all classes that are more probable. The paper
    adds a random share of the class's own probability; here none is added, so that an image always gets the
    same set and the most probable class is in each. (Adding all of it excludes that class where the network
    is surest: measured on real cells, sets for 90 % then had 4.5 classes and contained the true one in 99 %.)
    """
    return METHODS[method](np.asarray(probabilities, np.float64))


def _lac(probabilities: np.ndarray) -> np.ndarray:
    return 1 - probabilities


def _aps(probabilities: np.ndarray) -> np.ndarray:
    order = np.argsort(-probabilities, axis=1, kind="stable")
    above = np.zeros_like(probabilities)
    sums = np.cumsum(np.take_along_axis(probabilities, order, 1), axis=1)
    above[:, 1:] = np.minimum(sums[:, :-1], 1)  # 1.0000000000000002 would be above every threshold
    scores = np.empty_like(above)
    np.put_along_axis(scores, order, above, 1)
    return scores


METHODS: dict[str, Callable[[np.ndarray], np.ndarray]] = {"lac": _lac, "aps": _aps}
"""Name -> nonconformity scores of float64 probabilities, both `[N, classes]`. lac: the smallest sets (Sadinle
et al. 2019); aps: sets that grow with doubt (Romano et al. 2020)."""
