"""What the mean over eight views is worth: `--tta` against one view, on labelled images.

    python -m data.models.images manifest FOLDER ... --output=marrow.csv --classes=marrow
    python -m benchmarks.views --model=marrow8 --images=marrow.csv --split=validation

The list is `path,label,split`. For one view and for eight it prints accuracy and macro-F1 with 95 % bootstrap
intervals over images, the negative log-likelihood of the probabilities that `predict` gives, the share of
images that the model labels by itself, how many of those are wrong, and processor time; then the change of
accuracy with its paired interval. Decide by `--split=validation`, report `--split=test`.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from asae_jax.config import copy_with
from asae_jax.evaluation.bootstrap import bootstrap_intervals
from asae_jax.evaluation.metrics import evaluate_scores
from asae_jax.evaluation.shares import score_text
from asae_jax.evaluation.uncertainty_files import read_matching_uncertainty
from asae_jax.inference.inputs import Item
from asae_jax.inference.predictor import Options, Predictor
from asae_jax.input.manifest import read_entries
from asae_jax.run.run import Run, open_for_inference
from asae_jax.shipped import models

_RESAMPLES = 2000


def main() -> None:
    """Predicts twice and prints."""
    given = _arguments()
    folder = models().get(given.model, Path(given.model))
    one = open_for_inference(folder)
    several = open_for_inference(folder, copy_with(one.config, {"eval.tta": True}))
    items, labels = _listed(given.images, given.split, one.class_names)
    print(f"{given.model}, {len(items)} images of the part {given.split} of {given.images.name}")
    right = [_scored(run, items, labels) for run in (one, several)]
    change = right[1].astype(float) - right[0]
    intervals = bootstrap_intervals(
        lambda weights: {"change": weights @ change / len(items)},
        len(items),
        groups=None,
        resamples=_RESAMPLES,
        seed=0,
    )
    low, high = intervals.get("change", (change.mean(),) * 2)
    print(
        f"change of accuracy: {100 * change.mean():+.1f} points [{100 * low:+.1f}, {100 * high:+.1f}]; "
        f"{int((change > 0).sum())} images more right, {int((change < 0).sum())} more wrong"
    )


def _listed(path: Path, part: str, class_names: Sequence[str]) -> tuple[list[Item], np.ndarray]:
    """The images of one part, and the number of each one's class."""
    entries = [one for one in read_entries(path, unseen=False)[2] if one.split == part and not one.fault]
    if not entries:
        raise SystemExit(f"{path} has no readable image of the part {part!r}")
    labels = np.array([class_names.index(entry.label) for entry in entries])
    return [Item(entry.name, str(path.parent / entry.name)) for entry in entries], labels


def _scored(run: Run, items: Sequence[Item], labels: np.ndarray) -> np.ndarray:
    """Prints how well one way does; whether each image is right, bool `[N]`."""
    options = Options(batch_size=64, pictures=False, workers=None)
    predictor = Predictor([run], [read_matching_uncertainty(run)], options)
    start = time.process_time()
    records = list(predictor(items))
    seconds = time.process_time() - start
    probabilities = np.array([record.probabilities for record in records])
    scores = evaluate_scores(
        np.log(np.maximum(probabilities, 1e-30)), labels, run.class_names, bootstrap=_RESAMPLES, seed=0
    )
    right = probabilities.argmax(1) == labels
    alone = np.array([not record.left_to_person for record in records])
    print(
        f"{'8 views' if run.config.eval.tta else '1 view'}: accuracy {score_text(scores, 'accuracy')}, "
        f"macro-F1 {score_text(scores, 'macro_f1')}, {int(right.sum())} right; "
        f"negative log-likelihood {scores['nll']:.3f}; labels {100 * alone.mean():.1f} %, "
        f"{100 * (~right[alone]).mean():.1f} % of them wrongly; "
        f"{1000 * seconds / len(items):.0f} ms of the processor an image",
        flush=True,
    )
    return right


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="name of an included model, or a run folder")
    parser.add_argument("--images", required=True, type=Path, help="list: path,label,split")
    parser.add_argument("--split", default="test", help="the part of it that is predicted")
    return parser.parse_args()


if __name__ == "__main__":
    main()
