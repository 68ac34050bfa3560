"""How far colour alone goes: a colour-histogram classifier, on the built-in set or on a folder.

    python -m benchmarks.colour_baseline --num_examples=3000
    python -m benchmarks.colour_baseline --folder=DIR        # class folders of images

A model that does not beat this one has learnt the stain, not the cells. It sees a joint RGB histogram
and the mean and spread of each channel; no position, no shape. "mean colour" sees three numbers.
The split is stratified 8:2. Needs scikit-learn (requirements-dev.txt).
"""

import argparse
from pathlib import Path
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

from asae_jax.input.sources import synthetic_index

_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff"}
_BINS = 6  # per channel of the joint histogram


def main() -> None:
    flags = _flags()
    if flags.folder:
        features, labels = _folder(Path(flags.folder), flags.size)
    else:
        features, labels = _synthetic(flags.num_examples, flags.seed, flags.size)
    train, test, train_labels, test_labels = train_test_split(
        features, labels, test_size=0.2, stratify=labels, random_state=flags.seed
    )
    print(f"{len(labels)} images, {len(set(labels))} classes; {len(test_labels)} to test")
    _report("largest class", np.full_like(test_labels, np.bincount(train_labels).argmax()), test_labels)
    for name, model, columns in _classifiers(flags.seed):
        model.fit(train[:, columns], train_labels)
        _report(name, model.predict(test[:, columns]), test_labels)


def _flags() -> argparse.Namespace:
    verbatim = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=verbatim)
    parser.add_argument("--num_examples", type=int, default=3000, help="images of the built-in set")
    parser.add_argument("--folder", help="a folder of class folders, instead of the built-in set")
    parser.add_argument("--size", type=int, default=64, help="side in pixels that images are brought to")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def _synthetic(num_examples: int, seed: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    table = synthetic_index(num_examples=num_examples, seed=seed, size=size)
    return np.array([colour_features(table.read(row)) for row in range(num_examples)]), table.labels


def _folder(root: Path, size: int) -> tuple[np.ndarray, np.ndarray]:
    features, labels = [], []
    classes = sorted(path for path in root.iterdir() if path.is_dir())
    for label, folder in enumerate(classes):
        for path in sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES):
            image = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
            if image is not None:
                small = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)
                features.append(colour_features(small))
                labels.append(label)
    return np.array(features), np.array(labels)


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
