"""`embed`: a run's features of images, for other programs to use and for a person to look at."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from ml_collections import ConfigDict

from asae_jax.errors import UserError
from asae_jax.evaluation.provenance import among_trained_on
from asae_jax.evaluation.uncertainty_files import conditions, read_matching_uncertainty
from asae_jax.files import disk_errors, together
from asae_jax.inference.embed.embedding import Embedding, gather, spread_places, write_csv, write_npz
from asae_jax.inference.embed.page import write_page
from asae_jax.inference.embed.probe import (
    Labelled,
    compared_classes,
    probe,
    probe_table,
    without_copies,
)
from asae_jax.inference.embed.projection import Projection, project, require_library
from asae_jax.inference.inputs import Item, read_input
from asae_jax.inference.labels import input_groups, input_labels
from asae_jax.inference.output_files import MADE_FROM, FileKinds, OutputFiles, chosen_files
from asae_jax.inference.predictor import Options, Predictor, network_identity
from asae_jax.inference.records import Record
from asae_jax.input.border import BORDER_FEATURES, BORDER_SIDE, border_colours
from asae_jax.input.content import file_contents
from asae_jax.json_files import write_json
from asae_jax.pages import NOTICE
from asae_jax.run.run import Run, open_for_inference
from asae_jax.terminal import track

EMBEDDINGS = FileKinds(
    "embeddings", (".npz", ".csv", ".json", ".html", ".probe.json"), ".json", (".npz",), "cells.npz"
)
"""What `embed` writes."""


def embed(config: ConfigDict, workdir: Path) -> int:
    """Features of the images of `embed.input` by the run in `workdir`.

    Beside each other are written NAME.npz and NAME.csv (see `embedding`), NAME.json with what they were made
    from, the page NAME.html and, with `embed.probe`, NAME.probe.json.

    Args:
      config: settings of the run, `embed` and `eval`.
      workdir: the folder of a run.

    Returns:
      The exit status: 0, also with unreadable images, whose rows carry the error; 1 where too few of the
      labelled images could be read for the probe that was asked for: all else is written.

    Raises:
      UserError: no run or no checkpoint in `workdir`, settings that differ from the run's, no image that can
        be read, a missing library, labels that cannot be probed with, or an output that cannot be written or
        that was made from another input.
    """
    settings = config.embed
    require_library(settings.projection)
    items = read_input(settings.input)
    with (
        chosen_files(
            settings.input, items, given=settings.output, workdir=workdir, kinds=EMBEDDINGS
        ) as files,
        together(),
    ):
        return _embed_to(files, items, config, workdir)


def _embed_to(files: OutputFiles, items: Sequence[Item], config: ConfigDict, workdir: Path) -> int:
    """Writes every file of an input; gives the exit status."""
    settings = config.embed
    run = open_for_inference(workdir, config)
    _ = run.classes  # a table that cannot be read is refused here
    labels = input_labels(settings.input, items, run.class_names, folders=settings.folders)
    groups = input_groups(settings.input, items, labels)
    if settings.probe:
        compared_classes(labels, _all_or_none(labels, groups), folds=settings.folds)
    print(_greeting(items, labels, groups, run))
    records, border = _records(run, items)
    embedding = gather(records, labels, groups, run.class_names)
    projection = project(embedding.features[embedding.usable], settings.projection, seed=config.seed)
    with disk_errors(f"write to {files.output.parent}", remedy="choose another --output=FILE"):
        _write(files, run, embedding, projection, records)
    print(projection.sentence())
    status = 0
    if settings.probe:
        try:
            _probe(files, run, items, embedding, border)
        except _TooFew as error:
            files.remove(".probe.json")
            print(f"no probe, as not all images can be read: {error}")
            status = 1
    print(f"written to {files.output} and beside it. {NOTICE}")
    return status


class _TooFew(Exception):
    """Labelled images that could be read are too few for the probe."""


def _greeting(items: Sequence[Item], labels: Sequence[str], groups: Sequence[str], run: Run) -> str:
    """What is embedded, and by what."""
    known = [label for label in labels if label]
    classes = f"{len(known):,} of them labelled, {len(set(known))} classes" if known else "none labelled"
    names = {group for group in groups if group}
    grouped = f"{len(names):,} group{'s' * (len(names) > 1)}" if names else "groups not known"
    return f"input: {len(items):,} images, {classes}, {grouped}; run {run.workdir}"


def _records(run: Run, items: Sequence[Item]) -> tuple[list[Record], np.ndarray]:
    """A record of each item, with features; and float32 `[N, 12]`, the colours of borders for the probe.

    Thumbnails are kept of `embed.page_cells` at most.
    """
    settings = run.config.embed
    options = Options(
        batch_size=run.config.eval.batch_size,
        pictures=settings.page or settings.probe,
        workers=run.config.data.workers or None,
        features=True,
    )
    predictor = Predictor([run], [read_matching_uncertainty(run)], options)
    shown = min(settings.page_cells, len(items)) if settings.page else 0
    pictured = set(np.linspace(0, len(items) - 1, shown).astype(int).tolist())
    records, border = [], np.zeros((len(items), BORDER_FEATURES), np.float32)
    for row, record in enumerate(track(predictor(items), "embedding", len(items), "image", compiles=1)):
        if record.thumbnail is not None and settings.probe:
            border[row] = _border(record.thumbnail)
        thumbnail = record.thumbnail if row in pictured else None
        records.append(dataclasses.replace(record, attention=None, thumbnail=thumbnail))
    if all(record.error for record in records):
        first = records[0]
        raise UserError(
            f"not one image can be read, the first, {first.path}, because: {first.error} (--input=)"
        )
    return records, border


def _border(thumbnail: bytes) -> np.ndarray:
    image = cv2.imdecode(np.frombuffer(thumbnail, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None  # we have made it
    small = cv2.resize(image[..., ::-1], (BORDER_SIDE, BORDER_SIDE), interpolation=cv2.INTER_AREA)
    return border_colours(small)


def _write(
    files: OutputFiles, run: Run, embedding: Embedding, projection: Projection, records: Sequence[Record]
) -> None:
    places = spread_places(embedding, projection.places)
    # First, as it tells a later call what the others were made from.
    write_json(files.beside(".json"), _record(files, run, embedding, projection))
    write_npz(files.output, embedding, places, run.class_names)
    write_csv(files.beside(".csv"), embedding, places)
    if run.config.embed.page:
        write_page(
            files.beside(".html"),
            embedding,
            projection,
            [record.thumbnail for record in records],
            title=files.title,
            classes=run.classes,
        )
    else:
        files.remove(".html")
    if not run.config.embed.probe:
        files.remove(".probe.json")


def _record(files: OutputFiles, run: Run, embedding: Embedding, projection: Projection) -> dict[str, Any]:
    return {
        MADE_FROM: _made_from(files, run),
        "images": len(embedding.paths),
        "unreadable": int((~embedding.usable).sum()),
        "labelled": int((embedding.labels != "").sum()),
        "channels": embedding.features.shape[1],
        "stage": run.network.backbone.stage_names[-1],
        "class_names": list(run.class_names),
        "projection": projection.method,
        "explained_variance": projection.explained,
        "notice": NOTICE,
    }


def _made_from(files: OutputFiles, run: Run) -> dict[str, Any]:
    return {
        **files.record(),
        "runs": [{"folder": str(run.workdir.absolute()), **conditions(run)}],
        "network": network_identity([run]),
    }


def _probe(
    files: OutputFiles, run: Run, items: Sequence[Item], embedding: Embedding, border: np.ndarray
) -> None:
    """Probes with the labelled images that could be read, prints and writes the result."""
    labelled = np.flatnonzero(embedding.usable & (embedding.labels != ""))
    contents = file_contents(items[row].file for row in labelled.tolist())
    kept = without_copies(contents, embedding.labels[labelled])
    rows = labelled[kept]
    groups = embedding.groups[rows]
    known = groups.tolist() if (groups != "").all() else None
    try:
        compared_classes(embedding.labels[rows].tolist(), known, folds=run.config.embed.folds)
    except UserError as error:
        raise _TooFew(error) from error
    trained = among_trained_on(run, contents[kept], pixels=False)
    given = Labelled(
        embedding.features[rows],
        embedding.labels[rows],
        groups if (groups != "").all() else None,
        border[rows],
        embedding.predicted[rows],
        trained,
        copies=int((~kept).sum()),
    )
    config = run.config
    found = probe(
        given,
        run.class_names,
        folds=config.embed.folds,
        resamples=config.eval.bootstrap,
        seed=config.seed,
    )
    path = files.beside(".probe.json")
    with disk_errors(f"write {path}", remedy="choose another --output=FILE"):
        write_json(path, found | {MADE_FROM: _made_from(files, run), "notice": NOTICE})
    print(probe_table(found))


def _all_or_none(labels: Sequence[str], groups: Sequence[str]) -> list[str] | None:
    """The groups, where those of all labelled images are known."""
    of_labelled = [group for label, group in zip(labels, groups, strict=True) if label]
    return list(groups) if of_labelled and all(of_labelled) else None
