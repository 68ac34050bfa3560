"""Files that PyTorch and safetensors wrote give their tensors; nothing in them is run."""

import argparse
import os
import pickle
import zipfile

import jax.numpy as jnp
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from asae_jax.errors import UserError
from asae_jax.models.weights import pickled, read_tensors

TYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.uint8, torch.bool)


def _assert_equal(found, expected):
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert found[name].shape == tuple(tensor.shape)
        assert jnp.dtype(found[name].dtype).name == str(tensor.dtype).removeprefix("torch.")
        np.testing.assert_array_equal(found[name].astype(np.float64), tensor.detach().double().numpy())


@pytest.fixture(params=["zip", "stream"])
def save(request, tmp_path):
    """Saves as PyTorch does now, or did before 1.6, and returns the path."""

    def write(content):
        torch.save(content, tmp_path / "w.pth", _use_new_zipfile_serialization=request.param == "zip")
        return tmp_path / "w.pth"

    return write


def test_every_number_type_is_read(save):
    tensors = {str(kind): torch.tensor([[0, 1, 2], [3, 4, 5]]).to(kind) for kind in TYPES}
    _assert_equal(read_tensors(save(tensors)), tensors)


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
    _assert_equal(read_tensors(save(tensors)), tensors)


def test_the_network_is_found_within_a_checkpoint(save):
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(4, 3)).sum().backward()
    optimizer.step()
    checkpoint = {
        "epoch": 3,
        "args": argparse.Namespace(rate=0.1),
        "best": np.float64(0.5),
        "optimizer": optimizer.state_dict(),
        "state_dict": model.state_dict(),
    }
    _assert_equal(read_tensors(save(checkpoint)), model.state_dict())


def test_safetensors_are_read(tmp_path):
    tensors = {str(kind): torch.tensor([[0, 1, 2], [3, 4, 5]]).to(kind) for kind in TYPES}
    save_file(tensors, tmp_path / "w.safetensors")
    _assert_equal(read_tensors(tmp_path / "w.safetensors"), tensors)


class _Evil:
    """What an attacker would put into a file: unpickling it calls a function."""

    def __init__(self, function, *arguments):
        self._call = (function, arguments)

    def __reduce__(self):
        return self._call


def test_no_function_named_in_a_file_is_called(save, tmp_path):
    trap = tmp_path / "trap"
    evil = [_Evil(os.mkdir, str(trap)), _Evil(eval, f"__import__('os').mkdir({str(trap)!r})")]
    assert read_tensors(save({"a": torch.ones(2), "evil": evil})).keys() == {"a"}
    assert not trap.exists()


def test_a_file_cannot_change_what_the_reader_is_made_of(tmp_path):
    """The pickle's last opcode sets an attribute of what stands for torch's function."""
    attack = b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n}X\x04\x00\x00\x00evilK\x01sb."
    (tmp_path / "attack.pth").write_bytes(attack)
    with pytest.raises(UserError, match="holds no weights"):
        read_tensors(tmp_path / "attack.pth")
    assert not hasattr(pickled._tensor, "evil")


def test_a_tensor_that_reaches_beyond_its_storage_is_refused(tmp_path):
    """Read as it says, it would show memory that is not the file's."""
    path = tmp_path / "w.pth"
    torch.save({"a": torch.arange(6.0)}, path)
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content[:-4] if name.endswith("data/0") else content)
    with pytest.raises(UserError, match=r"a tensor \[6\] reaches beyond the end"):
        read_tensors(path)


def test_every_way_to_cut_a_file_short_ends_in_one_line(save, tmp_path):
    whole = save({"a": torch.arange(6.0)}).read_bytes()
    for length in range(0, len(whole) - 24, 17):
        (tmp_path / "cut.pth").write_bytes(whole[:length])
        with pytest.raises(UserError, match="holds no weights that can be read"):
            read_tensors(tmp_path / "cut.pth")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        (b"", "EOF"),
        (pickle.dumps({"a": 1}), "none of PyTorch's"),
        (b"\xff\x00\x00\x00\x00\x00\x00\x00{not a header", "Header|header"),
    ],
)
def test_what_is_not_a_weight_file_is_told_in_one_line(content, reason, tmp_path):
    (tmp_path / "w.bin").write_bytes(content)
    with pytest.raises(UserError, match=f"(?s)w.bin holds no weights .*({reason})"):
        read_tensors(tmp_path / "w.bin")


def test_a_whole_model_and_a_missing_file_are_told_apart(tmp_path):
    torch.save(torch.nn.Linear(2, 2), tmp_path / "model.pth")
    with pytest.raises(UserError, match="perhaps a whole model"):
        read_tensors(tmp_path / "model.pth")
    with pytest.raises(UserError, match="No such file"):
        read_tensors(tmp_path / "none.pth")
