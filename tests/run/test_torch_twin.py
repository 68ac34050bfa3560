"""The PyTorch twin that `benchmarks/rival.py` measures does the same work: same loss, same weights."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from asae_jax import keys, models
from asae_jax.models.backbones import resnet
from asae_jax.models.weights import to_torch
from asae_jax.run import build, parallel, steps
from asae_jax.run.state import create_state
from asae_jax.training.optimizer import create_optimizer, create_schedule
from benchmarks import rival, torch_twin
from benchmarks.accelerator import pytorch
from tests.reference import torch_models

SIZE, BATCH, WIDTH = 32, 6, 4
STAGES = (1, 1, 1, 1)
RATE, DECAY = 1 / 8, 1 / 64
"""Without rounding in float32, in which the schedule is computed."""


@pytest.fixture
def shallow(monkeypatch):
    """One block a stage on both sides: nearly all the time of this test would be XLA's compiler."""
    for name, block in (("resnet18", "BasicBlock"), ("resnet50", "Bottleneck")):
        ours = functools.partial(resnet.ResNet, block=getattr(resnet, block), stage_sizes=STAGES)
        theirs = functools.partial(torch_models.ResNet, getattr(torch_models, block), STAGES)
        monkeypatch.setitem(models.MODELS, name, ours)
        monkeypatch.setitem(torch_models.MODELS, name, theirs)


@pytest.mark.usefixtures("float64", "shallow")
@pytest.mark.parametrize(("model", "layer"), [("resnet18", "asae"), ("resnet50", "none")])
def test_two_steps_give_the_same_losses_and_weights(model, layer):
    work = rival.Work(model, "no_pool", WIDTH, SIZE, BATCH, layer, "float32")
    batch = rival.batch_of(work)
    images = batch["image"] / 255 - 0.5
    config = rival.our_config(work)
    config.asae.p_top1 = 1.0  # nothing is left to chance
    config.optimizer.learning_rate, config.optimizer.weight_decay = RATE, DECAY
    state, step = _ours(config, work)

    twin = torch_twin.Twin(
        model, rival.CLASSES, stem="no_pool", width=WIDTH, asae=layer == "asae", area=0.18, p_top1=1.0
    ).double()
    twin.backbone.load_state_dict(_as_torch(state, model), strict=True)
    training = torch_twin.Training(twin, learning_rate=RATE, momentum=0.9, weight_decay=DECAY)
    shown, labels = torch.from_numpy(images.transpose(0, 3, 1, 2)), torch.from_numpy(batch["label"]).long()

    for _ in range(2):
        state, metrics = step(state, {"image": images[None], "label": batch["label"][None]})
        expected = training.step(shown, labels)
        np.testing.assert_allclose(metrics.sums.loss / BATCH, expected, rtol=1e-6)  # sums are float32
    found, expected = _as_torch(state, model), twin.backbone.state_dict()
    for name, tensor in found.items():
        if "num_batches" not in name:
            np.testing.assert_allclose(tensor, expected[name], rtol=1e-7, atol=1e-9, err_msg=name)


def _ours(config, work):
    optimizer = create_optimizer(
        config.optimizer, create_schedule(config.optimizer, steps_per_epoch=1, epochs=1)
    )
    network = build.create_network(config, rival.CLASSES, axis_name=parallel.AXIS)
    network = network.clone(backbone=network.backbone.clone(dtype=jnp.float64))
    step = functools.partial(
        steps.train_step,
        network=network,
        optimizer=optimizer,
        loss=build.create_loss(config, rival.CLASSES),
        augment=lambda key, images, first_example: images,
        seed=0,
        axis_name=parallel.AXIS,
    )
    step = jax.pmap(
        step,
        axis_name=parallel.AXIS,
        in_axes=(None, 0),
        out_axes=(None, None),
        devices=jax.devices()[:1],
    )
    with jax.enable_x64(False):
        state = create_state(
            build.create_network(config, rival.CLASSES),
            optimizer,
            keys.stream_key(0, "init"),
            image_size=SIZE,
        )
    return jax.tree.map(_widened, state), step


def _widened(array):
    array = np.asarray(array)
    return array.astype(np.float64) if array.dtype == np.float32 else array


def _as_torch(state, model):
    tensors = to_torch(state.params, state.batch_stats, model)
    return {name: torch.from_numpy(np.array(tensor)) for name, tensor in tensors.items()}


def test_its_side_of_the_accelerator_s_benchmark_times_it(monkeypatch):
    monkeypatch.setitem(torch_models.MODELS, "resnet18", None)  # put back at the end
    side = pytorch.Here(shallow=True)
    with pytest.raises(RuntimeError, match="no PyTorch twin on a tpu"):
        side.about("tpu")
    assert side.about("cpu")["pytorch"] == torch.__version__
    work = rival.Work("resnet18", "no_pool", WIDTH, SIZE, BATCH, "asae", "float32")
    assert side.prepare("first", list(work), keep=[], compiled=False)["to_first_step_s"] > 0
    assert side.block("first", 0.0)["ms"] > 0
    side.prepare("second", list(work), keep=[], compiled=False)
    with pytest.raises(KeyError):
        side.block("first", 0.0)
