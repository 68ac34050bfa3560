"""Every kind of page, written by the package's own functions from made-up cells: nothing is trained."""

import csv
import dataclasses

import numpy as np
from PIL import Image

from asae_jax.audit.command import audit
from asae_jax.config import base_config
from asae_jax.inference.alignment import Alignment
from asae_jax.inference.embed import page as embed
from asae_jax.inference.embed.embedding import Embedding
from asae_jax.inference.embed.projection import pca
from asae_jax.inference.explain import report
from asae_jax.inference.explain.explanations import Averages, Explanation
from asae_jax.inference.explain.faithfulness import Measured
from asae_jax.inference.predict import page as predict
from asae_jax.inference.predict.count.differential import Counter
from asae_jax.inference.predict.similar import Similar
from asae_jax.inference.records import PredictionUncertainty, Record
from asae_jax.inference.uncertainty import Thresholds
from asae_jax.input.cell_classes import cell_classes
from asae_jax.pages import encode_jpeg
from asae_jax.review.agreement_command import agreement
from asae_jax.synthetic import render
from tests.experiments.test_report import Grid

CLASSES = ("BLA", "EBO", "LYT", "MON", "NGS")
CELLS = 40
LARGE, SMALL = 160, 3
"""Pixels of the cells on the page of `predict`, and the number of the one that has a small picture only."""


def predict_page(path, *, cells=CELLS, network="n", key="", classes=CLASSES, groups=None):
    """The page of `predict`: cells of two patients, some unsure, some unlike, one file unreadable.

    `groups` gives patients other names.
    """
    records = [*predicted_cells(cells), Record("p2/broken.png", "p2/broken.png", "p2", "empty file")]
    names = {"p1": "p1", "p2": "p2"} | (groups or {})
    records = [dataclasses.replace(record, group=names[record.group]) for record in records]
    counter = Counter(cell_classes(classes))
    for record in records:
        counter.add(record)
    differential = counter.differential(["Counts are of the cells in these images, not of a smear."])
    page = predict.ReviewPage(
        records,
        classes,
        differential,
        title="made cells",
        key=key,
        network=network,
        attention_extent=0.9,
        thresholds=Thresholds(certainty=0.6, outlier=33.5, confidence=0.9),
        similar=_similar(len(records)),
        megabytes=1,
    )
    predict.write_page(path, page)
    return path


def _similar(count):
    """Five training cells, one of each class, that are like every one of `count` cells."""
    pictures = [encode_jpeg(render(0, number, size=64), quality=80) for number in range(len(CLASSES))]
    return Similar(range(len(CLASSES)), pictures, [[(n, 0.9 - n / 10) for n in range(5)]] * count)


def predicted_cells(count=CELLS):
    """What is on the page of `predict`: a record of each cell, in the order of the input."""
    rng = np.random.default_rng(0)
    return [_record(number, rng) for number in range(count)]


def _record(number, rng):
    probabilities = rng.dirichlet(np.full(len(CLASSES), 0.4)).astype(np.float32)
    highest = probabilities.max()
    likely = tuple(int(label) for label in np.flatnonzero(probabilities > 0.15))
    path = f"p{number % 2 + 1}/cell {number:03}.png"
    return Record(
        path,
        path,
        path.split("/")[0],
        content=f"pixels of {number}",
        probabilities=probabilities,
        attention=rng.integers(256, size=(8, 8)).astype(np.uint8),
        thumbnail=encode_jpeg(render(0, number, size=96), quality=80),
        picture=encode_jpeg(render(0, number, size=LARGE), quality=88) if number != SMALL else None,
        size=(LARGE, LARGE),
        uncertainty=PredictionUncertainty(bool(highest < 0.6), float(number), number % 11 == 0, likely),
    )


def embed_page(path):
    """The page of `embed`: a map of cells, half of them labelled."""
    rng = np.random.default_rng(1)
    features = rng.normal(size=(CELLS, 6)).astype(np.float32)
    features[-1] = np.nan
    numbers = np.arange(CELLS)
    embedding = Embedding(
        features,
        paths=np.array([f"p{n % 2}/cell {n}.png" for n in numbers]),
        labels=np.array([CLASSES[n % 5] if n % 2 else "" for n in numbers]),
        groups=np.array([f"p{n % 2}" for n in numbers]),
        predicted=np.array([CLASSES[n % 4] if n < CELLS - 1 else "" for n in numbers]),
        probability=rng.uniform(0.3, 1, CELLS).astype(np.float32),
        outlier_score=rng.normal(size=CELLS).astype(np.float32),
        errors=np.array([""] * (CELLS - 1) + ["empty file"]),
    )
    pictures = [encode_jpeg(render(0, n, size=64), quality=80) for n in range(CELLS - 1)] + [None]
    embed.write_page(path, embedding, pca(features[:-1]), pictures, title="made cells")
    return path


