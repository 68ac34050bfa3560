"""Features of the frozen stages, computed once for a fixed number of random views of each training image.

With `init.freeze` and `init.views` a training step computes the other stages alone: what it is given are
these features. View `v` of the image in row `i` of the data-set index is drawn with the key of (seed,
"views", v, i), whatever batch, device or part of the split the image is in. So runs that differ in the split
or behind the frozen stages share the features, and more views are added to those that are there.
"""

import dataclasses
import functools
import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from asae_jax import augment
from asae_jax.errors import UserError
from asae_jax.files import disk_errors
from asae_jax.input.feed import HostBatches, view_batches
from asae_jax.input.store import MARK_EVERY, DamagedRecord, RecordStore, check_room
from asae_jax.json_files import write_json
from asae_jax.run import build, folder, hosts, parallel
from asae_jax.run.data import Data, cache_folder
from asae_jax.terminal import Bar

_VERSION = 1  # of what is computed and how it is laid out; raise it when that changes
_BEHIND = ("branching", "insert_after", "branch_statistics", "running_statistics", "branch_affine", "remat")
# Settings of the network that change nothing in frozen stages: what is named here does not cost new features.
_VERSIONS = ("asae_jax", "jax", "jaxlib", "flax")


@dataclasses.dataclass(frozen=True)
class Features:
    """The kept features of a data-set index: record `row * views + view`.

    Attributes:
      stores: one for each view, with a record for each row of the index.
      shape: of the features of an image, `(height, width, channels)`.
      dtype: of the features.
    """

    stores: tuple[RecordStore, ...]
    shape: tuple[int, ...]
    dtype: np.dtype

    def empty(self, count: int) -> np.ndarray:
        """An array for `count` records, not filled."""
        return np.empty((count, *self.shape), self.dtype)

    def read_batch(self, rows: np.ndarray, out: np.ndarray) -> np.ndarray:
        """Records `rows` (int `[n]`) into `out`, `[n, height, width, channels]`. Thread-safe.

        Raises:
          UserError: features have changed since they were written, or are not there any more.
        """
        for place, record in zip(out, rows, strict=True):
            row, view = divmod(int(record), len(self.stores))
            try:
                self.stores[view].read(row, place)
            except DamagedRecord as error:
                with disk_errors(f"write the features {self.stores[view].directory}", remedy="delete them"):
                    self.stores[view].forget(row)
                raise UserError(
                    f"features in {self.stores[view].directory} are damaged: start the same command again, "
                    "which computes those anew and goes on from the last checkpoint."
                ) from error
        return out

    def training_batches(self, data: Data, config: ConfigDict, *, start_step: int = 0) -> HostBatches:
        """Endless batches of the training part, the same examples as `Data.training_batches` gives."""
        indices = data.indices("train")
        return view_batches(
            self,
            indices,
            data.labels(indices),
            sampler=data.sampler(config),
            views=len(self.stores),
            start_step=start_step,
            workers=config.data.workers or None,
            process_index=hosts.index(),
            process_count=hosts.count(),
        )


def front_features(
    config: ConfigDict, data: Data, variables: Mapping[str, Any], workdir: Path, *, progress: bool = True
) -> Features:
    """The features of `init.views` views of every training image; those not in the cache yet are computed.

    An interrupted computation goes on where it stopped, and several processes may be at it at once. How much
    they take is printed before.

    Args:
      config: settings, with `init.freeze` and `init.views`.
      data: of the run.
      variables: `params` and `batch_stats` of the run; only the frozen stages' matter.
      workdir: the run folder.
      progress: whether to say what is done.

    Raises:
      UserError: no room for the features, the cache cannot be written, or features beyond float16.
    """
    shape, dtype = front_shape(config, data.index.num_classes), np.dtype(config.init.views_dtype)
    place = cache_folder(config, workdir) / f"features-{fingerprint(config, data, variables)[:32]}"
    record_bytes = math.prod(shape) * dtype.itemsize
    remedy = "choose another place (--config.data.cache_dir=DIR) or fewer views (--config.init.views=)"
    with disk_errors(f"write the features {place}", remedy=remedy):
        open_store = functools.partial(
            RecordStore, count=len(data.index), record_bytes=record_bytes, name=f"features.{dtype}"
        )
        rows = data.indices("train")
        folders = [place / f"view{view:02d}" for view in range(config.init.views)]
        missing = [rows[~open_store(path).filled()[rows]] if path.exists() else rows for path in folders]
        # What one host lacks all compute, each its part, and all keep, in their own caches or a common one.
        of_all = zip(*hosts.gather([part.tolist() for part in missing]), strict=True)
        missing = [np.unique(np.concatenate(parts)).astype(rows.dtype) for parts in of_all]
        if progress:
            print(_described(config, len(rows), record_bytes, sum(map(len, missing)), place))
        check_room(place, sum(map(len, missing)) * record_bytes)
        stores = tuple(map(open_store, folders))
        if any(map(len, missing)):
            write_json(place / "about.json", _about(config, data, shape))
            _fill(config, data, variables, stores, missing, progress)
    return Features(stores, shape, dtype)


