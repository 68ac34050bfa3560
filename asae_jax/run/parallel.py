"""Steps on several devices: the one `jax.pmap`, and how batches are divided among the devices.

State goes in and out unstacked (`None` axes): JAX keeps one copy per device and the code around it
sees plain arrays. Batches are split along their first axis. On several hosts (`hosts`) each of them has its
contiguous part of a batch, and what a step returns is the same on all.
"""

import contextlib
import math
import os
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from asae_jax.errors import UserError
from asae_jax.input.workers import default_workers
from asae_jax.run import hosts
from asae_jax.run.batch_size import choose, sharing
from asae_jax.run.devices import SCORING, count_is_given, machine, within_memory

AXIS = "devices"
"""Name of the data-parallel axis inside every step."""


def use_all_cores(batch_size: int) -> None:
    """On a CPU, one device per core (as many as divide `batch_size`), unless XLA_FLAGS says otherwise.

    XLA's convolutions use several threads poorly: on two cores, two devices of one thread each took
    0.58 of the time that one device took for the same step of a ResNet-18. Must be called before JAX is first
    used; accelerators are not affected.
    """
    _set_devices(batch_size, min(hosts.gather(default_workers())))
    if hosts.count() > 1:
        jax.device_count()  # starts JAX, which waits two minutes for the other hosts: now they are all here


