"""What a stranger must know before using a network: `MODEL_CARD.md` of an export, `README.md` of a model."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from asae_jax.evaluation.provenance import are_of_groups, read_scores
from asae_jax.evaluation.shares import share_text
from asae_jax.evaluation.uncertainty_files import matching_file
from asae_jax.evaluation.uncertainty_report import measured_parts
from asae_jax.inference.export.program import EXAMPLE_PREPARED, EXAMPLE_RAW, PREPROCESSING, Program
from asae_jax.json_files import read_json
from asae_jax.pages import NOTICE
from asae_jax.run.adaptation import classes_given, notes, read_adaptation
from asae_jax.run.build import settings_of_weights
from asae_jax.run.folder import Counts, Record, read_counts, read_record, versions_now
from asae_jax.run.model_folder import holds_model
from asae_jax.run.run import Run

FILE = "MODEL_CARD.md"

_SPLITS = ("train", "validation", "test")
_SCORES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro-F1",
    "nll": "negative log-likelihood, not calibrated",
    "ece": "expected calibration error, not calibrated",
}
_IN_A_LINE = ("accuracy", "macro_f1")
_FEW = 30
"""Test images of a class below which its recall is known to no better than about 18 points."""

Scores = Mapping[str, Any]
"""The content of a file of `evaluation/`, such as `test.json`."""


class _Known(NamedTuple):
    """What the folder of a run says of it.

    Attributes:
      run: loaded.
      record: content of its `run.json`.
      counts: images of each class and part.
      scores: of the test part; None where they were not measured.
      adaptation: how a model was adapted to another laboratory; None of any other run. Then `counts` are of
        the run that it was made from, and nothing of that was measured again.
    """

    run: Run
    record: Record
    counts: Counts
    scores: Scores | None
    adaptation: Mapping[str, Any] | None

    def images(self, part: str) -> int | None:
        """How many the part has; None where the split is not recorded."""
        if not self.counts:
            return None
        return sum(self.counts[name, part] for name in self.run.class_names)

    @property
    def only(self) -> str:
        """The classes that it gives, where these are not all of them; else empty."""
        given = classes_given(self.adaptation, self.run.class_names)
        return ", ".join(given) * (len(given) < len(self.run.class_names))


def _known(run: Run) -> _Known:
    folder, adaptation = run.workdir, read_adaptation(run.workdir)
    scores = read_scores(run) if adaptation is None else None
    return _Known(run, read_record(folder), read_counts(folder), scores, adaptation)


def model_card(program: Program, record: Mapping[str, Any]) -> str:
    """The card as Markdown, from the run folder; the data are not needed.

    Args:
      program: what was exported.
      record: the content of `export.json`.
    """
    run, known = program.run, _known(program.run)
    theirs = "" if known.adaptation is None else ", adapted to another laboratory"
    sections = [
        f"# {_title(run)}{theirs}\n\n**{NOTICE}**",
        _section("What it does", _purpose(program, known, record)),
        *_adapted(known.adaptation),
        _section("Files", _files(record)),
        _section("Data", _data(known)),
        _section("Scores", _scores(known)),
        _section("How sure it is", _calibration(program, known.adaptation)),
        _section("Limits", _limits(known)),
        _section("To be filled in by whoever trained it", _unknown()),
        _section("Made with", _versions(run, known.record.versions, record["versions"])),
    ]
    return "\n\n".join(sections) + "\n"


def hub_card(program: Program) -> str:
    """The card of a model folder as Markdown, with the front matter that the Hugging Face hub reads."""
    run, known = program.run, _known(program.run)
    sections = [
        _front_matter(run, known.scores),
        f"# {_title(run)}\n\n**{NOTICE}**",
        _section("Use", _use(run)),
        _section("Data", _data(known)),
        _section("Scores", [*_scores(known), *_over_views(run)]),
        _section("How sure it is", _calibration(program, known.adaptation)),
        _section("Limits", _limits(known)),
        _section("To be filled in by whoever trained it", _unknown()),
        _section("Made with", _versions(run, known.record.versions, versions_now())),
    ]
    return "\n\n".join(sections) + "\n"


def _front_matter(run: Run, scores: Scores | None) -> str:
    """Of the hub's model cards; JSON is YAML, and strings in it need no further care."""
    fields: dict[str, Any] = {
        "license": "unknown",
        "library_name": "asae-jax",
        "pipeline_tag": "image-classification",
        "tags": ["hematology", "cytology", "blood-cells", "bone-marrow", "jax", "flax"],
    }
    if scores is not None:
        metrics = [
            {"type": kind, "name": _SCORES[field], "value": round(scores[field], 4)}
            for kind, field in (("accuracy", "accuracy"), ("f1", "macro_f1"))
        ]
        data = {"name": f"test part of the source {run.config.data.source}", "type": "image-folder"}
        result = {"task": {"type": "image-classification"}, "dataset": data, "metrics": metrics}
        fields["model-index"] = [{"name": _title(run), "results": [result]}]
    return "\n".join(["---", *(f"{name}: {json.dumps(value)}" for name, value in fields.items()), "---"])


