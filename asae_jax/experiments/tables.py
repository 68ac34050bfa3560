"""Which rows stand in which table, the paper's numbers beside them, and what is compared with what.

The numbers are the paper's own, on its private data of 14 classes (12,201 training and 3,051 test images).
They are shown in reports and take part in nothing.
"""

import dataclasses
from collections.abc import Mapping

from asae_jax.errors import UserError


@dataclasses.dataclass(frozen=True)
class Entry:
    """A row in a table.

    Attributes:
      row: name in `asae_jax.experiments.rows.ROWS`.
      label: what the table calls it.
      paper: the paper's accuracy in percent, or None.
    """

    row: str
    label: str
    paper: float | None = None


@dataclasses.dataclass(frozen=True)
class Comparison:
    """`row` against `other`: the table says, or asks, whether the first is better."""

    row: str
    other: str


@dataclasses.dataclass(frozen=True)
class Table:
    """A table of the paper, or one of ours."""

    title: str
    entries: tuple[Entry, ...]
    comparisons: tuple[Comparison, ...]

    def paper_gain(self, comparison: Comparison) -> float | None:
        """Points of accuracy that the paper gives for `comparison`, None where it does not."""
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
    "rivals": Table(
        "Hiding something else where ASAE is",
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
                                ("vit", "ViT-S/16"))
            for end in ("", "-asae")
        ),
        tuple(Comparison(f"{name}-asae", name) for name in ("convnext", "efficientnet", "vit")),
    ),
    "recommended": Table(
        "What we recommend, with and without the layer",
        (
            Entry("recommended", "Recommended settings, without the layer"),
            Entry("recommended-asae", "Recommended settings with the layer"),
        ),
        (Comparison("recommended-asae", "recommended"),),
    ),
}  # fmt: skip
"""Name -> table: the paper's 1 to 5, then ours."""

PAPER_TABLES = ("1", "2", "3", "4", "5")


def chosen_tables(names: str) -> dict[str, Table]:
    """The tables named in `names`, separated by commas, in the order of `TABLES`; "all" for every one.

    Raises:
      UserError: a name that is none, or no name at all.
    """
    wanted = {name.strip() for name in names.split(",") if name.strip()}
    wanted = set(TABLES) if wanted == {"all"} else wanted
    unknown = sorted(wanted - set(TABLES))
    if unknown or not wanted:
        raise UserError(
            f"config.reproduce.tables={names!r} cannot be used: name any of {', '.join(TABLES)}, separated "
            "by commas, or all."
        )
    return {name: table for name, table in TABLES.items() if name in wanted}