def front_shape(config: ConfigDict, num_classes: int) -> tuple[int, ...]:
    """`(height, width, channels)` behind the frozen stages; nothing is computed."""
    network, size = build.create_network(config, num_classes), config.augment.size
    images = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
    variables = build.variable_shapes(config, num_classes)
    return jax.eval_shape(functools.partial(network.apply, method="front"), variables, images).shape[1:]


def fingerprint(config: ConfigDict, data: Data, variables: Mapping[str, Any]) -> str:
    """64 hexadecimal digits that change when the features do."""
    versions = folder.versions_now()
    images = data.prepared.store
    assert images is not None  # `config.check` sees to it
    decisive = {
        "version": _VERSION,
        "images": images.directory.name,  # digests of what the images are read from, and of the preparation
        "augment": _decisive(build.create_augment(config).keywords),
        "seed": config.seed,
        "model": {name: value for name, value in config.model.items() if name not in _BEHIND},
        "freeze": config.init.freeze,
        "dtype": config.init.views_dtype,
        "weights": _weights_digest(config, data.index.num_classes, variables),
        "versions": [versions[name] for name in _VERSIONS],
        "platform": jax.default_backend(),
    }
    return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()


def _decisive(keywords: Mapping[str, Any]) -> dict[str, Any]:
    """Options of augmentation; without those that are off and that features made before do not name."""
    added = {"scale_even": "area", "laboratory": augment.HOME}
    return {name: value for name, value in keywords.items() if value != added.get(name)}


def _weights_digest(config: ConfigDict, num_classes: int, variables: Mapping[str, Any]) -> str:
    digest = hashlib.sha256()
    stages = build.create_network(config, num_classes).frozen_stages
    for collection in ("params", "batch_stats"):
        of_stages = {name: variables[collection].get("backbone", {}).get(name, {}) for name in stages}
        for path, array in jax.tree_util.tree_leaves_with_path(of_stages):
            # The first step makes 0 of -0, of which weights that were kept in half precision have some.
            array = np.asarray(array) + 0
            digest.update(f"{collection}{jax.tree_util.keystr(path)} {array.dtype} {array.shape} ".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _fill(
    config: ConfigDict,
    data: Data,
    variables: Mapping[str, Any],
    stores: tuple[RecordStore, ...],
    missing: list[np.ndarray],
    progress: bool,
) -> None:
    """Computes rows `missing[view]` of each view and writes them to its store."""
    step = build.compiled_front_step(config, data.index.num_classes)
    size = parallel.round_up_to_devices(min(config.eval.batch_size, max(map(len, missing))))
    total = sum(map(len, missing))
    with Bar("frozen features" if progress else "", total, "view", compiles=1) as bar:
        for view, (store, rows) in enumerate(zip(stores, missing, strict=True)):
            written: list[int] = []
            for row, features in _computed(config, data, variables, step, view, rows, size):
                store.write(row, features)
                written.append(row)
                if len(written) == MARK_EVERY:
                    store.mark(written)
                    written = []
                bar.update()
            store.mark(written)


def _computed(
    config: ConfigDict,
    data: Data,
    variables: Mapping[str, Any],
    step: Any,
    view: int,
    rows: np.ndarray,
    size: int,
) -> Iterator[tuple[int, np.ndarray]]:
    """(row, features of its view) of all `rows`, in batches of `size`."""
    for first, batch in zip(range(0, len(rows), size), data.batches(config, rows, size), strict=True):
        views = np.full(len(batch["index"]), view, np.int32)
        given = {name: batch[name] for name in ("image", "index")} | {"view": views}
        computed = rows[first : first + size]
        features = parallel.join(step(variables, parallel.split(given)))[: len(computed)]
        _check_finite(features, config)
        yield from zip(map(int, computed), features, strict=True)


def _check_finite(features: np.ndarray, config: ConfigDict) -> None:
    if not np.isfinite(features).all():
        kind, frozen = config.init.views_dtype, config.init.freeze
        remedy = "set --config.init.views_dtype=float32" if kind == "float16" else "use other weights"
        raise UserError(f"features after {frozen} are not finite as {kind} (config.init.views): {remedy}.")


def _described(config: ConfigDict, images: int, record_bytes: int, missing: int, place: Path) -> str:
    views = config.init.views
    each = f"{views} {'view' if views == 1 else 'views'}"
    return (
        f"features after {config.init.freeze}: {each} of {images} training images, "
        f"{images * views * record_bytes / 1e9:.2f} GB in {place}, "
        f"{missing * record_bytes / 1e9:.2f} GB of it to be computed"
    )


def _about(config: ConfigDict, data: Data, shape: tuple[int, ...]) -> dict[str, Any]:
    """What the folder is, for whoever finds it."""
    return {
        "what": "features of frozen stages of asae_jax; may be deleted",
        "source": data.index.source,
        "examples": len(data.index),
        "model": config.model.name,
        "after": config.init.freeze,
        "shape": shape,
        "weights": config.init.pretrained,
        "seed": config.seed,
    }
