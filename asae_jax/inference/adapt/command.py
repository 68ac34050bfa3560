"""`adapt`: a run made fit for another laboratory's images; it writes a new model, the run stays as it is."""

import dataclasses
import datetime
import io
import warnings
from collections.abc import Callable, Mapping, Sequence, Set
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict
from scipy import special

import asae_jax
from asae_jax.config import copy_with
from asae_jax.csv_cells import CsvWriter
from asae_jax.errors import UserError
from asae_jax.evaluation.label_shift import em_shares, total_variation
from asae_jax.evaluation.provenance import among_trained_on
from asae_jax.files import in_real_folder
from asae_jax.inference.adapt import appearance, classes, report
from asae_jax.inference.adapt.cells import Cells, read_cells, scorer
from asae_jax.inference.adapt.folder import check_output, write_adapted
from asae_jax.inference.adapt.labels import FEWEST, Labels, groups_of, matched, read_given, with_groups
from asae_jax.inference.adapt.last_layer import read_layer, with_layer, without_classes
from asae_jax.inference.adapt.learning import Learned, learn, learn_all
from asae_jax.inference.adapt.proposals import propose
from asae_jax.inference.adapt.statistics import between, drawn_rows, estimated_statistics, share_of_new
from asae_jax.inference.class_prior import ClassPrior, run_prior
from asae_jax.inference.inputs import Item, group_column_of, read_input, without_class_folders
from asae_jax.inference.predictor import network_identity
from asae_jax.input.appearance import evenly
from asae_jax.input.content import file_contents
from asae_jax.input.nucleus_sizes import MEASURED, measure_nuclei
from asae_jax.input.sources import named_class_map
from asae_jax.input.unicode_form import composed
from asae_jax.pages import NOTICE
from asae_jax.run import parallel
from asae_jax.run.adaptation import made_from, read_adaptation, source_before_labels
from asae_jax.run.run import Run, check_one_look, open_for_inference

_Variables = Mapping[str, Any]


@dataclasses.dataclass(frozen=True, eq=False)
class _Task:
    """What is asked for, checked.

    Attributes:
      run: to be adapted.
      output: folder of the adapted model.
      items: images of the other laboratory.
      labels: what lists of labels say, where there are any.
      absent: bool `[K]`, classes that do not occur.
      prior: class prior of the run.
      before: of a model that was adapted before, its record.
    """

    run: Run
    output: Path
    items: Sequence[Item]
    labels: Labels
    absent: np.ndarray
    prior: ClassPrior
    before: Mapping[str, Any] | None


def adapt(config: ConfigDict, workdir: Path) -> int:
    """Adapts the run in `workdir` to the images of `adapt.input`, and writes a model to `adapt.output`.

    In this order, as far as asked for: scale, background and stain of the new images (`appearance`), batch
    statistics (`statistics`), classes that cannot occur, and with labels the last layer or all, and all
    estimates of certainty (`last_layer`, `all_layers`, `learning`). The run's own estimates are not taken
    over: they do not hold elsewhere.

    Args:
      config: settings of the run, `adapt`, `uncertainty` and `eval`.
      workdir: the folder of a run or model; nothing in it is changed.

    Returns:
      The exit status, 0.

    Raises:
      UserError: no run, no images, labels that cannot be used, an output that exists, or nothing to do.
    """
    check_one_look(config, "adapt")
    task = _checked(config, workdir)
    run, changes, seen = appearance.adapted(task.run, task.items)
    cells, labels, rows, of_training = _read(run, task)
    score = scorer(run)
    variables, of_statistics = _with_statistics(run, task, cells, score)
    if task.absent.any():
        variables = with_layer(variables, without_classes(read_layer(variables), task.absent))
    logits, features = score(variables, cells.images)
    mixture = _mixture(logits, task)  # before the labels, which change what the probabilities are of
    learned = None
    if task.labels.given:
        learned, logits, features = _learned(run, variables, cells, labels, rows, (logits, features), score)
        variables = learned.variables
    to_label = _proposals(run, cells, task.labels.settled, features, logits)
    record = report.record(
        _source(run, task), config, cells, seen | of_statistics | mixture | of_training, learned,
        task.prior if learned is None else learned.prior, run.class_names, task.before,
    )  # fmt: skip
    estimates = None if learned is None else learned.estimates
    write_adapted(
        task.output, run, copy_with(run.config, changes), variables, record,
        estimates=estimates, to_label=to_label,
    )  # fmt: skip
    print("\n".join(f"note: {note}" for note in record["notes"]))
    if run.config.adapt.propose and not to_label:
        print("note: nothing to propose: all images are labelled, left out or kept for a test")
    print(report.next_steps(task.output, to_label=bool(to_label)))
    print(f"written to {task.output}; {workdir} is as it was. {NOTICE}")
    return 0


