"""What is measured, the most important first, and what is hoped for."""

from typing import Any, NamedTuple

from benchmarks.rival import Work

OURS, TWIN = "ours", "pytorch"
"""The two processes."""

GOALS = {
    "ours / PyTorch, plain": (1.1, "at least"),
    "images/s, plain, bfloat16": (5000.0, "at least"),
    "ASAE / plain, images/s": (0.82, "at least"),
    "augmentation / step": (0.03, "at most"),
    "wait for input / step": (0.02, "at most"),
}
"""What we aim at on an H100-class card, 224 px, ResNet-50."""


class Contender(NamedTuple):
    """A training step, and where it runs.

    Attributes:
      side: `OURS` or `TWIN`.
      work: what is computed.
      augmented: ours: random views, as in training; else views as at test.
      compiled: PyTorch: `torch.compile`; else eager.
      variant: ours: "" as in training, or one of `ours.VARIANTS`.
    """

    side: str
    work: Work
    augmented: bool = False
    compiled: bool = False
    variant: str = ""

    @property
    def label(self) -> str:
        """As it stands in tables."""
        if self.side == TWIN:
            return "torch.compile" if self.compiled else "PyTorch"
        words = [OURS, *["augmented"] * self.augmented, *[self.variant] * bool(self.variant)]
        return ", ".join(words)

    @property
    def key(self) -> str:
        """Unlike that of any other."""
        return "|".join(map(str, (self.label, *self.work)))


class Size(NamedTuple):
    """How large things are.

    Attributes:
      model, stem, width, size: of the networks and their images.
      stored: pixels of the images that random views are cut from.
      batch_size: in the comparisons.
      wide_batch_size: the same in float32, whose activations are twice as large.
      sweep: batch sizes that are tried, in this order.
      dtypes: of the computation; float32 is TF32 on NVIDIA's cards.
      matrix: side of the square matrices that the chip's rate is measured with.
      copied_mib: of the copies.
      rounds: timed blocks of steps of each contender.
      round_seconds: of each block.
      examples: images of the input that a step is fed from.
      variants: of ours, see `ours.VARIANTS`.
      parts: of the step, see `parts.PARTS`, that are timed alone.
      twin_compiled: whether `torch.compile` is tried.
      without_views: whether our plain step is timed without random views too.
    """

    model: str = "resnet50"
    stem: str = "imagenet"
    width: int = 64
    size: int = 224
    stored: int = 256
    batch_size: int = 256
    wide_batch_size: int = 128
    sweep: tuple[int, ...] = (512, 128, 64, 32)
    dtypes: tuple[str, ...] = ("bfloat16", "float32")
    matrix: int = 8192
    copied_mib: int = 256
    rounds: int = 7
    round_seconds: float = 0.5
    examples: int = 2048
    variants: tuple[str, ...] = ("nhwc", "1x1 by convolution")
    parts: tuple[str, ...] = (
        *(
            "random views",
            "convolution of images",
            "max-pooling",
            "batch normalisation",
            "3 x 3 convolution",
            "1 x 1 convolution",
        ),
        *("ASAE layer", "GMMCE", "optimiser"),
    )
    twin_compiled: bool = True
    without_views: bool = True


TINY = Size(
    "resnet18", "no_pool", 16, 32, 36, 8, 8, (), ("float32",), 64, 1, 2, 0.0, 32, (), ("GMMCE",), False
)
"""Seconds on a CPU: shows that everything works, and nothing else."""


def fitted(size: Size, memory_gib: float | None) -> Size:
    """`size` with the batches of the comparisons halved until they should fit the device's memory."""
    if not memory_gib or size.model != "resnet50":
        return size
    halvings = next((n for n in range(4) if memory_gib >= 60 / 2**n), 3)
    return size._replace(
        batch_size=size.batch_size >> halvings, wide_batch_size=size.wide_batch_size >> halvings
    )


def sections(size: Size, sweep_only: bool = False) -> list[tuple[str, dict[str, Any]]]:
    """(kind, arguments) of everything that is measured, the most important first."""
    kinds = ("bfloat16", "float32", "float32 highest")
    rates: list[tuple[str, dict[str, Any]]] = [("rate", {"kind": kind}) for kind in kinds]
    races = [] if sweep_only else [("copy", {}), *_comparisons(size)]
    for dtype in size.dtypes:
        for layer in ("none", "asae"):
            for batch_size in size.sweep:
                mine = _ours(size, layer, dtype, batch_size)
                races.append(("race", {"contenders": [mine, Contender(TWIN, mine.work)]}))
    return rates + races


def _comparisons(size: Size) -> list[tuple[str, dict[str, Any]]]:
    half, *others = size.dtypes
    plain = {dtype: _ours(size, "none", dtype, _batch_size(size, dtype)) for dtype in size.dtypes}
    planned: list[tuple[str, dict[str, Any]]] = []
    for dtype in size.dtypes:
        planned += [("race", {"contenders": group}) for group in _comparison(size, dtype)]
        if dtype == half:
            planned.append(("feed", {"contender": plain[half]}))
            planned += [("part", {"name": name, "contender": plain[half]}) for name in size.parts]
    for dtype in (*others, half):
        for variant in size.variants:
            contenders = [plain[dtype], plain[dtype]._replace(variant=variant)]
            planned.append(("race", {"contenders": contenders}))
    return planned


def _batch_size(size: Size, dtype: str) -> int:
    return size.batch_size if dtype == size.dtypes[0] else size.wide_batch_size


def _comparison(size: Size, dtype: str) -> list[list[Contender]]:
    """Plain against PyTorch, with and without random views; then with the layer, against plain too."""
    batch_size = _batch_size(size, dtype)
    plain, asae = (_ours(size, layer, dtype, batch_size) for layer in ("none", "asae"))
    first = [plain, *_twins(size, plain.work), *[plain._replace(augmented=False)] * size.without_views]
    return [first, [plain, asae, *_twins(size, asae.work)]]


def _twins(size: Size, work: Work) -> list[Contender]:
    eager = Contender(TWIN, work)
    return [eager, eager._replace(compiled=True)] if size.twin_compiled else [eager]


def _ours(size: Size, layer: str, dtype: str, batch_size: int) -> Contender:
    work = Work(size.model, size.stem, size.width, size.size, batch_size, layer, dtype)
    return Contender(OURS, work, augmented=True)
