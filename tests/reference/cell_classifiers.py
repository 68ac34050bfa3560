"""Small WBCNet and Cell3Net in plain PyTorch, written from the tables in our modules' docstrings."""

import torch
from torch import nn

from tests.reference.torch_weights import nested_variables

WIDTH = 8


def _unit(inputs, outputs, size, stride=1):
    conv = nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False)
    return nn.ModuleDict({"conv": conv, "bn": nn.BatchNorm2d(outputs)})


class WBCNet(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.conv1 = _unit(3, 12, 11, 4)
        self.residual1 = _unit(12, 12, 3)
        self.conv2 = _unit(12, 32, 5)
        self.residual2 = _unit(32, 32, 3)
        self.conv3 = _unit(32, 48, 3)
        self.conv4 = _unit(48, 48, 3)
        self.conv5 = _unit(48, 32, 3)
        self.residual3 = _unit(32, 32, 3)
        self.fc6 = nn.Conv2d(32, 512, 1)
        self.fc7 = nn.Conv2d(512, 512, 1)
        self.fc8 = nn.Linear(512, num_classes)

    def forward(self, x):
        def act(x):
            return nn.functional.leaky_relu(x, 0.1)

        def run(name, x):
            unit = getattr(self, name)
            return act(unit["bn"](unit["conv"](x)))

        def pool(x):
            return nn.functional.max_pool2d(x, 3, 2, 1)

        x = pool(run("conv1", x))
        x = x + run("residual1", x)
        x = pool(run("conv2", x))
        x = x + run("residual2", x)
        x = run("conv5", run("conv4", run("conv3", x)))
        x = pool(x + run("residual3", x)).mean((2, 3), keepdim=True)
        return self.fc8(act(self.fc7(act(self.fc6(x)))).flatten(1))

    def variables(self):
        places = {
            "conv1": ("layer0",),
            "residual1": ("layer1", "residual"),
            "conv2": ("layer2", "unit0"),
            "residual2": ("layer2", "residual"),
            "conv3": ("layer3", "unit0"),
            "conv4": ("layer3", "unit1"),
            "conv5": ("layer3", "unit2"),
            "residual3": ("layer3", "residual"),
            "fc6": ("layer4", "fc0"),
            "fc7": ("layer4", "fc1"),
            "fc8": ("head",),
        }
        return _variables(self, places)


class Cell3Net(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.conv1 = _unit(3, 8, 7, 2)
        for i, (inputs, outputs) in enumerate(((8, 16), (16, 32), (32, 64)), start=1):
            self.add_module(f"first{i}", _unit(inputs, outputs, 3))
            self.add_module(f"second{i}", _unit(outputs, outputs, 3))
            self.add_module(f"shortcut{i}", _unit(inputs, outputs, 1))
        self.fc1 = nn.Conv2d(64, 128, 1)
        self.fc2 = nn.Conv2d(128, 128, 1)
        self.fc3 = nn.Linear(128, num_classes)

    def forward(self, x):
        def run(name, x):
            unit = getattr(self, name)
            return unit["bn"](unit["conv"](x))

        x = nn.functional.max_pool2d(torch.relu(run("conv1", x)), 2)
        for i in (1, 2, 3):
            y = run(f"second{i}", torch.relu(run(f"first{i}", x)))
            x = torch.relu(y + run(f"shortcut{i}", x))
            x = nn.functional.max_pool2d(x, 2) if i < 3 else x
        x = x.mean((2, 3), keepdim=True)
        return self.fc3(torch.relu(self.fc2(torch.relu(self.fc1(x)))).flatten(1))

    def variables(self):
        places = {"conv1": ("layer0",), "fc1": ("layer4", "fc0"), "fc2": ("layer4", "fc1"), "fc3": ("head",)}
        for i in (1, 2, 3):
            block = (f"layer{i}", "block")
            for suffix, unit in (("1", f"first{i}"), ("2", f"second{i}")):
                places[f"{unit}.conv"] = (*block, f"conv{suffix}")
                places[f"{unit}.bn"] = (*block, f"bn{suffix}")
            places[f"shortcut{i}"] = (*block, "downsample")
        return _variables(self, places)


def _variables(model, places):
    """`places` has a module's path by its name, or that of the unit it is in."""

    def path(module):
        unit, *leaf = module.split(".")
        return places[module] if module in places else (*places[unit], *leaf)

    return nested_variables(model.state_dict(), path)


MODELS = {"wbcnet": WBCNet, "cell3net": Cell3Net}


def make(name, num_classes):
    """A model whose norms differ from their start values."""
    torch.manual_seed(0)
    model = MODELS[name](num_classes)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(0, 0.1)
                module.momentum = 1.0
        model.train()(torch.randn(8, 3, 64, 64))
    return model.eval()
