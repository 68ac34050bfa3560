"""The folder of an adapted model: weights, settings, estimates where labels allow them, and a card."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from asae_jax.errors import UserError
from asae_jax.evaluation.uncertainty import Uncertainty
from asae_jax.evaluation.uncertainty_files import write_uncertainty
from asae_jax.files import disk_errors, irreplaceable, name_beside, user_path, write_text
from asae_jax.inference.portable import model_record, portable
from asae_jax.json_files import write_sealed_json
from asae_jax.pages import NOTICE
from asae_jax.run import folder, weights_file
from asae_jax.run.adaptation import FILE
from asae_jax.run.model_folder import CARD
from asae_jax.run.run import Run

PROPOSALS = "to_label.csv"


def check_output(text: str, source: Path) -> Path:
    """The folder that `adapt.output` names.

    Raises:
      UserError: none is named, it holds something, or it cannot be replaced (the folder that the user works
        in, a mount point, a link).
    """
    if not text:
        raise UserError(
            "--output=DIR is missing: name a new folder for the adapted model (the run stays as it is)"
        )
    path = user_path(text)
    if path.resolve() == source.resolve():
        raise UserError(f"--output={text} is the run itself, which stays as it is: name a new folder.")
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise UserError(f"--output={text} exists: name a new folder for the adapted model, or delete it.")
    if what := irreplaceable(path):
        raise UserError(f"--output={text} {what}: name a new folder for the model, in it for instance.")
    return path


def write_adapted(
    path: Path,
    run: Run,
    config: ConfigDict,
    variables: Mapping[str, Any],
    record: Mapping[str, Any],
    *,
    estimates: Uncertainty | None,
    to_label: str,
) -> None:
    """Writes the model folder `path`: at once and complete, or not at all.

    Args:
      path: new or empty.
      run: that was adapted.
      config: its settings with what was changed.
      variables: adapted.
      record: the content of `adaptation.json`.
      estimates: fitted to the labels; None: there are none, and the run's own are not taken over, as they
        do not hold.
      to_label: content of `to_label.csv`; empty: none is written.

    Raises:
      UserError: it cannot be written.
    """
    part = name_beside(path)
    try:
        with disk_errors(f"write the adapted model to {path}", remedy="choose another --output=DIR"):
            part.mkdir(parents=True)
            weights_file.write(part, variables, step=run.step, checkpoint=run.config.eval.checkpoint)
            write_sealed_json(part / FILE, dict(record))
            write_text(part / CARD, card(record))
            if (run.workdir / folder.CLASSES_FILE).exists():
                folder.write_own_classes(part, run.classes)
            if estimates is not None:
                write_uncertainty(
                    estimates, part, {"caveats": record["notes"], "notice": NOTICE}, compact=True
                )
            if to_label:
                write_text(part / PROPOSALS, to_label)
            folder.write(part, portable(config), model_record(run, part))
            if path.is_dir():
                path.rmdir()
            part.rename(path)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def card(record: Mapping[str, Any]) -> str:
    """`README.md` of an adapted model."""
    lines = [
        f"# {record['source']['name']}, adapted to another laboratory",
        f"**{NOTICE}**",
        "\n".join(f"- {note}" for note in record["notes"]),
        "Use it by `asae predict --model=FOLDER --input=CELLS`. The run that it was made from is as it was.",
        "What was done, in numbers:",
        f"```json\n{json.dumps(record, indent=1, ensure_ascii=False)}\n```",
    ]
    return "\n\n".join(lines) + "\n"
