"""`predict`: classes, a differential count and a page, for images that nobody has labelled."""

import collections
import datetime
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ml_collections import ConfigDict

import asae_jax
from asae_jax.evaluation.uncertainty import Uncertainty
from asae_jax.evaluation.uncertainty_files import conditions, read_matching_uncertainty
from asae_jax.files import disk_errors, together, user_path
from asae_jax.inference.class_prior import ClassPrior, ensemble_prior
from asae_jax.inference.inputs import Item, group_column_of, read_input, without_class_folders
from asae_jax.inference.label_studio import CONFIGURATION, TASKS
from asae_jax.inference.output_files import MADE_FROM, OutputFiles, chosen_files
from asae_jax.inference.predict.count import corrected
from asae_jax.inference.predict.count.corrected import Corrected, Correction, MixtureCounter
from asae_jax.inference.predict.count.differential import Counter, Differential
from asae_jax.inference.predict.count.specimen import specimen_of
from asae_jax.inference.predict.gallery import Gallery
from asae_jax.inference.predict.input_notes import InputNotes
from asae_jax.inference.predict.interchange import Interchange
from asae_jax.inference.predict.output import PREDICTIONS, open_output, summary, write_differential
from asae_jax.inference.predict.page import ReviewPage, page_key, write_page
from asae_jax.inference.predict.similar import find_similar, kept_cells
from asae_jax.inference.predictor import (
    Options,
    Predictor,
    attention_extent,
    load_runs,
    network_identity,
)
from asae_jax.input.cell_classes import cell_classes
from asae_jax.pages import NOTICE
from asae_jax.run import model_folder
from asae_jax.run.adaptation import notes, read_adaptation
from asae_jax.run.run import Run
from asae_jax.terminal import Bar

_GROUPS_SHOWN = 5


def predict(config: ConfigDict, workdir: Path) -> int:
    """Predicts the images of `predict.input` by the run in `workdir`.

    Beside each other are written `predict.output` (see `output` and `output_files`) with one row per image in
    the order of the input, `<its name>_differential.json` and `.csv`, the page `<its name>.html`, and what
    other programs read (see `interchange`).

    Args:
      config: settings of the run, `predict` and `eval`.
      workdir: the folder of a run.

    Returns:
      The exit status: 0, also with unreadable images, whose rows carry the error; 1 where none can be read.

    Raises:
      UserError: no run or no checkpoint in `workdir`, settings that differ from the run's, no images, or an
        output that cannot be written or that was made from another input.
    """
    settings = config.predict
    items = read_input(settings.input)
    ensemble = _ensemble(config, workdir)
    items = without_class_folders(settings.input, items, ensemble.runs[0].class_names)
    with chosen_files(
        settings.input, items, given=settings.output, workdir=workdir, kinds=PREDICTIONS
    ) as files:
        print(_greeting(items, workdir, ensemble.runs[0].class_names))
        with together():  # what a full disk left would be in the way of the same command
            differential, shifted = _predict_to(files, items, config, ensemble)
        print(summary(differential))
        for one in shifted[:1]:
            print("\n".join(corrected.summary(one, differential.classes)))
        for path in files.other_kinds():
            print(f"note: {path} was there before and is left as it is: this count may not be of it")
        page = f"; to be read in a browser: {files.beside('.html')}" if settings.page else ""
        print(f"written to {files.output} and beside it{page}. {NOTICE}")
        if differential.overall.unreadable == len(items):
            print(f"error: none of the images could be read; the column error of {files.output} says why",
                  file=sys.stderr)  # fmt: skip
            return 1
    return 0


class Ensemble(NamedTuple):
    """What predicts, one run or several.

    Attributes:
      runs: one or more.
      fitted: uncertainty estimates of each; None where it has none.
      prior: what counts are corrected from; None where they are not.
    """

    runs: Sequence[Run]
    fitted: Sequence[Uncertainty | None]
    prior: ClassPrior | None

    def notes(self) -> list[str]:
        """What a reader must know of models that were adapted, a sentence each."""
        found = [(run.name, notes(read_adaptation(run.workdir))) for run in self.runs]
        if len(found) == 1:
            return found[0][1]
        return [f"{name}: {note}" for name, said in found for note in said]


def _ensemble(config: ConfigDict, workdir: Path) -> Ensemble:
    """The run in `workdir` and those of `predict.ensemble`, with what is known of them."""
    runs = load_runs(config, workdir)
    fitted = [read_matching_uncertainty(run) for run in runs]
    corrects = config.predict.mixture == "corrected"
    return Ensemble(runs, fitted, ensemble_prior(runs, fitted) if corrects else None)


