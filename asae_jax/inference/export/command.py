"""`export`: writes a run's network for other programs and compares each file with the network."""

import contextlib
import hashlib
import shutil
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

from asae_jax.config import CONFIG_FILE
from asae_jax.errors import UserError
from asae_jax.evaluation.uncertainty_files import FILE as UNCERTAINTY
from asae_jax.evaluation.uncertainty_files import matching_file
from asae_jax.files import disk_errors, user_path, write_text
from asae_jax.folders import leftover_in
from asae_jax.inference.export import card, onnx_script, packing
from asae_jax.inference.export.formats import ALL, FORMATS, check_writable, wanted_formats
from asae_jax.inference.export.program import (
    EXAMPLE_PREPARED,
    EXAMPLE_RAW,
    PREPROCESSING,
    Program,
    load_program,
    preprocessing,
    write_example,
)
from asae_jax.inference.export.verify import (
    Difference,
    Sample,
    compare,
    in_two_batches,
    sample_images,
)
from asae_jax.json_files import read_json, write_json
from asae_jax.pages import NOTICE
from asae_jax.run.folder import RUN_FILE, versions_now
from asae_jax.run.model_folder import CARD
from asae_jax.run.run import check_one_look
from asae_jax.terminal import Bar

FOLDER = "export"
RECORD = "export.json"


def export(config: ConfigDict, workdir: Path) -> int:
    """Writes the formats that `export.formats` names, and what describes them, to `export.output`.

    Beside them: `preprocessing.json` and an example image before and after it, `export.json` (classes,
    temperature, differences found), `MODEL_CARD.md`, with ONNX a script that uses it (`predict_onnx.py`), and
    the run's `uncertainty.json` where it has one. An earlier export there is removed first.

    Args:
      config: all settings; those of training as the run has them.
      workdir: the run folder.

    Returns:
      The exit status 0.

    Raises:
      UserError: no such run; a folder with other files, or an export that somebody wrote into; a format that
        was asked for by name and cannot be written here, or whose scores differ from the network's, which is
        then removed.
    """
    check_one_look(config, "export")
    names = wanted_formats(config.export.formats)
    optional = config.export.formats.strip() == ALL
    if not optional:
        for name in names:
            check_writable(name, config)
        if packing.FILE in names:
            packing.check_tested_as_it_says(workdir, config)
    folder = user_path(config.export.output) if config.export.output else workdir / FOLDER
    if config.export.output:
        _check_folder(folder, workdir)
    _check_untouched(folder)
    program = load_program(workdir, config)
    sample = sample_images(program.run)
    with disk_errors(f"write the export to {folder}", remedy="choose another --output=DIR"), _on_cpu():
        folder.mkdir(parents=True, exist_ok=True)
        _clear(folder)
        write_json(folder / RECORD, _record(program, sample, {}, {}))  # whose folder it is, should this fail
        written, skipped = _write_all(program, names, sample, folder, optional=optional)
        _write_companions(program, folder, _record(program, sample, written, skipped))
    print(f"written to {folder}; what it is and is not: {card.FILE}. {NOTICE}")
    return 0


def _check_folder(folder: Path, workdir: Path) -> None:
    """Raises a UserError where a given folder holds anything but an export of the same run; see `_clear`."""
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file: give a folder (--output=DIR).")
    if not folder.exists() or not any(folder.iterdir()):
        return
    record = folder / RECORD
    there = read_json(record, remedy="give an empty folder (--output=DIR)") if record.exists() else {}
    if not isinstance(there, dict) or there.get("run") != _identity(workdir):
        holds = "the export of another run" if record.exists() else "other files"
        raise UserError(f"{folder} holds {holds}, which would be lost: give an empty folder (--output=DIR).")


def _check_untouched(folder: Path) -> None:
    """Raises a UserError where a card was written into, or another file lies in the model's folder."""
    record = folder / RECORD
    there = read_json(record, remedy="delete this folder") if record.exists() else {}
    wrote = there.get("wrote") if isinstance(there, dict) else None
    if not isinstance(wrote, dict):  # none, of an earlier version, or not finished
        return
    found = _contents(folder)
    lost = next((name for name in found if found[name] != wrote.get(name)), "")
    if lost:
        what = "was changed after the export" if lost in wrote else "is no part of the export"
        raise UserError(
            f"{folder / lost} {what}, and would be lost: move it elsewhere, or give another folder "
            "(--output=DIR)."
        )


def _contents(folder: Path) -> dict[str, str]:
    """Digests of the cards, which have places to fill in; and the other files of the model's folder, by name.

    Of those it is the name that counts: commands that are given the folder may write into it.
    """
    cards = [folder / card.FILE, folder / packing.FILE / CARD]
    digests = {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in cards if path.is_file()}
    others = (path for path in sorted((folder / packing.FILE).rglob("*")) if path.is_file())
    found = dict.fromkeys(others, "") | digests
    names = {path.relative_to(folder).as_posix(): digest for path, digest in found.items()}
    return {name: digest for name, digest in names.items() if not leftover_in(name)}


