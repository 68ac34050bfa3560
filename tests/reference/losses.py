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


def probabilities(scores):
    """Softmax of one example's scores, float64."""
    exponentials = np.exp(np.asarray(scores, np.float64))
    return exponentials / exponentials.sum()


def focal(scores, label, gamma):
    """Eq. (4) of Lin et al. 2017, with the softmax probability of the label as p_t."""
    p = probabilities(scores)[label]
    return -((1 - p) ** gamma) * np.log(p)


def effective_number(count, beta):
    """E_n of Cui et al. 2019 as its definition has it: E_1 = 1, E_n = 1 + beta E_(n-1)."""
    number = 0.0
    for _ in range(count):
        number = 1 + beta * number
    return number


def class_balanced(scores, label, class_counts, beta):
    """Eq. (11) of Cui et al. 2019 with their weights, which add up to the number of classes."""
    weights = np.array([1 / effective_number(count, beta) for count in class_counts])
    weights *= len(weights) / weights.sum()
    return -weights[label] * np.log(probabilities(scores)[label])


def logit_adjusted(scores, label, class_counts, tau):
    """Eq. (11) of Menon et al. 2021, the pairwise form: log(1 + sum (pi_c / pi_l)^tau exp(s_c - s_l))."""
    priors = np.asarray(class_counts, np.float64) / np.sum(class_counts)
    others = [c for c in range(len(scores)) if c != label]
    scores = np.asarray(scores, np.float64)
    terms = [(priors[c] / priors[label]) ** tau * np.exp(scores[c] - scores[label]) for c in others]
    return np.log1p(np.sum(terms))
