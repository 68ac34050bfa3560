"""The twin's side: the same steps in PyTorch."""

import functools
import gc
from typing import Any

import torch

from benchmarks.accelerator.worker import SHALLOW, Side
from benchmarks.rival import PyTorch, Work
from tests.reference import torch_models


class Here(Side):
    """PyTorch on this machine."""

    def about(self, platform: str) -> dict[str, Any]:
        """Versions. Raises where PyTorch cannot use the device that JAX uses, `platform`."""
        if platform not in ("cpu", "gpu"):
            raise RuntimeError(f"there is no PyTorch twin on a {platform}")
        if platform == "gpu" and not torch.cuda.is_available():
            raise RuntimeError(f"PyTorch {torch.__version__} sees no GPU")
        return {"pytorch": torch.__version__, "cudnn": torch.backends.cudnn.version()}

    def _make(self, work: Work, **contender: Any) -> "Step":
        return Step(work, contender["compiled"])

    def _make_shallow(self) -> None:
        shallow = functools.partial(torch_models.ResNet, torch_models.BasicBlock, SHALLOW)
        torch_models.MODELS["resnet18"] = shallow

    def _free(self) -> None:
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


class Step(PyTorch):
    """A training step whose batch stays on the device."""

    def __init__(self, work: Work, compiled: bool):
        if compiled:
            torch._dynamo.reset()  # else another batch size is compiled for any size, which is slower
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
        super().__init__(work, compiled)
        self.keep_on_device()
        self.facts: dict[str, Any] = {}

    def peak_memory(self) -> int | None:
        """Of the process, since the step was made."""
        return torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None
