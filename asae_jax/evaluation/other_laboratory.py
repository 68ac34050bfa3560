"""How far a run's uncertainty estimates hold on another laboratory's images, and what to be warned of.

The estimates were set on the run's own validation images. Elsewhere stain, camera and magnification differ:
the share of cells unlike the training cells says how much, and with labels it can be seen whether the
threshold still keeps what it promised. Those of a run that was adapted with labels were set on these labelled
cells, by cross-fitting, and know no others (`adapted`).
"""

from collections.abc import Mapping
from typing import Any

from asae_jax.evaluation.provenance import CANNOT_BE_TOLD, are_of_groups
from asae_jax.evaluation.shares import percent, share_text
from asae_jax.evaluation.uncertainty import Part, Uncertainty
from asae_jax.evaluation.uncertainty_report import measured

_FAR_MORE = 2.0


def measure(estimates: Uncertainty, part: Part, *, adapted: bool = False) -> dict[str, Any]:
    """What `uncertainty_report.measured` says of another source, and what would be expected at home.

    Args:
      estimates: of the run.
      part: the other source's images.
      adapted: whether the estimates were set on the labelled cells that the run was adapted with.

    Returns:
      The content of `measured`, and `target_error`: the promised share of errors among what is labelled;
      `threshold`: of the abstention; `outliers_at_home`: share of the run's own validation images that
      look unlike its training images, at most, by the choice of the threshold; `adapted`. Of an adapted run
      that share is of the labelled cells and of others of them.
    """
    return {
        **measured(estimates, part),
        "target_error": estimates.abstention.target_error,
        "threshold": estimates.abstention.threshold,
        "outliers_at_home": 1 - estimates.outliers.quantile,
        "adapted": adapted,
    }


def sentences(found: Mapping[str, Any]) -> list[str]:
    """What was found of another source, in a few sentences; those that warn are `warnings_of`."""
    lines = []
    if (unlike := found["outliers"]) is not None and unlike["share"] is not None:
        lines.append(
            f"{share_text(unlike)} of the images look unlike {_known(found)} "
            f"(the limit was set so that at most {percent(found['outliers_at_home'])} of {_set_on(found)} do)"
        )
    where = "when it was adapted" if _adapted(found) else "at home"
    labelled, promise = found["labelled"], f"promised {where}: at most {percent(found['target_error'])}"
    itself = found.get("labelled_without_a_person")  # files of earlier versions lack it
    if not labelled["count"] or (itself is not None and not itself["count"]):
        lines.append("it would label none of the images by itself, and leave all to a person")
    elif itself is not None:
        lines.append(
            f"it would label {share_text(itself)} of the images by itself, "
            f"{share_text(found['error_without_a_person'])} of them wrongly"
        )
    if labelled["count"]:
        lines.append(
            f"its threshold alone would label {share_text(labelled)}, "
            f"{share_text(found['error_of_labelled'])} of them wrongly ({promise})"
        )
    return lines


def _adapted(found: Mapping[str, Any]) -> bool:
    return bool(found.get("adapted"))  # files of earlier versions lack it


def _known(found: Mapping[str, Any], *, are: str = "images") -> str:
    """What images are compared with."""
    return "the labelled cells that the model was adapted with" if _adapted(found) else f"the training {are}"


def _set_on(found: Mapping[str, Any]) -> str:
    """What the thresholds were set on."""
    return "these themselves" if _adapted(found) else "the run's own validation images"


def warnings_of(scores: Mapping[str, Any]) -> list[str]:
    """What a reader of another source's scores must know, in plain sentences.

    Args:
      scores: content of the file of another source.
    """
    told = []
    if unknown := scores.get("unknown_classes"):
        counts = ", ".join(f"{name} ({count:,})" for name, count in unknown.items())
        told.append(
            f"The run does not know {counts}: these images were left out, and the run would call each of "
            "them something else."
        )
    if absent := scores.get("absent_classes"):
        told.append(f"No image of {', '.join(absent)} here: nothing is measured of these classes.")
    if scores.get("num_trained_on", 0) is None:
        told.append(CANNOT_BE_TOLD)
    if trained := scores.get("num_trained_on"):
        told.append(f"{trained:,} of the images were trained on: the scores are no measure of new images.")
    found = scores.get("uncertainty")
    if not found:
        return [*told, "How many cells are unlike the training cells is not known: the run has no estimates."]
    if are_of_groups(scores):
        told.append(
            f"The intervals of what is labelled, and of cells unlike {_known(found, are='cells')}, are over "
            "images: new patients or slides differ more."
        )
    return told + _look(found) + _promise(found)


def looks_different(found: Mapping[str, Any]) -> bool:
    """Whether far more of the images look unlike the training images than at home (95 % interval)."""
    unlike = found["outliers"]
    known = unlike is not None and unlike["share"] is not None
    return known and unlike["interval"][0] > _FAR_MORE * found["outliers_at_home"]


def _look(found: Mapping[str, Any]) -> list[str]:
    unlike, usual = found["outliers"], found["outliers_at_home"]
    if unlike is None or unlike["share"] is None:
        return [f"How many cells are unlike {_known(found, are='cells')} is not known."]
    if not looks_different(found):
        return []
    usually = f"at most {percent(usual)} of {_set_on(found)}"
    learn, what = ("adapt", "model") if _adapted(found) else ("train", "run")
    return [
        f"The cells look unlike {_known(found, are='cells')}: {percent(unlike['share'])} of them do, and the "
        f"limit was set for {usually}. Another stain, camera or magnification may be the reason; compare the "
        f"pictures, and {learn} with labelled cells like these before relying on the {what} here."
    ]


def _promise(found: Mapping[str, Any]) -> list[str]:
    wrong, target = found["error_of_labelled"], found["target_error"]
    if wrong["share"] is None or wrong["interval"][0] <= target:
        return []
    where = "by the labels it was adapted with" if _adapted(found) else "at home"
    return [
        f"The threshold does not hold here: {percent(wrong['share'])} of the cells that it alone would label "
        f"are wrong, and {where} it was set for {percent(target)}."
    ]