def _predict_to(
    files: OutputFiles, items: Sequence[Item], config: ConfigDict, ensemble: Ensemble
) -> tuple[Differential, list[Corrected]]:
    """Writes every file of an input."""
    runs, settings = ensemble.runs, config.predict
    class_names = runs[0].class_names
    own = user_path(settings.classes) if settings.classes else None
    classes = cell_classes(class_names, own) if own else runs[0].classes
    sources = {"source": files.source.path, "former": files.former_source()}
    others = Interchange(files.stem, items, classes, **sources, storage=settings.label_studio)
    specimen = specimen_of(run.config for run in runs)
    counter = Counter(classes, specimen, slides=any(item.of_slide for item in items))
    gallery = Gallery(settings.page_cells, settings.page_megabytes * 1e6)
    cells = kept_cells(runs[0]) if settings.page and settings.similar else None
    predictor = _predictor(config, ensemble, features=cells is not None)
    given = InputNotes()
    mixtures = [] if ensemble.prior is None else [MixtureCounter()]
    _predict_all(predictor, items, class_names, files.output, (counter, gallery, others, given, *mixtures))
    differential = counter.differential([*ensemble.notes(), *predictor.notes(), *given.notes()])
    shifted = _corrected(mixtures, ensemble, predictor)
    records = gallery.records()
    network = network_identity(runs)
    page = ReviewPage(
        records,
        class_names,
        differential,
        title=files.title,
        network=network,
        attention_extent=attention_extent(runs[0].config),
        key=files.page_key() or page_key(files.beside(".html"), network, records),
        made_by=_made_by(runs),
        thresholds=predictor.uncertainty.thresholds,
        similar=None if cells is None else find_similar(cells, records, settings.similar),
        megabytes=settings.page_megabytes,
        corrected=shifted,
        without_room=gallery.dropped,
    )
    _write_beside(files, runs, others, page)
    return differential, shifted


def _corrected(
    mixtures: Sequence[MixtureCounter], ensemble: Ensemble, predictor: Predictor
) -> list[Corrected]:
    """The counts corrected for another mixture of classes, where that was asked for."""
    if ensemble.prior is None:
        return []
    config, calibrated = ensemble.runs[0].config, all(one is not None for one in ensemble.fitted)
    how = Correction(
        ensemble.prior,
        usually_unlike=predictor.uncertainty.usually_unlike if calibrated else None,
        resamples=config.eval.bootstrap,
        seed=config.seed,
    )
    return mixtures[0].corrected(how)


def _greeting(items: Sequence[Item], workdir: Path, class_names: tuple[str, ...]) -> str:
    """What will be predicted, and by what."""
    counts = collections.Counter(item.group for item in items if item.group)
    listed = ", ".join(f"{group} {count:,}" for group, count in counts.most_common(_GROUPS_SHOWN))
    more = ", ..." * (len(counts) > _GROUPS_SHOWN)
    groups = (
        f"{len(counts):,} group{'s' * (len(counts) > 1)}: {listed}{more}" if counts else "groups not known"
    )
    classes = f"{len(class_names)} classes: {', '.join(class_names)}"
    return f"input: {len(items):,} images, {groups}; run {workdir}, {classes}"


def _predictor(config: ConfigDict, ensemble: Ensemble, *, features: bool) -> Predictor:
    options = Options(
        batch_size=config.eval.batch_size,
        pictures=config.predict.page,
        workers=config.data.workers or None,
        features=features,
        picture_side=config.predict.picture_side,
        scale_check=True,
    )
    return Predictor(ensemble.runs, ensemble.fitted, options)


def _predict_all(
    predictor: Predictor,
    items: Sequence[Item],
    class_names: tuple[str, ...],
    output: Path,
    listeners: Sequence[Counter | Gallery | Interchange | InputNotes | MixtureCounter],
) -> None:
    """Writes every record as it comes, and adds it to the listeners."""
    with (
        open_output(
            output,
            class_names,
            group=group_column_of(items),
            uncertainty=predictor.uncertainty.available,
            positions=any(item.position for item in items),
        ) as write,
        Bar("predicting", len(items), "image", compiles=1) as bar,
    ):
        for record in predictor(items):
            write(record)
            for listener in listeners:
                listener.add(record)
            bar.update()


def _write_beside(files: OutputFiles, runs: Sequence[Run], others: Interchange, page: ReviewPage) -> None:
    """Writes the count, what other programs open, and `page` where it is asked for."""
    settings = runs[0].config.predict
    with disk_errors(f"write beside {files.output}", remedy="choose another --output=FILE"):
        content = {"corrected": [one.to_json(runs[0].class_names) for one in page.corrected]}
        content = content if content["corrected"] else {}
        made_from = _made_from(files, runs, page.network) | {"page": page.key}
        write_differential(page.differential, files.stem, content | {MADE_FROM: made_from})
        on_slides = others.write(page.network)
        if not settings.label_studio:
            files.remove(TASKS, CONFIGURATION)
        if settings.page:
            write_page(files.beside(".html"), page)
        else:
            files.remove(".html")
    if on_slides:
        more = f" and of {len(on_slides) - 1} slides more" if len(on_slides) > 1 else ""
        print(f"cells on their slide, for QuPath: {on_slides[0]}{more}")


def _made_by(runs: Sequence[Run]) -> str:
    """What predicted and when, in words: the name on each model's card, and where it lies."""
    names = " and ".join(map(_named, runs))
    views = ", mean of 8 views of each cell" * runs[0].config.eval.tta
    day = datetime.date.today().isoformat()
    return f"{names}{views}, ASAE-JAX {asae_jax.__version__}, {day}"


def _named(run: Run) -> str:
    name = (
        model_folder.title(run.workdir)[:_LONGEST_TITLE]
        or f"a network for {run.num_classes} classes of cells"
    )
    return f"{name} (run {run.name}, step {run.step:,})"


_LONGEST_TITLE = 120  # a card may be anybody's


def _made_from(files: OutputFiles, runs: Sequence[Run], network: str) -> dict[str, Any]:
    """What the files were computed from."""
    return {
        **files.record(),
        "runs": [{"folder": str(run.workdir.absolute()), **conditions(run)} for run in runs],
        "network": network,
        "tta": runs[0].config.eval.tta,
    }
