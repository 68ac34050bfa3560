"""The training step in PyTorch: ResNet-18 or -50 with cross entropy, or with ASAE and GMMCE.

Layers, loss and update are those of `asae_jax`, written as a user of PyTorch would write them;
`tests/run/test_torch_twin.py` holds both to the same loss and weights. Equal peaks within one window are all
kept: float maps have none.
"""

import functools
import math

import torch
from torch import nn
from torch.nn import functional

from tests.reference import torch_models

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Twin(nn.Module):
    """Images `[batch, 3, height, width]` -> logits `[batch, classes]`, with ASAE `[2, batch, classes]`."""

    def __init__(
        self, model: str, classes: int, *, stem="imagenet", width=64, asae=False, area=36.0, p_top1=0.7
    ):
        super().__init__()
        self.backbone = torch_models.MODELS[model](classes, width=width)
        if stem == "no_pool":
            self.backbone.maxpool = nn.Identity()
        self.asae, self.area, self.p_top1 = asae, area, p_top1

    def forward(self, x):
        """One pass; the layer stands behind layer3."""
        net = self.backbone
        x = net.maxpool(torch.relu(net.bn1(net.conv1(x))))
        x = net.layer3(net.layer2(net.layer1(x)))
        if not self.asae:
            return self._tail(x)
        attention = x.to(torch.promote_types(x.dtype, torch.float32)).mean(1)
        mask = suppression_mask(attention.detach(), area=self.area, p_top1=self.p_top1)
        branches = (mask, attention.sigmoid())  # batch statistics of each branch are its own
        return torch.stack([self._tail((x * m[:, None]).to(x.dtype)) for m in branches])

    def _tail(self, x):
        return self.backbone.fc(self.backbone.layer4(x).mean((2, 3)).to(self.backbone.fc.weight.dtype))


def efficientnet_lite(model: str, classes: int) -> nn.Module:
    """A plain EfficientNet-Lite, as its package has it; our name with `_` in the place of `-`."""
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_name(model.replace("_", "-"), num_classes=classes)
    network.asae = False
    return network


def suppression_mask(attention, *, area, p_top1, window=5, candidates=5, ratio=0.8):
    """0 around one random peak of each map `[batch, height, width]`, 1 elsewhere."""
    batch, height, width = attention.shape
    peaks = attention == functional.max_pool2d(attention[:, None], window, 1, window // 2)[:, 0]
    values = torch.where(peaks, attention, -torch.inf).flatten(1)
    places = values.topk(min(candidates, height * width)).indices
    count = peaks.flatten(1).sum(1).clamp(max=places.shape[1])
    first, second = torch.rand(2, batch, device=attention.device)
    rank = torch.where((first < p_top1) | (count < 2), 0, 1 + (second * (count - 1)).long())
    place = places.gather(1, rank[:, None])
    side = max(1, round(math.sqrt(area * height * width if area < 1 else area)))
    rows = torch.arange(height, device=attention.device) - (place // width - side // 2)
    cols = torch.arange(width, device=attention.device) - (place % width - side // 2)
    inside = ((rows >= 0) & (rows < side))[:, :, None] & ((cols >= 0) & (cols < side))[:, None, :]
    peak = attention.flatten(1).gather(1, place)[:, :, None]
    hidden = inside & (attention >= torch.minimum(ratio * peak, peak))
    return 1 - hidden.to(attention.dtype)


def cross_entropy(logits, labels):
    return functional.cross_entropy(logits, labels)


def branched_gmmce(logits, labels, *, k_high=3, k_low=3):
    """GMMCE of the branches' mean probability, mean over the batch."""
    scores = logits.log_softmax(-1).logsumexp(0) - math.log(len(logits))
    margins = scores - scores.gather(1, labels[:, None])
    is_label = functional.one_hot(labels, scores.shape[-1]).bool()
    kept = is_label
    for values, k in ((margins.detach(), k_high), (-margins.detach(), k_low)):
        negatives = values.masked_fill(is_label, -torch.inf)
        kept = kept | (values >= negatives.topk(min(k, scores.shape[-1] - 1)).values[:, -1:])
    return margins.masked_fill(~kept, -torch.inf).logsumexp(-1).mean()


def normalised(images):
    """uint8 `[batch, height, width, 3]` -> float32 `[batch, 3, height, width]`, channels last in memory."""
    mean, std = _colours(images.device)
    return (images.permute(0, 3, 1, 2).float() / 255 - mean) / std


@functools.cache
def _colours(device):
    """Mean and standard deviation on `device`: a copy in every step would make a GPU's host wait."""
    return tuple(torch.tensor(values, device=device).reshape(1, 3, 1, 1) for values in (MEAN, STD))


class Training:
    """Model, optimiser and step.

    Args:
      model: a `Twin`; moved to channels-last memory.
      learning_rate, momentum, weight_decay: of SGD, weight decay on all parameters.
      amp: compute in bfloat16 under `torch.autocast`.
      compiled: use `torch.compile`.
    """

    def __init__(self, model, *, learning_rate, momentum, weight_decay, amp=False, compiled=False):
        self.model = model.to(memory_format=torch.channels_last).train()
        self._forward = torch.compile(self.model) if compiled else self.model
        self._loss = branched_gmmce if model.asae else cross_entropy
        self._amp = amp
        self.optimizer = torch.optim.SGD(
            model.parameters(),
            lr=learning_rate,
            momentum=momentum,
            weight_decay=weight_decay,
            fused=next(model.parameters()).is_cuda,
        )

    def step(self, images, labels):
        """One update on normalised images; returns the mean loss before it."""
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self._amp):
            logits = self._forward(images)
        loss = self._loss(logits.to(next(self.model.parameters()).dtype), labels)
        loss.backward()
        self.optimizer.step()
        return loss.detach()
