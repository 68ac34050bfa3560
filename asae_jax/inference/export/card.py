"""`MODEL_CARD.md`: what a stranger must know before using an exported network."""

import csv
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from asae_jax.inference.export.preprocessing import EXAMPLE_PREPARED, EXAMPLE_RAW
from asae_jax.inference.trained import Trained
from asae_jax.input.split_record import SPLITS_FILE
from asae_jax.training import run_folder
from asae_jax.training.evaluation import FOLDER as EVALUATION
from asae_jax.training.figures import NOTICE
from asae_jax.training.trust import conditions
from asae_jax.trust import Trust

FILE = "MODEL_CARD.md"

_SPLITS = ("train", "validation", "test")
_SCORES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro-F1",
    "nll": "negative log-likelihood, not calibrated",
    "ece": "expected calibration error, not calibrated",
}


class Facts(NamedTuple):
    """What the run folder knows."""

    config: Mapping[str, Any]
    class_names: tuple[str, ...]
    step: int
    info: run_folder.RunInfo
    counts: Mapping[tuple[str, str], int]
    """Images by (class, part); empty where the run has no record of its split."""
    scores: Mapping[str, Any] | None
    """Of the test part, by this checkpoint and way of testing; None where they were not measured."""
    trust: Trust | None


def gather(trained: Trained, trust: Trust | None) -> Facts:
    """Reads the run folder; the data themselves are not needed."""
    config = trained.config
    scores = _read_scores(trained)
    if scores and not conditions(config, trained.step).items() <= scores.items():
        scores = None  # of another checkpoint, or with the layer treated otherwise
    info = run_folder.read_info(trained.workdir)
    return Facts(
        config.to_dict(), trained.class_names, trained.step, info, _read_counts(trained), scores, trust
    )


def model_card(facts: Facts, record: Mapping[str, Any]) -> str:
    """The card as Markdown.

    Args:
      facts: of the run.
      record: the content of `export.json`.
    """
    sections = [
        f"# {_title(facts)}\n\n**{NOTICE}**",
        _section("What it does", _purpose(facts)),
        _section("Files", _files(record)),
        _section("Data", _data(facts)),
        _section("Scores", _scores(facts)),
        _section("How sure it is", _calibration(facts)),
        _section("Limits", _limits(facts)),
        _section("To be filled in by whoever trained it", _unknown()),
        _section("Made with", _versions(facts, record)),
    ]
    return "\n\n".join(sections) + "\n"


def _section(title: str, lines: list[str]) -> str:
    return f"## {title}\n\n" + "\n".join(lines)


def _title(facts: Facts) -> str:
    model = facts.config["model"]
    layer = "" if model["branching"] == "none" else f" trained with {model['branching'].upper()}"
    return f"{model['name']}{layer}: {len(facts.class_names)} classes of cells"


def _purpose(facts: Facts) -> list[str]:
    augment, data = facts.config["augment"], facts.config["data"]
    return [
        "It takes a crop with a single stained blood or marrow cell and gives a probability for each class: "
        f"{', '.join(facts.class_names)}.",
        "",
        f"Input: uint8 RGB images `[batch, {data['stored_size']}, {data['stored_size']}, 3]`, prepared as "
        f"`preprocessing.json` says (`{EXAMPLE_PREPARED}` is `{EXAMPLE_RAW}` after it). The graph cuts out "
        f"the middle {augment['size']} pixels and normalises. Output: `logits` and `probabilities`, float32 "
        "`[batch, classes]`. The files `orbax` and `model.safetensors` hold weights only.",
    ]


def _files(record: Mapping[str, Any]) -> list[str]:
    rows = [
        (
            f"`{entry['file']}`",
            name,
            f"{entry['largest_difference']['logits']:.1e}",
            f"{entry['largest_difference']['probabilities']:.1e}",
            entry["compared_by"],
        )
        for name, entry in record["formats"].items()
    ]
    header = ("file", "form", "difference of logits", "of probabilities", "compared by")
    return [
        *_table(header, rows),
        "",
        f"Differences are the largest from the network in Flax, float32, on {record['compared_on']}.",
    ]


