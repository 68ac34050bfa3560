"""What `torch.save` writes is read as data: the same tensors as PyTorch reads, and nothing in it is run."""

import argparse
import os
import pickle
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import torch

from asae_jax.errors import UserError
from asae_jax.models import torch_files
from asae_jax.models.weights import read_tensors
from tests.reference.torch_weights import assert_tensors_equal

TYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.uint8, torch.bool)


@pytest.fixture(params=["zip", "stream"])
def save(request, tmp_path):
    """Saves as PyTorch does now, or did before 1.6, and returns the path."""

    def write(content, name="w.pth"):
        torch.save(content, tmp_path / name, _use_new_zipfile_serialization=request.param == "zip")
        return tmp_path / name

    return write


def test_every_number_type_is_read(save):
    tensors = {str(kind): torch.tensor([[0, 1, 2], [3, 4, 5]]).to(kind) for kind in TYPES}
    assert_tensors_equal(read_tensors(save(tensors)), tensors)


def test_views_of_one_storage_are_read_as_the_tensors_they_are(save):
    base = torch.arange(12.0).reshape(3, 4)
    tensors = {
        "base": base,
        "transposed": base.t(),
        "column": base[1:, 2],
        "expanded": base[:1, :1].expand(2, 3),
        "scalar": torch.tensor(3.0),
        "empty": torch.zeros(0, 3),
        "parameter": torch.nn.Parameter(torch.ones(2)),
    }
    assert_tensors_equal(read_tensors(save(tensors)), tensors)


@pytest.mark.parametrize("key", ["state_dict", "model"])
@pytest.mark.parametrize("name", ["w.pth", "w.bin", "w"])
def test_the_network_is_found_within_a_checkpoint(key, name, save):
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(4, 3)).sum().backward()
    optimizer.step()
    checkpoint = {"epoch": 3, "optimizer": optimizer.state_dict(), key: model.state_dict()}
    assert_tensors_equal(read_tensors(save(checkpoint, name)), model.state_dict())


class _Evil:
    """What an attacker would put into a file: unpickling it calls a function."""

    def __init__(self, function, *arguments):
        self._call = (function, arguments)

    def __reduce__(self):
        return self._call


def test_no_function_named_in_a_file_is_called_and_the_file_is_refused(save, tmp_path):
    trap = tmp_path / "trap"
    for evil in (
        _Evil(os.mkdir, str(trap)),
        _Evil(eval, f"__import__('os').mkdir({str(trap)!r})"),
        _Evil(torch._utils._rebuild_device_tensor_from_numpy, 1, 2, 3, 4),
        argparse.Namespace(rate=0.1),
    ):
        path = save({"a": torch.ones(2), "evil": evil})
        with pytest.raises(
            UserError, match=r"it names \w+.* tensors alone; .*, so only if you trust it: python"
        ):
            read_tensors(path)
    assert not trap.exists()


def test_even_a_bare_pickle_that_calls_is_refused(tmp_path):
    trap = tmp_path / "trap"
    path = tmp_path / "attack.pth"
    for start in (b"", b"\x80\x02"):
        path.write_bytes(start + b"cos\nmkdir\n(V" + str(trap).encode() + b"\ntR.")
        with pytest.raises(UserError):
            read_tensors(path)
    assert not trap.exists()


@pytest.mark.parametrize("name", ["ctorch._utils\n_rebuild_tensor_v2", "ctorch\nFloatStorage"])
def test_a_file_cannot_change_what_the_reader_is_made_of(name, tmp_path):
    """The pickle's last opcode sets an attribute, or the state, of what stands for torch's name."""
    attack = f"\x80\x02{name}\n}}X\x04\x00\x00\x00evilK\x01sb.".encode("latin1")
    (tmp_path / "attack.pth").write_bytes(attack)
    with pytest.raises(UserError, match="holds no weights"):
        read_tensors(tmp_path / "attack.pth")
    assert not hasattr(torch_files._tensor, "evil")


@pytest.mark.parametrize("within", ["state_dict", "model", "teacher", "network", ""])
def test_the_command_that_is_printed_for_a_refused_file_converts_it(within, tmp_path):
    """It is run as a user would, and gives the tensors, all of them and nothing else."""
    layer = torch.nn.Linear(3, 2)
    weights = layer.state_dict()
    content = {
        "network": {"model": layer, "epoch": 3},
        "": {**weights, "best": np.float64(0.5), "classes": {"a", "b"}},
    }
    settings = {"args": argparse.Namespace(lr=1.0), "history": np.zeros(3), "device": torch.device("cpu")}
    path = tmp_path / "two words.pth"
    torch.save(content.get(within, {within: weights, **settings}), path)
    with pytest.raises(
        UserError, match=r"whole network save its state_dict\(\).* only if you trust it"
    ) as caught:
        read_tensors(path)
    command = str(caught.value).partition("only if you trust it: ")[2]
    assert command.startswith("python -c ")
    assert command.endswith(f' "{path}" "{path.with_suffix(".safetensors")}"')  # as Windows takes them too
    subprocess.run(command.replace("python", sys.executable, 1), shell=True, check=True)
    assert_tensors_equal(read_tensors(path.with_suffix(".safetensors")), weights)


def _changed_archive(path, change):
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, change(name, content))


def test_a_tensor_that_reaches_beyond_its_storage_is_refused(tmp_path):
    """Read as it says, it would show memory that is not the file's."""
    path = tmp_path / "w.pth"
    torch.save({"a": torch.arange(6.0)}, path)
    _changed_archive(path, lambda name, content: content[:-4] if name.endswith("data/0") else content)
    with pytest.raises(UserError, match=r"a tensor \[6\] reaches beyond the end"):
        read_tensors(path)


def test_a_big_endian_file_and_a_compressed_one_are_refused(tmp_path):
    path = tmp_path / "w.pth"
    torch.save({"a": torch.arange(6.0)}, path)
    _changed_archive(path, lambda name, content: b"big" if name.endswith("byteorder") else content)
    with pytest.raises(UserError, match="big-endian"):
        read_tensors(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("w/data.pkl", b"\x80\x02}.")
    with pytest.raises(UserError, match="compressed"):
        read_tensors(path)


def test_every_way_to_cut_a_file_short_ends_in_one_line(save, tmp_path):
    whole = save({"a": torch.arange(6.0)}).read_bytes()
    for length in range(0, len(whole) - 24, 17):
        (tmp_path / "cut.pth").write_bytes(whole[:length])
        with pytest.raises(UserError, match="holds no weights that can be read") as caught:
            read_tensors(tmp_path / "cut.pth")
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [pickle.dumps({"a": 1}, 2), pickle.dumps([1, 2, 3], 2)])
def test_a_pickle_of_others_is_told_in_one_line(content, tmp_path):
    (tmp_path / "w.bin").write_bytes(content)
    with pytest.raises(UserError, match=r"w\.bin holds no weights that can be read"):
        read_tensors(tmp_path / "w.bin")


def test_a_dict_without_tensors_and_a_whole_model_are_told(save):
    with pytest.raises(UserError, match="no tensors by name"):
        read_tensors(save({"epoch": 3}))
    with pytest.raises(UserError, match=r"it names torch\.nn\.modules\.linear\.Linear"):
        read_tensors(save(torch.nn.Linear(2, 2)))