def _set_devices(batch_size: int, cores: int) -> None:
    given = os.environ.get("XLA_FLAGS", "")
    if count_is_given():
        return
    if "collective_call_terminate_timeout" not in given:
        # XLA ends the process when one device waits 40 s for another, as happens on a busy machine.
        os.environ["XLA_FLAGS"] = f"{given} --xla_cpu_collective_call_terminate_timeout_seconds=3600"
    with contextlib.suppress(RuntimeError):  # JAX is in use already: its devices stay as they are
        jax.config.update("jax_num_cpu_devices", sharing(batch_size // hosts.count(), cores))


def point_out_idle_cores(batch_size: int, *, num_classes: int = 1) -> None:
    """Prints which batch sizes all cores of the CPU would share, where half of them or fewer share this one.

    To be called after `use_all_cores`.

    Args:
      batch_size: images of a step, over all hosts.
      num_classes: classes of a balanced batch; 1 where batches are not balanced.
    """
    cores = min(hosts.gather(default_workers()))
    shared_by = sharing(batch_size // hosts.count(), cores)
    if 2 * shared_by > cores or count_is_given() or jax.default_backend() != "cpu":
        return
    cores, shared_by = cores * hosts.count(), shared_by * hosts.count()
    unit = math.lcm(cores, num_classes)
    lower = batch_size // unit * unit
    near = " or ".join(str(n) for n in (lower, lower + unit) if n)
    one = "only one core" if shared_by == 1 else f"only {shared_by} cores"
    print(f"a batch of {batch_size} images can be shared by {one} of {cores}, which is slow: {near} use all")


def choose_batch_size(num_classes: int) -> int:
    """A batch size near 32 for this machine, which is then set up for it (`use_all_cores`), and printed.

    See `batch_size.choose`. The same machine chooses the same.

    Args:
      num_classes: classes of a balanced batch; 1 where batches are not balanced.
    """
    cores = min(hosts.gather(default_workers())) * hosts.count()
    unit = math.lcm(num_classes, hosts.count())
    use_all_cores(choose(unit, cores, 1))  # decides how many devices a CPU is
    devices = jax.device_count()
    size = choose(unit, cores, devices)
    parts = [f"{num_classes} classes"] * (num_classes > 1) + [machine()] * (devices > 1)
    fits = f", which {' and '.join(parts)} share evenly" if parts else ""
    print(f"batch size: {size} images{fits} (another by --config.train.batch_size=N)")
    return size


def parallel_update(step: Callable) -> Callable:
    """pmaps `step(state, batch) -> (state, metrics)`; the old state's memory is reused for the new one."""
    return _pmap(step, in_axes=(None, 0), out_axes=(None, None), donate_argnums=(0,))


def parallel_score(step: Callable) -> Callable:
    """pmaps `step(variables, batch) -> [examples, ...]`, its result stacked `[devices, examples, ...]`.

    On several hosts each has the results of the whole batch, `[1, devices * examples, ...]`. That they do not
    fit into memory is a UserError, when they are asked for or when they are `join`ed.
    """
    if hosts.count() == 1:
        return within_memory(SCORING)(_pmap(step, in_axes=(None, 0), out_axes=0))

    def gathered(variables: Any, batch: Any) -> Any:
        whole = jax.lax.all_gather(step(variables, batch), AXIS, tiled=True)
        return jax.tree.map(lambda array: array[None], whole)

    return within_memory(SCORING)(_pmap(gathered, in_axes=(None, 0), out_axes=None))


def parallel_statistics(step: Callable) -> Callable:
    """pmaps `step(variables, batch, number) -> tree`, equal on all devices."""
    return _pmap(step, in_axes=(None, 0, None), out_axes=None)


def _pmap(step: Callable, **options: Any) -> Callable:
    """`jax.pmap` over the devices of all hosts, in the order of the hosts.

    The order is given because that of JAX need not be: on some TPU pods the numbers of a host's devices do
    not follow each other, and the part of a batch that a host reads would get the keys of another part.
    """
    order = None
    if hosts.count() > 1:
        order = sorted(jax.devices(), key=lambda device: (device.process_index, device.id))
        if len(order) != hosts.count() * jax.local_device_count():
            raise UserError("the hosts have different numbers of devices: give each of them the same.")
    return jax.pmap(step, axis_name=AXIS, devices=order, **options)


def for_each_device(number: int) -> np.ndarray:
    """`number` for each device of this process, int32 `[devices]`: `split` gives every device one."""
    return np.full(jax.local_device_count(), number, np.int32)


def split(batch: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """`[batch, ...]` -> `[devices, batch / devices, ...]` for the devices of this process."""
    devices = jax.local_device_count()
    return {name: array.reshape(devices, -1, *array.shape[1:]) for name, array in batch.items()}


@within_memory(SCORING)
def join(stacked: jax.Array) -> np.ndarray:
    """`[devices, examples, ...]` -> `[devices * examples, ...]` on the host, in the order of the batch."""
    array = np.asarray(stacked)
    return array.reshape(-1, *array.shape[2:])


def place(tree: Any) -> Any:
    """Copies `tree` to every device, laid out as a step returns it.

    Without this the second step, whose state comes from the first, would compile anew. The copy also
    makes restored arrays donatable: a checkpoint may hand out buffers that are not JAX's own.
    """
    copy = _pmap(lambda tree, _: jax.tree.map(jnp.copy, tree), in_axes=(None, 0), out_axes=None)
    return copy(tree, for_each_device(0))


def copy_to_devices(tree: Any) -> Any:
    """As `place`, of what is only read (weights for scoring): nothing has to be compiled for it."""
    mesh = jax.sharding.Mesh(np.array(jax.local_devices()), (AXIS,))
    return jax.device_put(tree, jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec()))


def shared(tree: Any, like: Any) -> Any:
    """`tree` of the first host on all hosts, bit for bit; on one host as it is.

    Args:
      tree: of arrays; what the other hosts give does not count.
      like: a tree of the same structure with the arrays' shapes and types.
    """
    if hosts.count() == 1:
        return tree
    leaves, structure = jax.tree.flatten(like)
    sizes = [leaf.size * leaf.dtype.itemsize for leaf in leaves]
    data = np.zeros((jax.local_device_count(), sum(sizes)), np.uint8)
    if hosts.is_first():
        own = map(np.ascontiguousarray, jax.tree.leaves(tree))
        data[0] = np.concatenate([np.frombuffer(array.tobytes(), np.uint8) for array in own])
    summed = np.asarray(_pmap(lambda x: jax.lax.psum(x, AXIS), in_axes=0, out_axes=None)(data))
    parts = np.split(summed, np.cumsum(sizes)[:-1])
    arrays = [
        np.frombuffer(part.tobytes(), leaf.dtype).reshape(leaf.shape)
        for part, leaf in zip(parts, leaves, strict=True)
    ]
    return jax.tree.unflatten(structure, arrays)


class Largest:
    """The largest of a number over the hosts, returned with a delay of one call: nobody waits for a step."""

    def __init__(self) -> None:
        self._waiting: jax.Array | None = None
        self._largest: Callable | None = None

    def __call__(self, number: int) -> int:
        """The largest of what the hosts gave in the call before (0 in the first); on one host `number`."""
        if hosts.count() == 1:
            return number
        before, self._waiting = self._waiting, self._over_hosts(number)
        return 0 if before is None else int(before)

    def now(self, number: int) -> int:
        """The largest of what the hosts give in this call."""
        return number if hosts.count() == 1 else int(self._over_hosts(number))

    def _over_hosts(self, number: int) -> jax.Array:
        if self._largest is None:
            self._largest = _pmap(lambda x: jax.lax.pmax(x, AXIS), in_axes=0, out_axes=None)
        return self._largest(for_each_device(number))


def even_batches(count: int, most: int) -> int:
    """Images per step for `count` images, each once: at most `most`, but for the rounding to whole devices.

    Batches are filled, and their size is one of a few, so that a program that was compiled for another
    number of images can serve: a power of two, or one and a half times that. Where one batch does not do,
    it is the largest from a quarter of `most` on that computes at most a tenth more than the best one.

    Args:
      count: 1 or more.
      most: 1 or more.
    """
    steps = {size for power in range(most.bit_length()) for size in (2**power, 3 * 2**power // 2)}
    sizes = sorted(round_up_to_devices(size) for size in {min(size, most) for size in steps} | {most})
    if count <= sizes[-1]:
        return min(size for size in sizes if size >= count)
    computed = {size: -(-count // size) * size for size in sizes if size >= most / 4}
    return max(size for size in computed if computed[size] <= 1.1 * min(computed.values()))


def round_up_to_devices(batch_size: int) -> int:
    """The smallest multiple of the number of devices that is at least `batch_size`."""
    devices = jax.device_count()
    return -(-batch_size // devices) * devices