def audit_page(folder, *, damaged=True):
    """The page of `audit`; with `damaged`, of cells that have one of each fault."""
    cells = folder / "cells"
    for number in range(24):
        _save(cells / CLASSES[number % 3] / f"a cell with a long name {number:03}.png", number)
    if damaged:
        _save(cells / "EBO" / "copy.png", 0)
        _save(cells / "LYT" / "tiny.png", 90, size=18)
        (cells / "BLA" / "empty.png").write_bytes(b"")
        (cells / "BLA" / "notes.txt").write_text("seen on Monday")
    config = base_config()
    config.data.update({"source": "folder", "path": str(cells), "workers": 2})
    config.train.batch_size = 8
    audit(config, folder / "run")
    return folder / "run" / "audit" / "index.html"


def _save(path, number, *, size=64):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(render(0, number, size=size)).save(path)


def explain_page(folder, *, layer=True, tested=True):
    """The page of `explain` of a run with or without the layer: six images, one of them wrong.

    Without `tested` there is no test of faithfulness, as where no true class is known.
    """
    rng = np.random.default_rng(2)
    shown = [report.Shown(_explanation(number, rng), f"images/{number}.png") for number in range(6)]
    averages = Averages()
    for one in (each.explanation for each in shown):
        averages.add(one.label, one.image, one.attention, one.peaks[0], one.grad_cams["last"][1])
    found = report.summarise(_measured(rng), CLASSES, groups=None, resamples=50, seed=0)
    found |= {"sentence": report.sentence(found), "method": "The region is occluded."}
    page = report.ExplainPage(
        shown,
        cell_classes(CLASSES),
        title="made, step 7: the test part of its data",
        facts=["Self-attention is the layer's, on the 6 x 6 features after middle."],
        report=found if tested else None,
        means=averages.means(),
        alignments=[*shown[0].explanation.alignments.values()],
        example=shown[0].explanation if layer else None,
        bad=[("broken.png", "empty file")],
        guessed=False,
    )
    report.write_page(folder / "index.html", page)
    return folder / "index.html"


def _explanation(number, rng):
    regions = np.zeros((2, 6, 6), bool)
    regions[0, 1:3, 1:3] = regions[1, 4:, 4:] = True
    return Explanation(
        name=f"cell {number}.png",
        image=render(0, number, size=48),
        label=number % 3,
        probabilities=np.roll([0.6, 0.2, 0.1, 0.05, 0.05], number % 3 + (number == 5)),
        attention=rng.uniform(size=(6, 6)),
        enhancement=rng.uniform(size=(6, 6)),
        peaks=np.array([[1, 1], [4, 4]]),
        regions=regions,
        grad_cams={"middle": rng.normal(size=(2, 6, 6)), "last": rng.normal(size=(2, 3, 3))},
        alignments={"middle": Alignment(6, 48, 8, 4), "last": Alignment(3, 48, 16, 8)},
    )


def _measured(rng, count=30):
    before = np.log(rng.uniform(0.5, 1, count))
    after = before[:, None] - rng.uniform(0, 1, (count, 5)) * [1, 0.8, 0.5, 0.2, 0.2]
    return Measured(
        rows=np.arange(count),
        labels=np.arange(count) % 3,
        before=before,
        after=after,
        change=rng.uniform(0, 1, (count, 5)),
        share=np.full((count, 5), 0.11),
    )


def agreement_page(folder):
    """The page of `agreement`: three people and the network, who differ on some cells."""
    lists = []
    for reader in range(3):
        lists.append(folder / f"reader {reader}.csv")
        with lists[-1].open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["path", "label", "predicted"])
            for number in range(24):
                path, differs = folder / f"cell {number:02}.png", number % (reader + 3) == 0
                if not reader:
                    _save(path, number)
                label = CLASSES[(number + differs) % len(CLASSES)]
                writer.writerow([path, label, CLASSES[number % len(CLASSES)]])
    config = base_config()
    config.agreement.reviewed = ",".join(map(str, lists))
    config.eval.bootstrap = 20
    agreement(config, folder / "out")
    return folder / "out" / "agreement.html"


def reproduce_page(folder):
    """The report of `reproduce`: a grid of two tables, finished but for one run that failed."""
    Grid(folder, "1,4", seeds=3, failed="asae-gce-s2")
    return folder / "report.html"
