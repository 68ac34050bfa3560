"""What the findings mean, in sentences: what would make scores untrue, and what to know before training."""

from collections.abc import Mapping
from typing import Any

REPEATED = 10
"""Times per epoch from which on a repeated image is worth a warning."""


def faults(found: Mapping[str, Any]) -> list[str]:
    """One sentence for everything in `found` that would make scores untrue, with its remedy."""
    across, differ = found["duplicates"]["num_across_split"], found["duplicates"]["num_labels_differ"]
    listed = {
        f"{_images(across)} in more than one part of the split: the score of such an image is that of one "
        "seen in training. Remove all but one, or put all into one part.": across,
        f"{_images(differ)} under more than one label: one of the labels is wrong. Correct it, or remove the "
        "image.": differ,
    }
    return [text for text, count in listed.items() if count]


def warnings(found: Mapping[str, Any]) -> list[str]:
    """One sentence for everything else that a person should know."""
    files = ", ".join(f"{len(listed):,} {kind}" for kind, listed in found["files"].items() if listed)
    untrained = [name for name, counts in found["counts"]["per_class"].items() if not counts["train"]]
    surplus = found["duplicates"]["num_surplus"]
    repeated = [name for name, t in found["balance"]["times_seen_per_epoch"].items() if t >= REPEATED]
    candidates = (
        f"Files: {files}." if files else "",
        f"No training image of class {', '.join(untrained)}." if untrained else "",
        f"{surplus:,} surplus copies of images that are there already." if surplus else "",
        _about_groups(found),
        _about_border(found["border_shortcut"]),
        f"Balanced batches show each image of {', '.join(repeated)} {REPEATED} times an epoch or more."
        if repeated
        else "",
    )
    return [text for text in candidates if text]


def _about_groups(found: Mapping[str, Any]) -> str:
    if found["counts"]["per_group"] is None:
        return (
            "No groups (slides, patients) are known: it cannot be told whether one is in more than one part "
            "of the split."
        )
    shared = len(found["groups_across_split"])
    if not shared:
        return ""
    return (
        f"{shared:,} groups (slides, patients) have images in more than one part of the split: scores are "
        "better than they would be on a new one."
    )


def _about_border(shortcut: Mapping[str, Any] | None) -> str:
    if not (shortcut and shortcut["warns"]):
        return ""
    return (
        f"The colour of the border alone names the class with a balanced accuracy of "
        f"{shortcut['balanced_accuracy']:.2f}, where chance gives {shortcut['chance']:.2f}: a network can "
        "learn how a class was photographed instead of its cells."
    )


def _images(count: int) -> str:
    return f"{count:,} image is" if count == 1 else f"{count:,} images are"
