"""All figures of one GPU or TPU in one call, beside PyTorch's, within a given time.

    python -m benchmarks.accelerator [--tiny] [--output=FOLDER] [--seconds=480] [--sweep_only]

Measured are the chip's own rates (matrix products, copies), then ResNet-50 at 224 px, plain and with the ASAE
layer and GMMCE: our training step against the PyTorch twin (eager and `torch.compile`, channels-last), the
share of random views, the step fed from the cache of prepared images, its parts alone, other ways that XLA
could compute it, and a sweep of batch sizes, in bfloat16 and in float32. Each contender runs blocks of steps
that the device may queue, in turn with the others, in two processes: one of JAX, one of PyTorch. Rows are
printed and written to FOLDER as they come. Of several GPUs the first is used, of a TPU all that JAX sees.

It needs JAX, Flax, Optax, OpenCV, Pillow and what they bring; no TensorFlow, no data, no network. What the
machine lacks can be carried to it as wheels (here ml-collections):

    pip download --no-deps --dest wheels ml-collections
    pip install --no-index --find-links=wheels --no-deps ml-collections

Whatever fails (memory, no PyTorch, a fault) becomes a row that says so. `--tiny` shows in a minute, on a CPU
too, that all of it works.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from benchmarks.accelerator import plan, processes, report
from benchmarks.accelerator.conduct import Conductor


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0, or 1 when nothing could be measured."""
    parser = argparse.ArgumentParser(prog="benchmarks.accelerator", description=__doc__.partition("\n")[0])
    parser.add_argument("--tiny", action="store_true", help="a tiny network, to see that everything works")
    parser.add_argument("--output", type=Path, default=Path("accelerator"), help="folder of the results")
    parser.add_argument("--seconds", type=float, default=480, help="all that may be spent")
    parser.add_argument(
        "--sweep_only", action="store_true", help="batch sizes, after a call that found no time"
    )
    options = parser.parse_args(arguments)
    rows = report.Report(options.output, judged=not options.tiny)
    sides = {
        side: processes.Process(processes.command(side, options.tiny), options.output / f"{side}.log")
        for side in (plan.OURS, plan.TWIN)
    }
    size = plan.TINY if options.tiny else plan.Size()
    guesses = dict.fromkeys(("ours", "pytorch", "compiled"), 1.0) if options.tiny else None
    limits = {"seconds": options.seconds, "sweep_only": options.sweep_only, "guesses": guesses}
    Conductor(size, sides, rows, **limits).run()
    print(f"written to {options.output}: {report.ROWS}, {report.TABLE}")
    return 0 if any(row["kind"] != report.FAILED for row in rows.rows) else 1


if __name__ == "__main__":
    raise SystemExit(main())