def _use(run: Run) -> list[str]:
    options = settings_of_weights(run.config).items()
    needed = " ".join(f"--config.{name}={value}" for name, value in options)
    return [
        "It takes a crop with a single stained blood or marrow cell and gives a probability for each of "
        f"{run.num_classes} classes: {', '.join(run.class_names)}. Weights are stored in half precision.",
        "",
        "```sh",
        "asae predict --model=FOLDER --input=NEW_CELLS",
        "```",
        "",
        "with this folder for FOLDER. To train on cells of your own from its weights: "
        f"`--config.init.pretrained=FOLDER {needed}`.",
    ]


def _section(title: str, lines: list[str]) -> str:
    return f"## {title}\n\n" + "\n".join(lines)


def _title(run: Run) -> str:
    model = run.config.model
    layer = "" if model.branching == "none" else f" trained with {model.branching.upper()}"
    return f"{model.name}{layer}: {len(run.class_names)} classes of cells"


def _purpose(program: Program, known: _Known, record: Mapping[str, Any]) -> list[str]:
    run = known.run
    stored = run.config.data.stored_size
    limited = f" It was adapted to give only {known.only}; all others have a probability near 0."
    return [
        "It takes a crop with a single stained blood or marrow cell and gives a probability for each class: "
        f"{', '.join(run.class_names)}.{limited if known.only else ''}",
        "",
        f"Input: uint8 RGB images `[batch, {stored}, {stored}, 3]`, prepared as `{PREPROCESSING}` says "
        f"(`{EXAMPLE_PREPARED}` is `{EXAMPLE_RAW}` after it). The graph cuts out the middle "
        f"{run.config.augment.size} pixels and normalises. Output: `logits` and `probabilities`, float32 "
        f"`[batch, classes]`.{''.join(f' {said}' for said in _of_the_forms(program, record['formats']))}",
    ]


def _of_the_forms(program: Program, formats: Mapping[str, Any]) -> list[str]:
    """What must be known of the forms that were written, a sentence each."""
    said = {
        "onnx": "`predict_onnx.py` does all of it for one image, with ONNX Runtime.",
        "tflite": "`model.tflite` takes one image at a time and refuses more; the others take any number.",
        "orbax": "The folder `orbax` holds weights only.",
        "torch": "The file `model.safetensors` holds weights only{}.",
        "model": "The folder `model` is for this program (`--model=`), in half precision.",
    }
    if "torch" in formats:
        said["torch"] = said["torch"].format(_without_layer(program))
    return [sentence for name, sentence in said.items() if name in formats]


def _without_layer(program: Program) -> str:
    """What is other about the weights alone; empty where the layer is left out of all files."""
    plain = program.plain
    if plain is program:
        return ""
    known = "for which no temperature was measured"
    if plain.uncertainty is not None:
        known = f"whose logits have a temperature of their own, {plain.temperature:.2f}"
    return f", of the network without the layer, {known}"


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