def _learned(
    run: Run,
    variables: Mapping[str, Any],
    cells: Cells,
    labels: np.ndarray,
    rows: np.ndarray,
    before: tuple[np.ndarray, np.ndarray],
    score: Callable,
) -> tuple[Learned, np.ndarray, np.ndarray]:
    """What the labels of the images `rows` give, and logits and features of all images then."""
    (logits, features), groups = before, _groups(cells, rows, labels)
    if run.config.adapt.layers == "all":
        learned = learn_all(run, variables, cells.images[rows], logits[rows], labels, groups, score)
    else:
        learned = learn(run, variables, features[rows], logits[rows], labels, groups)
    nuclei = measure_nuclei(evenly(cells.images, MEASURED))  # what is of the usual scale from now on
    learned = dataclasses.replace(
        learned,
        estimates=dataclasses.replace(learned.estimates, nuclei=nuclei),
        by_group=groups is not None and all(cells.items[row].group for row in rows),
    )
    if learned.layer is None:
        return learned, *score(learned.variables, cells.images)
    return learned, learned.layer.logits(features), features


def _checked(config: ConfigDict, workdir: Path) -> _Task:
    settings = config.adapt
    output = check_output(settings.output, workdir)
    if not settings.input and not settings.labels:
        raise UserError(
            "no images are named: give those of the other laboratory, --input=DIR (or --labels=FILE)"
        )
    before = read_adaptation(workdir)
    if settings.scale == 0 and before is not None:
        raise UserError(
            f"--scale=0: {workdir} was made by `adapt` from {made_from(before)}, and how large nuclei are in "
            f"the images that it knows is not known any more: adapt {made_from(before)}, or give the "
            "enlargement, --scale=NUMBER."
        )
    if settings.labels and (source := source_before_labels(before)):
        raise UserError(
            f"--labels: {workdir} learnt labels already when it was made from {source}, and would be scored "
            f"on cells that it was fitted to: adapt {source} with all labels together (--labels=OLD,NEW)."
        )
    run = open_for_inference(workdir, config)
    class_map = named_class_map(settings.class_map) if settings.class_map else {}
    labels = Labels([], frozenset())
    if settings.labels:
        labels = read_given(settings.labels, run.class_names, class_map)
    given = labels.given
    items = read_input(settings.input) if settings.input else [one.item for one in given]
    items = without_class_folders(settings.input, items, run.class_names)
    absent = classes.absent(settings.only, run.class_names)
    absent |= classes.removed_before(before, run.class_names, settings, given)
    if wrong := sorted(
        {one.label for one in given} & {n for n, gone in zip(run.class_names, absent, strict=True) if gone}
    ):
        raise UserError(
            f"--only={settings.only} leaves out {', '.join(wrong)}, which some labels name (--labels=)"
        )
    has_statistics = _has_statistics(run)
    if settings.statistics == "new" and not has_statistics:
        raise UserError("--statistics=new: this network has no batch statistics (model.norm): leave it out.")
    light = settings.background != "keep" and not run.config.data.background  # else it is matched already
    changes = settings.scale != 1 or light or settings.stain != "keep" or settings.only
    if not (changes or given or (has_statistics and settings.statistics != "keep")):
        raise UserError("nothing would change: give --scale, --background, --only or --labels.")
    return _Task(run, output, items, labels, absent, run_prior(run), before)


def _has_statistics(run: Run) -> bool:
    """Whether there are batch statistics to estimate anew; `frozen_batch` keeps its own for ever."""
    return bool(run.variables["batch_stats"]) and run.config.model.norm == "batch"


def _read(run: Run, task: _Task) -> tuple[Cells, np.ndarray, np.ndarray, dict[str, Any]]:
    """The images, with the labelled ones first; number of the class of each of these, their rows; a record.

    Labelled images that the run was trained on are left out: its features were fitted to their labels.
    """
    config = run.config
    of_labels = {one.item.file for one in task.labels.given}
    others = [
        item for item in evenly(task.items, config.adapt.images) if in_real_folder(item.file) not in of_labels
    ]
    of_input = {in_real_folder(item.file): composed(item.group) for item in task.items if item.group}
    items = [*with_groups([one.item for one in task.labels.given], of_input), *others]
    cells = read_cells(items, run.preparation, workers=config.data.workers or None, doing="reading images")
    if not len(cells.images):
        raise UserError(f"none of the {len(items)} images can be read (--input=)")
    labelled = [row for row, item in enumerate(cells.items) if item.file in of_labels]
    part = Cells([cells.items[r] for r in labelled], cells.images[labelled],
                 [cells.contents[r] for r in labelled], {})  # fmt: skip
    places = matched(task.labels, part) if task.labels.given else np.zeros(0, np.int64)
    trained = among_trained_on(run, file_contents(item.file for item in part.items), pixels=False)
    count = 0
    if trained is not None and (count := int((trained & (places >= 0)).sum())):
        places = np.where(trained, -1, places)
        warnings.warn(f"{count} labels are not used: the run was trained on their images", stacklevel=2)
    rows = np.array(labelled, np.int64)[places >= 0]
    numbers = [run.class_names.index(task.labels.given[int(place)].label) for place in places if place >= 0]
    if task.labels.given and (len(set(numbers)) < 2 or len(numbers) < FEWEST):
        raise UserError(
            "too few of the labelled images can be read, hold what was labelled, and are new to the run "
            "(--labels=)"
        )
    record = {"trained_on": None if trained is None else count}
    return cells, np.array(numbers, np.int64), rows, record


