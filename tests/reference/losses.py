"""The paper's losses, one example at a time, in Python and NumPy float64."""

import numpy as np


def confusing(scores, label, k):
    """J'_> of eq. (5), as a set; eq. (2) of GCE uses the same."""
    negatives = [i for i in range(len(scores)) if i != label]
    threshold = sorted((scores[i] for i in negatives), reverse=True)[min(k, len(negatives)) - 1]
    return {i for i in negatives if scores[i] >= threshold}


def unlikely(scores, label, k):
    """J'_< of eq. (6), as a set."""
    negatives = [i for i in range(len(scores)) if i != label]
    threshold = sorted(scores[i] for i in negatives)[min(k, len(negatives)) - 1]
    return {i for i in negatives if scores[i] <= threshold}


def kept_classes(name, scores, label, k_high, k_low):
    """The negatives in the denominator of a loss."""
    if name == "ce":
        return set(range(len(scores))) - {label}
    high = confusing(scores, label, k_high)
    return high if name == "gce" else high | unlikely(scores, label, k_low)


def loss(name, scores, label, k_high=3, k_low=3, kept=None):
    """Eq. (1), (2) or (8) of one example; `kept` holds the selected negatives fixed."""
    scores = np.asarray(scores, np.float64)
    kept = kept_classes(name, scores, label, k_high, k_low) if kept is None else kept
    return np.log(sum(np.exp(scores[i] - scores[label]) for i in kept | {label}))


def finite_difference(name, scores, label, k_high=3, k_low=3, step=1e-5):
    """Central differences of the loss with its selection held fixed: `[classes]`."""
    scores = np.asarray(scores, np.float64)
    kept = kept_classes(name, scores, label, k_high, k_low)
    shifts = step * np.eye(len(scores))
    return np.array(
        [
            (loss(name, scores + d, label, kept=kept) - loss(name, scores - d, label, kept=kept))
            for d in shifts
        ]
    ) / (2 * step)
