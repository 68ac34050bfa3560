"""The size of a training batch: chosen where it is left open, and checked. Numbers alone, without JAX."""

import math

from asae_jax.errors import UserError

_LEAST, _USUAL, _MOST = 24, 32, 64  # images of a batch whose size is chosen


def choose(unit: int, cores: int, devices: int) -> int:
    """A batch size near 32 that balanced batches can have and that cores or devices can share.

    Of the multiples of `unit` from 24 to 64 (where there is none, `unit` and its double) one that as many
    cores as possible share, in equal parts; of several the one nearest to 32. Where `devices` cannot share
    that, it is the multiple of `unit` and `devices` nearest to 32.

    Args:
      unit: what it must be a multiple of: the number of classes where batches are balanced, else 1; with
        several hosts the least common multiple with their number.
      cores: of the processors, over all hosts, 1 or more.
      devices: those that are there whatever the batch size is, over all hosts, 1 or more. On a CPU a run
        makes as many as share its batch (`parallel.use_all_cores`), which counts as 1 here.
    """
    candidates = range(-(-_LEAST // unit) * unit, _MOST + 1, unit) or range(unit, 2 * unit + 1, unit)
    size = min(candidates, key=lambda size: (-sharing(size, cores), abs(size - _USUAL)))
    if size % devices:
        both = math.lcm(unit, devices)
        size = max(round(_USUAL / both), 1) * both
    return size


def sharing(batch_size: int, cores: int) -> int:
    """How many of `cores` can share a batch in equal parts."""
    return max(n for n in range(1, cores + 1) if batch_size % n == 0)


def check_batch_size(batch_size: int, num_classes: int, devices: int) -> None:
    """Raises a UserError unless `batch_size` deals out evenly to `num_classes` classes and to all devices.

    Args:
      batch_size: of the training step, over all devices.
      num_classes: classes of a balanced batch; 1 where batches are not balanced.
      devices: over all hosts, 1 or more.
    """
    if batch_size % num_classes == 0 and batch_size % devices == 0:
        return
    unit = math.lcm(num_classes, devices)
    lower = batch_size // unit * unit
    near = " or ".join(str(n) for n in (lower, lower + unit) if n)
    parts = [f"{num_classes} classes"] * (num_classes > 1) + [f"{devices} devices"] * (devices > 1)
    raise UserError(
        f"config.train.batch_size={batch_size} cannot be dealt out evenly to {' and '.join(parts)}: "
        f"choose {near}" + (", or --config.data.sampler=shuffled." if num_classes > 1 else ".")
    )


def check_accumulate(parts: int, batch_size: int, devices: int) -> None:
    """Raises a UserError unless each device's share of a batch can be computed in `parts` equal parts.

    Args:
      parts: 1 or more.
      batch_size: of the training step, a multiple of the number of devices.
      devices: over all hosts, 1 or more.
    """
    share = batch_size // devices
    if share % parts:
        divisors = ", ".join(str(n) for n in range(1, share + 1) if share % n == 0)
        raise UserError(
            f"config.train.accumulate={parts} cannot be used: of a batch of {batch_size} each of "
            f"{devices} devices computes {share} images: choose one of {divisors}."
        )


def check_devices(batch_size: int, parts: int, *, devices: int, backend: str) -> None:
    """Raises a UserError unless the devices that are here can share the batch of a run that goes on.

    Its batch size and accumulation are settled; the devices are not, and those that would do are named.

    Args:
      batch_size: of the training step, over all devices.
      parts: into how many each device divides its share, see `check_accumulate`.
      devices: over all hosts, 1 or more.
      backend: "cpu", "gpu" or "tpu", which decides how fewer of them are chosen.
    """
    if batch_size % (devices * parts) == 0:
        return
    fitting = [str(n) for n in range(1, devices) if batch_size % (n * parts) == 0]
    chosen_by = {"gpu": "CUDA_VISIBLE_DEVICES", "cpu": "XLA_FLAGS=--xla_force_host_platform_device_count=N"}
    how = f" ({chosen_by[backend]})" if backend in chosen_by else ""
    shares = f", in shares of {parts} equal parts (config.train.accumulate)" if parts > 1 else ""
    raise UserError(
        f"the run's batch of {batch_size} images cannot be dealt out evenly to {devices} devices{shares}: go "
        f"on with {' or '.join(fitting)} of them{how}."
    )
