"""What runs are worth in another laboratory: as they are, with each remedy alone, together, and with labels.

    python -m benchmarks.transfer --workdir RUN [RUN ...] --data=CELLS.csv --class_map=MAP.csv \\
      --output=transfer

CELLS.csv is `path,label,split` of the other laboratory; MAP.csv `from,to` (or the name of an included map)
turns its labels into the runs' classes, the others are cells that the runs know nothing of. The unlabelled
images of every remedy, and the labels, are of the split "train", cells of unknown classes among the former,
as in a laboratory; every score is of the split "test". Nothing is chosen by a test image. It writes
OUTPUT.json, OUTPUT.md and OUTPUT.html, in which the runs stand side by side.

`asae reproduce --tables=transfer` trains such runs, and measures them in this way.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from asae_jax.experiments.transfer.cells import read_listed
from asae_jax.experiments.transfer.networks import APPEARANCES
from asae_jax.experiments.transfer.pages import line, write_pages
from asae_jax.experiments.transfer.scores import LABELS, Trial, measure
from asae_jax.input.sources import named_class_map
from asae_jax.run.run import open_run


def main() -> None:
    """Measures and writes."""
    given = _arguments()
    names = given.names or [Path(workdir).absolute().name for workdir in given.workdir]
    trial = Trial(
        given.appearances, tuple(given.labels), given.draws, given.seed,
        tuple(given.all_layers), not given.accuracy_alone,
    )  # fmt: skip
    done: list[Mapping[str, Any]] = []
    for workdir, name in zip(given.workdir, names, strict=True):
        done.append(_measured(Path(workdir), name, given, trial, done))
    write_pages(Path(given.output), done)


def _measured(
    workdir: Path, name: str, given: argparse.Namespace, trial: Trial, done: Sequence[Mapping[str, Any]]
) -> Mapping[str, Any]:
    """Measures one run; each row is printed, and written beside the runs `done`, as soon as it is there."""
    run = open_run(workdir)
    class_map = named_class_map(given.class_map)
    listed = read_listed(Path(given.data), class_map, run.class_names, most=given.most, seed=given.seed)
    shown = 0

    def after(found: Mapping[str, Any]) -> None:
        nonlocal shown
        print("\n".join(line(row) for row in found["rows"][shown:]), flush=True)
        shown = len(found["rows"])
        write_pages(Path(given.output), [*done, found])

    print(f"# {name}", flush=True)
    if listed.guesses:
        print(f"{listed.guesses} rows are left out: nobody looked at their labels (seen=no)", flush=True)
    return measure(run, listed, trial, name=name, after=after)


def _appearances(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(";"))
    if unknown := set(names) - set(APPEARANCES):
        raise argparse.ArgumentTypeError(
            f"{'; '.join(sorted(unknown))}: choose from {'; '.join(APPEARANCES)}"
        )
    return names


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workdir", required=True, nargs="+", help="run folders")
    parser.add_argument("--names", nargs="+", help="of the runs in tables; runs of one name share a column")
    parser.add_argument("--data", required=True)
    parser.add_argument("--class_map", required=True)
    parser.add_argument("--output", required=True)
    parser.add_argument(
        "--appearances", type=_appearances, default=tuple(APPEARANCES), help="which, separated by ;"
    )
    parser.add_argument("--labels", type=int, nargs="*", default=LABELS, help="how many")
    parser.add_argument(
        "--all_layers", type=int, nargs="*", default=(), help="labels with which all layers are trained"
    )
    parser.add_argument(
        "--accuracy_alone", action="store_true",
        help="no calibration and thresholds for these, in a sixth of the time",
    )  # fmt: skip
    parser.add_argument("--most", type=int, default=1500, help="images of the training part that are read")
    parser.add_argument("--draws", type=int, default=5, help="of every number of labels")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    if given.names and len(given.names) != len(given.workdir):
        parser.error(f"{len(given.names)} names for {len(given.workdir)} runs")
    return given


if __name__ == "__main__":
    main()
