"""Softmax regression (multinomial logistic regression) with a quadratic penalty, fitted by L-BFGS."""

import numpy as np
import scipy  # a part is loaded when it is first used

_TOLERANCE = 1e-4  # largest component of the gradient at which a fit ends, as in scikit-learn
_STEPS = 500


def fit_softmax_regression(
    inputs: np.ndarray,
    labels: np.ndarray,
    start: np.ndarray,
    *,
    penalty: float,
    offset: np.ndarray | float = 0.0,
    free_biases: bool = True,
) -> np.ndarray:
    """The weights W of least mean cross entropy of `offset + inputs @ W` plus half of `penalty` times |W|^2.

    Args:
      inputs: float64 `[N, channels + 1]`, standardised features, and ones for the biases as the last column.
      labels: int `[N]`, 0..classes-1.
      start: float64 `[channels + 1, classes]`, where the fit begins; it stays as it is.
      penalty: its strength, above 0. In scikit-learn's terms C = 1 / (N penalty).
      offset: logits `[N, classes]` that what is fitted is added to, such as those of a layer before.
      free_biases: whether the last row of W is left out of the penalty.

    Returns:
      float64 `[channels + 1, classes]`.
    """
    shape = start.shape
    wanted = np.eye(shape[1])[labels]

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights = flat.reshape(shape)
        log_probs = scipy.special.log_softmax(offset + inputs @ weights, axis=1)
        held = np.vstack([weights[:-1], np.zeros((1, shape[1]))]) if free_biases else weights
        value = -(wanted * log_probs).sum() / len(inputs) + 0.5 * penalty * (held**2).sum()
        slope = inputs.T @ (np.exp(log_probs) - wanted) / len(inputs) + penalty * held
        return value, slope.ravel()

    options = {"gtol": _TOLERANCE, "ftol": 1e-10, "maxiter": _STEPS}
    found = scipy.optimize.minimize(loss, start.ravel(), jac=True, method="L-BFGS-B", options=options)
    return found.x.reshape(shape)
