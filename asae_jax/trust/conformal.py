"""Split conformal prediction: for each image a set of classes that holds the true one at a promised rate.

Angelopoulos and Bates 2021 (arXiv:2107.07511), sections 1 and 2.1. The promise, 1 - error on average over
images, needs new images to be exchangeable with those it was fitted on: same laboratory, stain, camera.
"""

import dataclasses
import math

import numpy as np

METHODS = ("lac", "aps")
"""lac: the smallest sets (Sadinle et al. 2019); aps: sets that grow with doubt (Romano et al. 2020)."""


@dataclasses.dataclass(frozen=True)
class Conformal:
    """A fitted rule.

    Attributes:
      method: one of `METHODS`.
      error: promised share of sets without the true class, 0..1.
      threshold: largest score that a class of the set may have; 1 where the examples were too few to
        promise anything: then every class is in every set.
    """

    method: str
    error: float
    threshold: float

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
    # A little less than (N + 1)(1 - error): 0.9 of 10 is 9, not the 10 that its float64 rounds up to.
    rank = math.ceil((len(labels) + 1) * (1 - error) - 1e-9)
    threshold = 1.0 if rank > len(labels) else float(np.sort(scores)[rank - 1])
    return Conformal(method, error, threshold)


def class_scores(probabilities: np.ndarray, method: str) -> np.ndarray:
    """How badly each class fits, 0..1, `[N, classes]`.

    lac: one minus its probability. aps: the probability of all classes that are more probable. The paper
    adds a random share of its own probability; here it is none, so that the same image always gets the same
    set and the most probable class is in every one. (All of it would push that class out where the network is
    surest: measured on real cells, sets of 4.5 classes that promised 90 % held the true class in 99 %.)
    """
    probabilities = np.asarray(probabilities, np.float64)
    if method == "lac":
        return 1 - probabilities
    order = np.argsort(-probabilities, axis=1, kind="stable")
    above = np.zeros_like(probabilities)
    above[:, 1:] = np.cumsum(np.take_along_axis(probabilities, order, 1), axis=1)[:, :-1]
    scores = np.empty_like(above)
    np.put_along_axis(scores, order, above, 1)
    return scores
