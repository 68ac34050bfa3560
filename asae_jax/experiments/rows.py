"""The rows that are compared, and the tables they stand in: the paper's five and ours.

A row says only what is compared: the settings in which it differs from the plain backbone. Image size,
backbone, schedule and everything else come from the configuration that `reproduce` is given, and are the same
in all rows. In `model.name` the word "{main}" stands for the backbone of that configuration: ResNet-50 in the
paper, a smaller one on a CPU.

The paper's numbers are from its private data of 14 classes (12,201 training and 3,051 test images). Reports
show them; nothing is computed from them but the gain that a claim is about.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from asae_jax.errors import UserError

Settings = Mapping[str, Any]
"""`section.field` -> value."""


@dataclasses.dataclass(frozen=True)
class Row:
    """A method to compare: what it sets, on top of what all rows share.

    Attributes:
      label: its name in reports.
      settings: the fields in which it differs from `PLAIN`.
      file: name of a recipe that replaces the given configuration and `PLAIN`; the data, their split and
        classes, the batch size, what is judged uncertain, and the seed are kept.
      note: a caveat that reports print beside it.
    """

    label: str
    settings: Settings = dataclasses.field(default_factory=dict)
    file: str = ""
    note: str = ""


PLAIN: Settings = {
    "data.hue": "none",
    "data.stain": "none",
    "data.sampler": "shuffled",
    "augment.mix": "none",
    "model.branching": "none",
    "model.insert_after": "layer3",
    "model.branch_statistics": "separate",
    "model.running_statistics": "all",
    "model.branch_affine": "shared",
    "asae.branches": "suppress,enhance",
    "asae.attention": "auto",
    "asae.enhancement": "sigmoid",
    "asae.ramp_epochs": 0.0,
    "asae.rescale": False,
    "asae.place": "peak",
    "loss.name": "ce",
    "loss.branches": "mean_probability",
    "loss.agreement": 0.0,
    "loss.label_smoothing": 0.0,
    "eval.test_mode": "skip",
    "eval.batch_statistics": "running",
}
"""Table 1's first row, and the start of all others: overrides what the given configuration says here."""

_HUE = {"data.hue": "paper"}
_BALANCED = _HUE | {"data.sampler": "balanced"}  # Table 1's last row, the baseline of Tables 2 to 4
_ASAE = _BALANCED | {"model.branching": "asae"}

_ADAMW = {
    "optimizer.name": "adamw",
    "optimizer.nesterov": False,
    "optimizer.learning_rate": 1e-3,
    "optimizer.weight_decay": 0.05,
    "optimizer.decay_all": False,
}

_ABSTRACT = "Reconstructed from the abstract of its paper: no table of its layers is public."
_SHUFFLED = "On shuffled batches, as the loss itself weights the classes."


def _modern(label: str, name: str, settings: Settings) -> Row:
    """A row of a modern backbone, with the optimiser that ConvNeXt and ViT are usually trained with."""
    note = "Trained with AdamW, rate 0.001 and weight decay 0.05, instead of the given optimiser."
    return Row(label, {**settings, **_ADAMW, "model.name": name}, note=note)


_RANDOM: Settings = {"init.pretrained": "", "init.freeze": "", "init.views": 0}
_CELLS = {"init.pretrained": "cells", "init.freeze": "", "init.views": 0, "train.epochs": 15}


def _start(label: str, settings: Settings) -> Row:
    """A row that differs from others in where its weights come from, and in what of them is trained."""
    note = "The included model has seen the cells of data/models/images.csv: on those its rows are too good."
    return Row(label, settings, file="own_cells", note=note)