def _groups(cells: Cells, rows: np.ndarray, labels: np.ndarray) -> np.ndarray | None:
    """Slide or patient of the labelled images, where there are several."""
    items = [cells.items[row] for row in rows]
    groups = groups_of(items)
    pairs = {(item.group, label) for item, label in zip(items, labels.tolist(), strict=True) if item.group}
    named, classes = ({one[place] for one in pairs} for place in (0, 1))
    if groups is not None and len(pairs) == len(named) == len(classes) > 1:
        warnings.warn(
            f"each of the groups {', '.join(sorted(named))} has one class, and each class one group: "
            "these are folders of classes, it seems, and they are not taken for patients or slides",
            stacklevel=2,
        )
        return None
    return groups


def _with_statistics(
    run: Run, task: _Task, cells: Cells, score: Callable
) -> tuple[_Variables, dict[str, Any]]:
    """The run's variables with batch statistics as `adapt.statistics` says, and what to record of them."""
    settings, variables = run.config.adapt, dict(run.variables)
    if settings.statistics == "keep" or not _has_statistics(run):
        return variables, {"statistics": {"kept": True}}
    count, devices = len(cells.images), parallel.round_up_to_devices(1)
    size = max(min(run.config.eval.batch_size, count) // devices, 1) * devices
    predicted, wanted = np.zeros(count, np.int64), None
    if settings.balance == "predicted":
        logits = np.where(task.absent, -np.inf, score(variables, cells.images)[0])
        predicted, wanted = logits.argmax(1), _of_those_there(task)
    batches = drawn_rows(count, size, wanted=wanted, predicted=predicted, seed=run.config.seed)
    new = estimated_statistics(run, variables, cells.images, batches)
    share = share_of_new(count, settings.worth)
    variables["batch_stats"] = between(variables["batch_stats"], new, share)
    return variables, {
        "statistics": {"kept": False, "images": count, "share_new": share, "balance": settings.balance}
    }


def _mixture(logits: np.ndarray, task: _Task) -> dict[str, Any]:
    """How far the mixture of classes seems to be from the run's, by EM on probabilities that may be wrong.

    Of the classes that can occur: that others do not is known, and no reason to warn.
    """
    there = ~task.absent
    prior = _of_those_there(task)[there]
    shares = em_shares(special.softmax(logits[:, there], axis=1), prior)
    names = [name for name, occurs in zip(task.run.class_names, there, strict=True) if occurs]
    return {
        "mixture": {
            "training": dict(zip(names, prior.round(4).tolist(), strict=True)),
            "estimated": dict(zip(names, shares.round(4).tolist(), strict=True)),
            "distance": round(total_variation(shares, prior), 4),
            "training_known": task.prior.known,
        }
    }


def _of_those_there(task: _Task) -> np.ndarray:
    """The run's mixture `[K]` of the classes that can occur, 0 for others."""
    shares = np.where(task.absent, 0, task.prior.shares)
    return shares / shares.sum()


def _source(run: Run, task: _Task) -> dict[str, Any]:
    return {
        "name": run.name,
        "step": run.step,
        "network": network_identity([run]),
        "by": f"ASAE-JAX {asae_jax.__version__}",
        "date": datetime.date.today().isoformat(),
        "only": [name for name, gone in zip(run.class_names, task.absent, strict=True) if not gone]
        if task.absent.any()
        else [],
    }


def _proposals(run: Run, cells: Cells, settled: Set[str], features: np.ndarray, logits: np.ndarray) -> str:
    """`path` of the images to label, as CSV text; empty where none were asked for, or all are settled.

    Of several copies of one picture the first may be proposed, and none where one of them is settled.
    """
    count = run.config.adapt.propose
    named = list(zip(cells.items, cells.contents, strict=True))
    seen = settled | {content for item, content in named if in_real_folder(item.file) in settled}
    fresh = np.array([seen.isdisjoint((in_real_folder(i.file), content)) for i, content in named], bool)
    first = np.zeros(len(fresh), bool)
    first[np.unique(cells.contents, return_index=True)[1]] = True
    rest = np.flatnonzero(fresh & first)
    if not count or not len(rest):
        return ""
    probabilities = special.softmax(logits[rest], axis=1)
    chosen = propose(features[rest], probabilities, count, seed=run.config.seed)
    items = [cells.items[row] for row in rest[chosen]]
    grouped = all(item.group for item in items)
    text = io.StringIO()
    writer = CsvWriter(text)
    writer.writerow(["path", group_column_of(items)] if grouped else ["path"])
    writer.writerows([item.file, item.group] if grouped else [item.file] for item in items)
    return text.getvalue()
