"""Batch sizes that are chosen for classes, cores and devices, and the refusal of those that do not fit."""

import pytest

from asae_jax.errors import UserError
from asae_jax.run.batch_size import check_accumulate, check_batch_size, check_devices, choose


@pytest.mark.parametrize(
    ("unit", "cores", "size"),
    [
        (14, 2, 28),
        (11, 2, 44),  # 33 is nearer to 32, and one core would wait
        (11, 1, 33),
        (8, 16, 32),
        (11, 16, 33),  # 11 cores share 33, 44 and 55
        (1, 2, 32),
        (1, 12, 36),
        (40, 3, 40),
        (65, 1, 65),
        (65, 2, 130),
    ],
)
def test_a_batch_size_that_cores_share(unit, cores, size):
    assert choose(unit, cores, 1) == size


@pytest.mark.parametrize(
    ("unit", "cores", "devices", "size"),
    [
        (14, 2, 8, 56),  # 28 would suit two cores, and 8 devices cannot share it
        (14, 2, 7, 28),
        (1, 16, 8, 32),
        (1, 16, 3, 33),
        (11, 2, 8, 88),  # more than 64: there is no smaller one
        (8, 2, 40, 40),
    ],
)
def test_a_batch_size_that_devices_share(unit, cores, devices, size):
    assert choose(unit, cores, devices) == size
    check_batch_size(size, unit, devices)


def test_a_batch_that_classes_or_devices_do_not_divide_names_the_nearest():
    check_batch_size(56, 14, 8)
    with pytest.raises(UserError, match=r"14 classes and 8 devices: choose 56 or 112"):
        check_batch_size(70, 14, 8)
    with pytest.raises(UserError, match=r"to 8 devices: choose 64 or 72\."):
        check_batch_size(70, 1, 8)


def test_a_run_goes_on_with_devices_that_divide_its_batch():
    """Its batch size cannot be changed any more."""
    check_devices(56, 7, devices=8, backend="cpu")
    with pytest.raises(
        UserError, match=r"batch of 28 images .* to 8 devices: go on with 1 or 2 or 4 or 7 of "
    ):
        check_devices(28, 1, devices=8, backend="cpu")
    with pytest.raises(
        UserError, match=r"8 devices, in shares of 2 .*: go on with 1 or 2 or 4 or 7 of them \("
    ):
        check_devices(56, 2, devices=8, backend="cpu")
    with pytest.raises(UserError, match=r"go on with 1 or 2 of them \(CUDA_VISIBLE_DEVICES\)\.$"):
        check_devices(32, 1, devices=3, backend="gpu")


def test_parts_that_do_not_divide_the_share_are_refused_with_those_that_do():
    check_accumulate(7, 56, 8)
    with pytest.raises(UserError, match=r"accumulate=2 .* 8 devices computes 7 images: choose one of 1, 7\."):
        check_accumulate(2, 56, 8)
