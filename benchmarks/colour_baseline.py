"""How far colour alone goes: a colour-histogram classifier on any data source.

    python -m benchmarks.colour_baseline --source=demo
    python -m benchmarks.colour_baseline --source=synthetic --num_examples=3000
    python -m benchmarks.colour_baseline --source=folder --path=DIR

A model that does not beat this one has learnt the stain, not the cells. It sees a joint RGB histogram
and the mean and spread of each channel; no position, no shape. "mean colour" sees three numbers.
The split is the source's own, its validation images trained on too; else stratified 8:2. Needs scikit-learn
(requirements-dev.txt).
"""

import argparse
from typing import Any

import cv2
import numpy as np
from sklearn.base import clone
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, balanced_accuracy_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from asae_jax.config import base_config
from asae_jax.input.index import DataIndex
from asae_jax.input.sources import configured_index

_BINS = 6  # per channel of the joint histogram


def main() -> None:
    flags = _flags()
    config = base_config()
    config.data.source, config.data.path = flags.source, flags.path
    config.data.num_examples, config.data.stored_size = flags.num_examples, flags.size
    index = configured_index(config.data)
    features = np.array([colour_features(_small(index, row, flags.size)) for row in range(len(index))])
    tested = _tested(index, flags.seed)
    train_labels, test_labels = index.labels[~tested], index.labels[tested]
    print(f"{len(index)} images, {index.num_classes} classes; {len(test_labels)} to test")
    _report("largest class", np.full_like(test_labels, np.bincount(train_labels).argmax()), test_labels)
    for name, model, columns in _classifiers(flags.seed):
        model.fit(features[~tested][:, columns], train_labels)
        _report(name, model.predict(features[tested][:, columns]), test_labels)


def _flags() -> argparse.Namespace:
    verbatim = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=verbatim)
    parser.add_argument("--source", default="demo", help="as config.data.source")
    parser.add_argument("--path", default="", help="as config.data.path")
    parser.add_argument("--num_examples", type=int, default=3000, help="images of the synthetic source")
    parser.add_argument("--size", type=int, default=64, help="side in pixels that images are brought to")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def _small(index: DataIndex, row: int, size: int) -> np.ndarray:
    return cv2.resize(index.read(row), (size, size), interpolation=cv2.INTER_AREA)


def _tested(index: DataIndex, seed: int) -> np.ndarray:
    """bool `[N]`: the source's test part, or a fifth of each class."""
    if index.splits is not None:
        return index.splits == "test"
    rows = np.arange(len(index))
    _, test = train_test_split(rows, test_size=0.2, stratify=index.labels, random_state=seed)
    return np.isin(rows, test)


def colour_features(image: np.ndarray) -> np.ndarray:
    """Joint RGB histogram (square roots of the shares), mean and spread of the channels, float64 `[222]`."""
    pixels = image.reshape(-1, 3)
    histogram, _ = np.histogramdd(pixels, bins=_BINS, range=[(0, 256)] * 3)
    shares = np.sqrt(histogram.ravel() / len(pixels))
    return np.concatenate([shares, pixels.mean(0) / 255, pixels.std(0) / 255])


def _classifiers(seed: int) -> list[tuple[str, Any, slice]]:
    """Name, classifier, and the columns of the features that it sees."""
    linear = make_pipeline(
        StandardScaler(), LogisticRegression(C=0.02, max_iter=500, class_weight="balanced")
    )
    trees = ExtraTreesClassifier(500, min_samples_leaf=2, class_weight="balanced", random_state=seed)
    everything, mean = slice(None), slice(_BINS**3, _BINS**3 + 3)
    return [
        ("mean colour, trees", clone(trees), mean),
        ("histogram, linear", linear, everything),
        ("histogram, trees", trees, everything),
    ]


def _report(name: str, predictions: np.ndarray, labels: np.ndarray) -> None:
    # Balanced accuracy over the classes present: the mean of the recalls.
    accuracy, balanced = accuracy_score(labels, predictions), balanced_accuracy_score(labels, predictions)
    print(f"{name:18s} accuracy {accuracy:.3f}  balanced accuracy {balanced:.3f}")


if __name__ == "__main__":
    main()
