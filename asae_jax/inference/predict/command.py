"""`predict`: classes, a differential count and a page, for images that nobody has labelled."""

import collections
from collections.abc import Sequence
from pathlib import Path

from ml_collections import ConfigDict
from tqdm import tqdm

from asae_jax.errors import UserError
from asae_jax.evaluation.uncertainty import read_matching_uncertainty
from asae_jax.files import disk_errors, user_path
from asae_jax.inference.predict.differential import Counter, Differential
from asae_jax.inference.predict.inputs import Item, input_name, read_input
from asae_jax.inference.predict.lineages import class_lineages
from asae_jax.inference.predict.output import JSON_LINES, open_output, summary, write_differential
from asae_jax.inference.predict.page import write_page
from asae_jax.inference.predict.predictor import Options, Predictor, load_runs
from asae_jax.inference.predict.records import Gallery
from asae_jax.pages import NOTICE
from asae_jax.run.run import Run

FOLDER = "predictions"

_GROUPS_SHOWN = 5


def predict(config: ConfigDict, workdir: Path) -> int:
    """Predicts the images of `predict.input` by the run in `workdir`.

    Beside each other are written `predict.output` (see `output`) with one row per image in the order of the
    input, `<its name>_differential.json` and `.csv`, and the page `<its name>.html`.

    Args:
      config: settings of the run, `predict` and `eval`.
      workdir: the folder of a run.

    Returns:
      The exit status, 0; also with unreadable images, whose rows carry the error.

    Raises:
      UserError: no run or no checkpoint in `workdir`, settings that differ from the run's, no images, or an
        output that cannot be written.
    """
    settings = config.predict
    items = read_input(settings.input)
    output = _output(settings, workdir)
    runs = load_runs(config, workdir)
    class_names = runs[0].class_names
    print(_greeting(items, workdir, class_names))
    own_lineages = user_path(settings.lineages) if settings.lineages else None
    counter = Counter(class_names, class_lineages(class_names, own_lineages))
    gallery = Gallery(settings.page_cells)
    predictor = _predictor(config, runs)
    _predict_all(predictor, items, class_names, output, (counter, gallery))
    differential = counter.differential(predictor.uncertainty.notes())
    _write_beside(output, config, class_names, differential, gallery)
    print(summary(differential))
    print(f"written to {output} and beside it. {NOTICE}")
    return 0


def _output(settings: ConfigDict, workdir: Path) -> Path:
    output = user_path(settings.output or workdir / FOLDER / f"{input_name(settings.input)}.csv")
    source = user_path(settings.input)
    if output.exists() and source.exists() and output.samefile(source):
        raise UserError(f"{output} is the input and would be lost: choose another --output=FILE.")
    if output.is_dir():
        raise UserError(f"{output} is a folder: name a file in it, --output={output / 'cells.csv'}.")
    return output


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


def _predictor(config: ConfigDict, runs: Sequence[Run]) -> Predictor:
    fitted = [read_matching_uncertainty(run) for run in runs]
    options = Options(
        batch_size=config.eval.batch_size,
        tta=config.predict.tta,
        pictures=config.predict.page,
        workers=config.data.workers or None,
    )
    return Predictor(runs, fitted, options)


def _predict_all(
    predictor: Predictor,
    items: Sequence[Item],
    class_names: tuple[str, ...],
    output: Path,
    listeners: Sequence[Counter | Gallery],
) -> None:
    """Writes every record as it comes, and adds it to the listeners."""
    with (
        open_output(
            output,
            class_names,
            groups=any(item.group for item in items),
            uncertainty=predictor.uncertainty.available,
        ) as write,
        tqdm(total=len(items), desc="predicting", unit="image") as bar,
    ):
        for record in predictor(items):
            write(record)
            for listener in listeners:
                listener.add(record)
            bar.update()


def _write_beside(
    output: Path,
    config: ConfigDict,
    class_names: tuple[str, ...],
    differential: Differential,
    gallery: Gallery,
) -> None:
    stem = output.with_suffix("") if output.suffix.lower() in (".csv", JSON_LINES) else output
    with disk_errors(f"write beside {output}", remedy="choose another --output=FILE"):
        write_differential(differential, stem)
        if config.predict.page:
            write_page(
                stem.with_name(f"{stem.name}.html"),
                gallery.records(),
                class_names,
                differential,
                title=input_name(config.predict.input),
                attention_extent=config.augment.size / config.data.stored_size,
            )