def _adapted(adaptation: Mapping[str, Any] | None) -> Iterator[str]:
    if adaptation is not None:
        yield _section("Adaptation to another laboratory", [f"- {note}" for note in notes(adaptation)])


def _data(known: _Known) -> list[str]:
    run, counts, fingerprint = known.run, known.counts, known.record.data_fingerprint
    source = f"Source: `{run.config.data.source}`; fingerprint of the images `{fingerprint}`."
    if known.adaptation is not None:
        source = (
            f"These are the data of the run that this model was made from, before its adaptation. {source}"
        )
    if not counts:
        return [source, "", "The run has no record of its split."]
    rows = [(name, *(str(counts[name, split]) for split in _SPLITS)) for name in run.class_names]
    totals = [str(known.images(split)) for split in _SPLITS]
    lines = [source, "", *_table(("class", *_SPLITS), [*rows, ("all", *totals)])]
    best = run.config.eval.checkpoint == "best" and known.images("validation")
    chosen = "checkpoint chosen on `validation`" if best else "last checkpoint taken"
    scored = "" if known.scores is None else ", scored on `test`"
    return [*lines, "", f"Trained on `train`, {chosen}{scored}."]


def _scores(known: _Known) -> list[str]:
    scores = known.scores
    if scores is None:
        return [_why_not_scored(known)]
    rows = [(text, f"{scores[field]:.3f}", _interval(scores, field)) for field, text in _SCORES.items()]
    per_class = [
        (name, *(f"{entry[field]:.3f}" for field in ("precision", "recall", "f1")), str(entry["support"]))
        for name, entry in scores["per_class"].items()
    ]
    return [
        f"On {scores['num_examples']} test images of the same source; "
        + (f"95 % intervals over {scores['intervals_over']}." if scores["intervals"] else "no intervals."),
        "",
        *_table(("score", "value", "95 % interval"), rows),
        "",
        *_table(("class", "precision", "recall", "F1", "test images"), per_class),
    ]


def _over_views(run: Run) -> list[str]:
    """How much better it is by the mean over the views of each image, where that was measured."""
    scores = read_scores(run, tta=True)
    if scores is None:
        return []
    shown = [
        f"{_SCORES[field]} {scores[field]:.3f} [{_interval(scores, field, ', ')}]" for field in _IN_A_LINE
    ]
    labelled = "".join(f" {said}" for said in _labelled(run, tta=True))
    return [
        "",
        f"With `--tta`, the mean over the eight flips and quarter turns: {', '.join(shown)}.{labelled}",
    ]


def _why_not_scored(known: _Known) -> str:
    if known.adaptation is not None:
        measured = "Measured on labelled cells only" if known.adaptation.get("labels") else "Not measured"
        return f"{measured} since it was adapted: see the section on its adaptation."
    if known.images("test") == 0:
        return "Not measured: no image was set aside for the test."
    remedy = "run `evaluate` and export again"
    if holds_model(known.run.workdir):
        remedy = "`evaluate` the run that this model was made from, and export that again"
    return f"Not measured for this checkpoint and way of testing: {remedy}."


def _calibration(program: Program, adaptation: Mapping[str, Any] | None) -> list[str]:
    estimates = program.uncertainty
    if estimates is None:
        return ["Not measured: probabilities are the plain softmax, which is usually too sure."]
    t, rule = estimates.temperature, estimates.abstention
    target = f"{100 * rule.target_error:.3g} %"
    fitted_to, known_images = "validation images", "training images"
    if adaptation is not None:
        fitted_to, known_images = "labelled cells of the other laboratory", "labelled cells"
    if rule.threshold > 1:
        advice = f"Leave every image to a person: {estimates.nothing_labelled()}."
    else:
        advice = (
            f"To keep errors to at most {target}, leave images whose highest probability is below "
            f"{rule.threshold:.3f} to a person; `predict` leaves to a person also those that look unlike the "
            f"{known_images}."
        )
    return [
        f"Before the softmax logits are divided by a temperature of {t.value:.2f} (95 % interval {t.low:.2f} "
        f"to {t.high:.2f}, from {estimates.num_examples} {fitted_to}). {advice} "
        f"{''.join(f'{said} ' for said in _labelled(program.run))}`uncertainty.json` has the rest, and what "
        "to beware of.",
    ]


