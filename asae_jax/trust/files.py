"""The files of a `Trust` in a run folder."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from asae_jax.errors import UserError
from asae_jax.trust.judge import Trust
from asae_jax.trust.ood import REFERENCES

FILE = "trust.json"
FOLDER = "trust"
_ARRAYS = f"{FOLDER}/features.npz"


def write_trust(trust: Trust, workdir: Path, record: Mapping[str, Any]) -> None:
    """Writes `trust.json`, and what is kept of the training images to `trust/features.npz`.

    Args:
      trust: what was fitted.
      workdir: the run folder.
      record: what else to put into the file for readers: measured scores, warnings.
    """
    (workdir / FOLDER).mkdir(parents=True, exist_ok=True)
    (workdir / _ARRAYS).unlink(missing_ok=True)
    if trust.outliers.reference is not None:
        np.savez(workdir / _ARRAYS, **trust.outliers.reference._asdict())
    part = (workdir / FILE).with_suffix(".part")
    part.write_text(json.dumps(trust.to_json() | dict(record), indent=2) + "\n", encoding="utf-8")
    part.replace(workdir / FILE)


def read_trust(workdir: Path) -> Trust | None:
    """What is known about when to believe the run in `workdir`; None where nothing was measured.

    Raises:
      UserError: files that cannot be read.
    """
    path = workdir / FILE
    if not path.exists():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        kind = REFERENCES.get(content["outliers"]["method"])
        if kind is None:
            return Trust.from_json(content)
        with np.load(workdir / _ARRAYS, allow_pickle=False) as arrays:
            return Trust.from_json(content, kind(**arrays))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path} cannot be used ({error}); `evaluate --workdir={workdir}` writes it anew."
        ) from error