ROWS: Mapping[str, Row] = {
    "plain": Row("Plain backbone"),
    "hue": Row("+ hue adjustment", _HUE),
    "baseline": Row("+ hue adjustment + balanced sampler", _BALANCED),
    "as-layer4": Row("AS branch after layer4",
                     _ASAE | {"asae.branches": "suppress", "model.insert_after": "layer4"}),
    "as-layer3": Row("AS branch after layer3", _ASAE | {"asae.branches": "suppress"}),
    "ae-layer3": Row("AE branch after layer3", _ASAE | {"asae.branches": "enhance"}),
    "asae": Row("ASAE layer after layer3", _ASAE),
    "asae-gce": Row("ASAE layer, GCE loss", _ASAE | {"loss.name": "gce"}),
    "asae-gmmce": Row("ASAE layer, GMMCE loss: the full method", _ASAE | {"loss.name": "gmmce"}),
    "vgg16": Row("VGG-16", _BALANCED | {"model.name": "vgg16_bn"},
                 note="With batch normalisation: without, it hardly trains from scratch at the common rate."),
    "vgg16-asae": Row("VGG-16 + ASAE layer", _ASAE | {"model.name": "vgg16_bn"}),
    "resnet18": Row("ResNet-18", _BALANCED | {"model.name": "resnet18"}),
    "resnet18-asae": Row("ResNet-18 + ASAE layer", _ASAE | {"model.name": "resnet18"}),
    "resnet50": Row("ResNet-50", _BALANCED | {"model.name": "resnet50"}),
    "resnet50-asae": Row("ResNet-50 + ASAE layer", _ASAE | {"model.name": "resnet50"}),
    "wbcnet": Row("WBCNet", {"model.name": "wbcnet"}, note=_ABSTRACT),
    "cell3net": Row("Cell3Net", {"model.name": "cell3net"}, note=_ABSTRACT),
    "nlnet": Row("NLNet", {"model.name": "nl_{main}"}),
    "senet": Row("SENet", {"model.name": "se_{main}"}),
    "adl": Row("ADL", {"model.name": "adl_{main}"}),
    "dropout": Row("Dropout", _BALANCED | {"model.branching": "dropout"}),
    "spatial-dropout": Row("Spatial Dropout", _BALANCED | {"model.branching": "spatial_dropout"}),
    "maxdrop": Row("MaxDrop", _BALANCED | {"model.branching": "maxdrop"}),
    "dropblock": Row("DropBlock", _BALANCED | {"model.branching": "dropblock", "drop.block_size": 0.5},
                     note="Blocks of half the map's side, 7 of 14 positions as in its paper."),
    "diversification": Row("Diversification Block", _BALANCED | {"model.branching": "diversification"}),
    "label-smoothing": Row("Label smoothing 0.1", _HUE | {"loss.label_smoothing": 0.1}),
    "focal": Row("Focal loss", _HUE | {"loss.name": "focal"}),
    "class-balanced": Row("Class-balanced cross entropy", _HUE | {"loss.name": "class_balanced"},
                          note=_SHUFFLED),
    "logit-adjusted": Row("Logit-adjusted cross entropy", _HUE | {"loss.name": "logit_adjusted"},
                          note=_SHUFFLED),
    "weighted-sampling": Row("Class-weighted sampling", _HUE | {"data.sampler": "weighted"}),
    "mixup": Row("mixup", _HUE | {"augment.mix": "mixup"}),
    "cutmix": Row("CutMix", _HUE | {"augment.mix": "cutmix"}),
    "gmmce": Row("GMMCE loss without the layer", _BALANCED | {"loss.name": "gmmce"}),
    "convnext": _modern("ConvNeXt-Tiny", "convnext_tiny", _BALANCED),
    "convnext-asae": _modern("ConvNeXt-Tiny + ASAE layer", "convnext_tiny", _ASAE),
    "efficientnet": _modern("EfficientNet-B0", "efficientnet_b0", _BALANCED),
    "efficientnet-asae": _modern("EfficientNet-B0 + ASAE layer", "efficientnet_b0", _ASAE),
    "vit": _modern("ViT", "vit_small", _BALANCED),
    "vit-asae": _modern("ViT + ASAE layer", "vit_small", _ASAE),
    "recommended": Row("From random weights", _RANDOM, file="own_cells_scratch"),
    "recommended-asae": Row("From random weights, with the layer", _RANDOM, file="own_cells_asae"),
    "start-random": _start("Random weights, twice as many epochs",
                           {**_RANDOM, "train.epochs": 30, "optimizer.learning_rate": 1e-3}),
    "start-probe": _start("Included model, last layer alone (a linear probe)",
                          {**_CELLS, "init.freeze": "layer4", "init.views": 8,
                           "optimizer.learning_rate": 5e-3}),
    "start-layer4": _start("Included model, layer4 and last layer",
                           {**_CELLS, "init.freeze": "layer3", "init.views": 8}),
    "start-tuned": _start("Included model, everything fine-tuned", _CELLS),
    "trained-plainly": Row("Trained plainly", file="shipped"),
    "trained-for-others": Row("Trained for other laboratories", file="another_laboratory"),
}  # fmt: skip
"""Name -> row; run folders are named after it. Rows whose settings come out equal share their runs."""