def _data(facts: Facts) -> list[str]:
    data = facts.config["data"]
    source = f"Source: `{data['source']}`; fingerprint of the images `{facts.info.data_fingerprint}`."
    if not facts.counts:
        return [source, "", "The run has no record of its split."]
    rows = [(name, *(str(facts.counts[name, split]) for split in _SPLITS)) for name in facts.class_names]
    totals = [sum(facts.counts[name, split] for name in facts.class_names) for split in _SPLITS]
    lines = [source, "", *_table(("class", *_SPLITS), [*rows, ("all", *map(str, totals))])]
    best = facts.config["eval"]["checkpoint"] == "best"
    chosen = "checkpoint chosen on `validation`" if best else "last checkpoint taken"
    return [*lines, "", f"Trained on `train`, {chosen}, scored on `test`."]


def _scores(facts: Facts) -> list[str]:
    scores = facts.scores
    if scores is None:
        return ["Not measured for this checkpoint and way of testing: run `evaluate` and export again."]
    rows = [(text, f"{scores[field]:.3f}", _interval(scores, field)) for field, text in _SCORES.items()]
    per_class = [
        (name, *(f"{entry[field]:.3f}" for field in ("precision", "recall", "f1")), str(entry["support"]))
        for name, entry in scores["per_class"].items()
    ]
    return [
        f"On {scores['num_examples']} test images of the same source; 95 % intervals over "
        f"{scores['intervals_over']}.",
        "",
        *_table(("score", "value", "95 % interval"), rows),
        "",
        *_table(("class", "precision", "recall", "F1", "test images"), per_class),
    ]


def _calibration(facts: Facts) -> list[str]:
    trust = facts.trust
    if trust is None:
        return ["Not measured: probabilities are the plain softmax, which is usually too sure."]
    t, rule = trust.temperature, trust.abstention
    if rule.threshold > 1:
        advice = f"No threshold kept errors below {rule.target_error:.0%}: leave every image to a person."
    else:
        advice = (
            f"To keep errors near {rule.target_error:.0%}, leave images whose highest probability is below "
            f"{rule.threshold:.3f} to a person."
        )
    return [
        f"Before the softmax logits are divided by a temperature of {t.value:.2f} (95 % interval {t.low:.2f} "
        f"to {t.high:.2f}, from {trust.num_examples} validation images). {advice} `trust.json` has the rest, "
        "and what to beware of.",
    ]


def _limits(facts: Facts) -> list[str]:
    lines = [
        f"- {NOTICE} It has not been validated clinically and is not a medical device.",
        "- It knows only the classes above. Whatever it is shown, an artefact or a cell of another kind too, "
        "gets one of them.",
        "- Scores hold for images of the same laboratory, stain, camera and way of cropping. On images of "
        "another laboratory networks of this kind have lost more than half of their accuracy: measure first.",
        "- One cell per image, in the middle.",
    ]
    if facts.scores is None or facts.scores["intervals_over"] == "images":
        lines.append(
            "- Slides or patients were not known when the data were split: images of one patient may be on "
            "both sides, and scores better than on a new patient."
        )
    few = [name for name in facts.class_names if facts.counts and facts.counts[name, "test"] < _FEW]
    if few:
        lines.append(f"- Fewer than {_FEW} test images: {', '.join(few)}. Their scores are rough.")
    return lines


_FEW = 30
"""Test images of a class below which its recall is known to no better than about 18 points."""


def _unknown() -> list[str]:
    facts = (
        "Stain and scanner or camera",
        "Patients: number, age, diagnoses, how they were chosen",
        "Who labelled the cells, and how often two people agree",
        "Licence of the images and of these weights",
        "Contact",
    )
    return [f"- {fact}:" for fact in facts]


def _versions(facts: Facts, record: Mapping[str, Any]) -> list[str]:
    def said(versions: Mapping[str, str]) -> str:
        return ", ".join(f"{name} {version}" for name, version in versions.items())

    return [
        f"- trained: {said(facts.info.versions)}; step {facts.step}, seed {facts.config['seed']}",
        f"- exported: {said(record['versions'])}",
    ]


def _interval(scores: Mapping[str, Any], field: str) -> str:
    interval = scores["intervals"].get(field)
    return "" if interval is None or None in interval else "{:.3f} to {:.3f}".format(*interval)


def _table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    """A Markdown table; a bar in a class name would end its cell."""
    lines = [header, ("---",) * len(header), *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]


def _read_scores(trained: Trained) -> Mapping[str, Any] | None:
    path = trained.workdir / EVALUATION / "test.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def _read_counts(trained: Trained) -> Mapping[tuple[str, str], int]:
    path = trained.workdir / SPLITS_FILE
    if not path.exists():
        return Counter()
    with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        return Counter((row["label"], row["split"]) for row in csv.DictReader(file))
