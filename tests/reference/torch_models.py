"""ResNet v1.5 and VGG-16 in plain PyTorch with torchvision's parameter names: an oracle for the tests."""

import torch
from torch import nn


class BasicBlock(nn.Module):
    expansion = 1

    def __init__(self, inputs, width, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = _downsample(inputs, width, stride)

    def forward(self, x):
        shortcut = x if self.downsample is None else self.downsample(x)
        x = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(x)) + shortcut)


class Bottleneck(nn.Module):
    expansion = 4

    def __init__(self, inputs, width, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.downsample = _downsample(inputs, 4 * width, stride)

    def forward(self, x):
        shortcut = x if self.downsample is None else self.downsample(x)
        x = torch.relu(self.bn1(self.conv1(x)))
        x = torch.relu(self.bn2(self.conv2(x)))
        return torch.relu(self.bn3(self.conv3(x)) + shortcut)


def _downsample(inputs, outputs, stride):
    if stride == 1 and inputs == outputs:
        return None
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))


class ResNet(nn.Module):
    def __init__(self, block, blocks, num_classes, width=64):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        channels = width
        for stage, count in enumerate(blocks, start=1):
            layers, features = [], width * 2 ** (stage - 1)
            for i in range(count):
                layers.append(block(channels, features, 2 if i == 0 and stage > 1 else 1))
                channels = features * block.expansion
            setattr(self, f"layer{stage}", nn.Sequential(*layers))
        self.fc = nn.Linear(channels, num_classes)

    def endpoints(self, x):
        """Outputs of the five stages and the logits, by name."""
        out = {"layer0": self.maxpool(torch.relu(self.bn1(self.conv1(x))))}
        for stage in range(1, 5):
            out[f"layer{stage}"] = getattr(self, f"layer{stage}")(out[f"layer{stage - 1}"])
        out["logits"] = self.fc(out["layer4"].mean((2, 3)))
        return out

    def forward(self, x):
        return self.endpoints(x)["logits"]


class VGG16(nn.Module):
    def __init__(self, num_classes, *, batch_norm):
        super().__init__()
        layers, channels, self.stage_ends = [], 3, []
        for convs, width in ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512)):
            for _ in range(convs):
                layers.append(nn.Conv2d(channels, width, 3, padding=1))
                nn.init.kaiming_normal_(layers[-1].weight, mode="fan_out", nonlinearity="relu")
                if batch_norm:
                    layers.append(nn.BatchNorm2d(width))
                layers.append(nn.ReLU())
                channels = width
            layers.append(nn.MaxPool2d(2))
            self.stage_ends.append(len(layers) - 1)
        self.features = nn.Sequential(*layers)
        self.fc = nn.Linear(channels, num_classes)

    def endpoints(self, x):
        """Outputs of the five stages and the logits, by name."""
        out = {}
        for i, layer in enumerate(self.features):
            x = layer(x)
            if i in self.stage_ends:
                out[f"layer{self.stage_ends.index(i)}"] = x
        out["logits"] = self.fc(x.mean((2, 3)))
        return out

    def forward(self, x):
        return self.endpoints(x)["logits"]


MODELS = {
    "resnet18": lambda classes, width=64: ResNet(BasicBlock, (2, 2, 2, 2), classes, width),
    "resnet34": lambda classes, width=64: ResNet(BasicBlock, (3, 4, 6, 3), classes, width),
    "resnet50": lambda classes, width=64: ResNet(Bottleneck, (3, 4, 6, 3), classes, width),
    "resnet101": lambda classes, width=64: ResNet(Bottleneck, (3, 4, 23, 3), classes, width),
    "vgg16": lambda classes: VGG16(classes, batch_norm=False),
    "vgg16_bn": lambda classes: VGG16(classes, batch_norm=True),
}


def make(name, num_classes, *, seed=0):
    """A model whose weights, biases and running statistics all differ from their start values.

    It is as well-conditioned as a trained one: the running statistics are those of one random batch, and
    the last norm of a residual branch is small. (With all norms near 1, a hundred random layers amplify
    float32 rounding to 5e-3, in PyTorch as in JAX.)
    """
    torch.manual_seed(seed)
    model = MODELS[name](num_classes)
    norms = {n: m for n, m in model.named_modules() if isinstance(m, nn.BatchNorm2d)}
    last = "bn2" if name in ("resnet18", "resnet34") else "bn3"
    with torch.no_grad():
        for path, norm in norms.items():
            norm.weight.uniform_(0.5, 1.5).mul_(0.2 if path.endswith(last) else 1)
            norm.bias.normal_(0, 0.1)
            norm.momentum = 1.0
        model.train()(torch.randn(8, 3, 64, 64))
    for norm in norms.values():
        norm.momentum = 0.1
    return model