@dataclasses.dataclass(frozen=True)
class Entry:
    """A row as it stands in a table.

    Attributes:
      row: name in `ROWS`.
      label: its name in the table.
      paper: the paper's accuracy in percent; None where the paper has no such row.
    """

    row: str
    label: str
    paper: float | None = None


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Whether `row` is better than `other`: the paper's claim, or our question."""

    row: str
    other: str


@dataclasses.dataclass(frozen=True)
class Table:
    """A table of the paper, or one of ours."""

    title: str
    entries: tuple[Entry, ...]
    comparisons: tuple[Comparison, ...]

    def paper_gain(self, comparison: Comparison) -> float | None:
        """The gain in accuracy that the paper claims, in points; None where it claims none."""
        paper = {entry.row: entry.paper for entry in self.entries}
        ours, theirs = paper[comparison.row], paper[comparison.other]
        return None if ours is None or theirs is None else ours - theirs


def _against(other: str, *rows: str) -> tuple[Comparison, ...]:
    return tuple(Comparison(row, other) for row in rows)


def _each_beaten_by(row: str, *others: str) -> tuple[Comparison, ...]:
    return tuple(Comparison(row, other) for other in others)


_DROPS = ("dropout", "spatial-dropout", "maxdrop", "dropblock", "diversification")
_LOSSES = (
    "label-smoothing", "focal", "class-balanced", "logit-adjusted", "weighted-sampling", "mixup", "cutmix",
)  # fmt: skip

TRANSFER = "transfer"
"""The table whose runs are then tested in another laboratory, which it needs."""