def _labelled(run: Run, *, tta: bool | None = None) -> Iterator[str]:
    """What was labelled of the part that the estimates were measured on; files of earlier versions know only
    what the threshold alone would label."""
    path = matching_file(run, tta=tta)
    content = {} if path is None else read_json(path, remedy="evaluate the run again")
    for part, found in list(measured_parts(content).items())[-1:]:
        labelled, wrong = found["labelled"], found["error_of_labelled"]
        who = "the threshold alone would label"
        if "labelled_without_a_person" in found:
            labelled, wrong = found["labelled_without_a_person"], found["error_without_a_person"]
            who = "it labels by itself"
        if labelled["count"]:
            yield (
                f"Of {found['num_images']} {part} images {who} {share_text(labelled)}, "
                f"{share_text(wrong)} of them wrongly."
            )


def _limits(known: _Known) -> list[str]:
    conditions = "laboratory, stain, camera and way of cropping. "
    if known.adaptation is not None:
        held, elsewhere = f"It is adapted to one {conditions}", "a third"
    else:
        held = "" if known.scores is None else f"Scores hold for images of the same {conditions}"
        elsewhere = "another"
    knows = f"gives only {known.only}" if known.only else "knows only the classes above"
    return [
        f"- {NOTICE} It has not been validated clinically and is not a medical device.",
        f"- It {knows}. Whatever it is shown, an artefact or a cell of another kind too, gets one of them.",
        f"- {held}On images of {elsewhere} laboratory networks of this kind have lost more than half of "
        "their accuracy: measure first.",
        "- One cell per image, in the middle.",
        *(f"- {limit}" for limit in _limits_of_scores(known)),
    ]


def _limits_of_scores(known: _Known) -> Iterator[str]:
    scores, counts = known.scores, known.counts
    if scores is None:
        return
    if trained := scores.get("num_trained_on"):
        yield (
            f"{trained} of the {scores['num_examples']} test images are among those trained on: the scores "
            "are no measure of new images."
        )
    if not are_of_groups(scores):
        yield (
            "Slides or patients were not known when the data were split: images of one patient may be on "
            "both sides, and scores better than on a new patient."
        )
    elif shared := scores.get("num_groups_trained_on"):
        yield (
            f"{shared} of the {scores['num_groups']} slides or patients tested have training images too: "
            "scores are better than on a new patient."
        )
    if few := [name for name in known.run.class_names if counts and counts[name, "test"] < _FEW]:
        yield f"Fewer than {_FEW} test images: {', '.join(few)}. Their scores are rough."


def _unknown() -> list[str]:
    facts = (
        "Stain and scanner or camera",
        "Patients: number, age, diagnoses, how they were chosen",
        "Who labelled the cells, and how often two people agree",
        "Licence of the images and of these weights",
        "Contact",
    )
    return [f"- {fact}:" for fact in facts]


def _versions(run: Run, trained: Mapping[str, str], exported: Mapping[str, str]) -> list[str]:
    def said(versions: Mapping[str, str]) -> str:
        return ", ".join(f"{name} {version}" for name, version in versions.items())

    return [
        f"- trained: {said(trained)}; step {run.step}, seed {run.config.seed}",
        f"- exported: {said(exported)}",
    ]


def _interval(scores: Scores, field: str, between: str = " to ") -> str:
    interval = scores["intervals"].get(field)
    return "" if interval is None or None in interval else between.join(f"{end:.3f}" for end in interval)


def _table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    """A Markdown table; a bar in a class name would end its cell."""
    lines = [header, ("---",) * len(header), *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]