def _clear(folder: Path) -> None:
    """Removes what an earlier export wrote: it may be of another checkpoint or way of testing."""
    files = (form.file for form in FORMATS.values())
    described = (PREPROCESSING, EXAMPLE_RAW, EXAMPLE_PREPARED, UNCERTAINTY, card.FILE)
    for name in (*files, onnx_script.FILE, *described):
        _remove(folder / name)


def _identity(workdir: Path) -> str:
    """32 hexadecimal digits of a run's data, classes and settings, wherever it lies."""
    digest = hashlib.sha256()
    for name in (RUN_FILE, CONFIG_FILE):
        path = workdir / name
        digest.update(path.read_bytes() if path.exists() else b"")
    return digest.hexdigest()[:32]


def _write_all(
    program: Program, names: tuple[str, ...], sample: Sample, folder: Path, *, optional: bool
) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """What was written, and why the others were not, by the name of the format."""
    written: dict[str, dict[str, Any]] = {}
    skipped: dict[str, str] = {}
    with Bar("exporting", len(names), "format", timed=False) as bar:
        for name in names:
            bar.note(name)
            try:
                check_writable(name, program.run.config)
                _write(program, name, folder / FORMATS[name].file)
            except UserError as error:
                if not optional:
                    raise
                skipped[name] = str(error)
                bar.say(f"{name:11} left out: {error}")
                bar.update()
                continue
            difference = _checked(program, name, sample, folder)
            written[name] = _entry(name, difference, folder)
            bar.say(_line(name, written[name], sample))
            bar.update()
    return written, skipped


def _write(program: Program, name: str, path: Path) -> None:
    """Writes a format; what is not complete is taken away, also a folder."""
    try:
        FORMATS[name].write(program, path)
    except BaseException:
        _remove(path)
        raise


def _checked(program: Program, name: str, sample: Sample, folder: Path) -> Difference:
    """The difference between the file's scores and the network's; a file that differs too much is removed."""
    kind, path = FORMATS[name], folder / FORMATS[name].file
    reference = program.plain if kind.weights_only else program
    expected = in_two_batches(reference.scores, sample.images)
    difference = compare(
        lambda images: kind.run(program, path, images), sample.images, expected, kind.tolerance
    )
    if not difference.is_small:
        _remove(path)
        raise UserError(
            f"the export {name} does not compute what the network does ({difference.too_large}) and was "
            "removed; please report it, and choose other --formats."
        )
    return difference


def _entry(name: str, difference: Difference, folder: Path) -> dict[str, Any]:
    kind = FORMATS[name]
    return {
        "file": kind.file,
        "bytes": _size(folder / kind.file),
        "images_at_a_time": 1 if kind.one_image else "any",
        "compared_by": kind.read_by,
        "largest_difference": {"logits": difference.logits, "probabilities": difference.probabilities},
        "allowed_difference": {
            "logits": difference.allowed,
            "probabilities": difference.allowed_probabilities,
        },
        "layer": "left out" if kind.weights_only else "as eval.test_mode says",
    }


def _line(name: str, entry: dict[str, Any], sample: Sample) -> str:
    difference = entry["largest_difference"]
    return (
        f"{name:11} {entry['file']:18} {entry['bytes'] / 2**20:7.1f} MiB  largest difference by "
        f"{entry['compared_by']} on {sample.origin}: logits {difference['logits']:.1e}, "
        f"probabilities {difference['probabilities']:.1e}"
        + ("; takes one image at a time" if FORMATS[name].one_image else "")
    )


def _record(
    program: Program, sample: Sample, written: dict[str, dict[str, Any]], skipped: dict[str, str]
) -> dict[str, Any]:
    """The content of `export.json`."""
    run = program.run
    config = run.config.to_dict()
    versions = versions_now()
    return {
        "notice": NOTICE,
        "run": _identity(run.workdir),
        "class_names": list(run.class_names),
        "temperature": program.temperature,
        "calibrated": program.uncertainty is not None,
        "checkpoint_step": run.step,
        "model": config["model"] | {"dtype": "float32", "test_mode": config["eval"]["test_mode"]},
        "asae": config["asae"],
        "compared_on": sample.origin,
        "formats": written,
        "left_out": skipped,
        "versions": versions,
    }


def _write_companions(program: Program, folder: Path, record: dict[str, Any]) -> None:
    write_json(folder / PREPROCESSING, preprocessing(program))
    write_example(program, folder)
    if "onnx" in record["formats"]:
        write_text(folder / onnx_script.FILE, onnx_script.onnx_script(program))
    if program.uncertainty is not None and (estimates := matching_file(program.run)) is not None:
        shutil.copyfile(estimates, folder / UNCERTAINTY)
    write_text(folder / card.FILE, card.model_card(program, record))
    write_json(folder / RECORD, record | {"wrote": _contents(folder)})


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _on_cpu() -> contextlib.AbstractContextManager:
    """JAX on the CPU: accelerators round products to fewer bits, and all others are compared there."""
    try:
        return jax.default_device(jax.devices("cpu")[0])
    except RuntimeError:  # JAX_PLATFORMS leaves it out
        return contextlib.nullcontext()