TABLES: Mapping[str, Table] = {
    "1": Table(
        "Hue adjustment and balanced sampler",
        (
            Entry("plain", "ResNet-50", 72.61),
            Entry("hue", "+ hue adjustment", 73.02),
            Entry("baseline", "+ hue adjustment + balanced sampler", 73.53),
        ),
        (Comparison("hue", "plain"), Comparison("baseline", "hue")),
    ),
    "2": Table(
        "ASAE layer",
        (
            Entry("baseline", "ResNet-50", 73.53),
            Entry("as-layer4", "ResNet-50 + AS branch (after layer4)", 74.03),
            Entry("as-layer3", "ResNet-50 + AS branch (after layer3)", 74.79),
            Entry("ae-layer3", "ResNet-50 + AE branch (after layer3; in the text only)", 74.10),
            Entry("asae", "ResNet-50 + ASAE layer (after layer3)", 75.11),
        ),
        (
            *_against("baseline", "as-layer4", "as-layer3", "ae-layer3", "asae"),
            Comparison("as-layer3", "as-layer4"),
            Comparison("asae", "as-layer3"),
        ),
    ),
    "3": Table(
        "Different backbones",
        (
            Entry("vgg16", "VGG-16", 71.21),
            Entry("vgg16-asae", "VGG-16 + ASAE layer", 72.03),
            Entry("resnet18", "ResNet-18", 72.13),
            Entry("resnet18-asae", "ResNet-18 + ASAE layer", 73.36),
            Entry("resnet50", "ResNet-50", 73.53),
            Entry("resnet50-asae", "ResNet-50 + ASAE layer", 75.11),
        ),
        tuple(Comparison(f"{name}-asae", name) for name in ("vgg16", "resnet18", "resnet50")),
    ),
    "4": Table(
        "Training loss (with the ASAE layer)",
        (
            Entry("asae", "CE", 75.11),
            Entry("asae-gce", "GCE", 76.42),
            Entry("asae-gmmce", "GMMCE", 77.63),
        ),
        (*_against("asae", "asae-gce", "asae-gmmce"), Comparison("asae-gmmce", "asae-gce")),
    ),
    "5": Table(
        "Other methods",
        (
            Entry("wbcnet", "WBCNet", 69.63),
            Entry("cell3net", "Cell3Net", 70.21),
            Entry("plain", "ResNet-50", 72.61),
            Entry("nlnet", "NLNet", 73.12),
            Entry("senet", "SENet", 73.29),
            Entry("adl", "ADL", 73.84),
            Entry("asae-gmmce", "Proposed method", 77.63),
        ),
        _each_beaten_by("asae-gmmce", "wbcnet", "cell3net", "plain", "nlnet", "senet", "adl"),
    ),
    "baselines": Table(
        "Other layers in the place of ASAE",
        (
            Entry("baseline", "Baseline"),
            *(Entry(row, label) for row, label in zip(
                _DROPS, ("Dropout", "Spatial Dropout", "MaxDrop", "DropBlock", "Diversification Block"),
                strict=True)),
            Entry("asae", "ASAE layer"),
        ),
        (*_against("baseline", *_DROPS), *_each_beaten_by("asae", *_DROPS)),
    ),
    "losses": Table(
        "Other remedies for rare and confusable classes",
        (
            Entry("hue", "Baseline (shuffled)"),
            Entry("baseline", "Baseline (balanced sampler)"),
            *(Entry(row, label) for row, label in zip(
                _LOSSES, ("Label smoothing", "Focal loss", "Class-balanced", "Logit-adjusted",
                          "Class-weighted sampling", "mixup", "CutMix"), strict=True)),
            Entry("gmmce", "GMMCE loss without the layer"),
            Entry("asae-gmmce", "The full method"),
        ),
        (
            *_against("hue", *_LOSSES),
            Comparison("gmmce", "baseline"),
            *_each_beaten_by("asae-gmmce", *_LOSSES),
        ),
    ),
    "backbones": Table(
        "The layer in modern backbones",
        tuple(
            Entry(f"{name}{end}", f"{label}{' + ASAE layer' if end else ''}")
            for name, label in (("convnext", "ConvNeXt-Tiny"), ("efficientnet", "EfficientNet-B0"),
                                ("vit", "ViT"))
            for end in ("", "-asae")
        ),
        tuple(Comparison(f"{name}-asae", name) for name in ("convnext", "efficientnet", "vit")),
    ),
    "recommended": Table(
        "From random weights, with and without the layer",
        (
            Entry("recommended", "Without the layer"),
            Entry("recommended-asae", "With the layer"),
        ),
        (Comparison("recommended-asae", "recommended"),),
    ),
    "starts": Table(
        "Where to start from",
        (
            Entry("start-random", "Random weights, twice as many epochs"),
            Entry("start-probe", "Included model, last layer alone"),
            Entry("start-layer4", "Included model, layer4 and last layer"),
            Entry("start-tuned", "Included model, everything fine-tuned"),
        ),
        (
            *_against("start-random", "start-probe", "start-layer4", "start-tuned"),
            *_against("start-probe", "start-tuned"),
        ),
    ),
    TRANSFER: Table(
        "Training for other laboratories, in the own one",
        (
            Entry("trained-plainly", "Trained plainly"),
            Entry("trained-for-others", "Trained for other laboratories"),
        ),
        (Comparison("trained-for-others", "trained-plainly"),),
    ),
}  # fmt: skip
"""Name -> table: the paper's 1 to 5, then ours."""

PAPER_TABLES = ("1", "2", "3", "4", "5")

_FORMER_NAMES = {"rivals": "baselines"}


def chosen_tables(names: str) -> dict[str, Table]:
    """The tables named in `names`, separated by commas, in the order of `TABLES`; "all" but for `TRANSFER`.

    Raises:
      UserError: an unknown name, or none at all.
    """
    wanted = {_FORMER_NAMES.get(name, name) for name in map(str.strip, names.split(",")) if name}
    wanted = set(TABLES) - {TRANSFER} if wanted == {"all"} else wanted
    unknown = sorted(wanted - set(TABLES))
    if unknown or not wanted:
        raise UserError(
            f"config.reproduce.tables={names!r} cannot be used: name any of {', '.join(TABLES)}, separated "
            "by commas, or all."
        )
    return {name: table for name, table in TABLES.items() if name in wanted}
