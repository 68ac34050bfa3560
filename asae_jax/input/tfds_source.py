"""Data-set index of a data set of TensorFlow Datasets, read by random access.

The sampler draws examples in an order of its own, so records cannot be read as a stream; TFDS reads
single records from files in the formats array_record and parquet. Nothing is ever downloaded here.
"""

import os
from collections.abc import Container, Iterable, Iterator
from typing import Any

import numpy as np

from asae_jax.errors import UserError
from asae_jax.files import user_path
from asae_jax.input.content import CONTENT_TYPE, bytes_content
from asae_jax.input.decode import decode_image, decode_reduced
from asae_jax.input.index import DATA_OPTIONS, NO_VALUE, DataIndex
from asae_jax.input.split import SPLIT_NAMES

_AT_ONCE = 1024  # records, when labels are read


def tfds_index(
    name: str, *, data_dir: str | os.PathLike, group_feature: str = "", options: str = DATA_OPTIONS
) -> DataIndex:
    """The examples of a data set that TFDS has prepared on this machine.

    The data set has one `Image` and one `ClassLabel` feature (or those named `image` and `label`), at the
    top level. A feature `name` that differs between all examples gives `DataIndex.names`; otherwise
    examples are numbered. Its splits train, val or validation, and test are the index's; a data set with
    a split train alone gives none. Other splits, and examples of label -1, are listed in
    `DataIndex.skipped`. Making the index reads every record once, without decoding the images.

    Args:
      name: as `tfds.builder` takes it: `name`, `name/config`, `name/config:1.0.0`.
      data_dir: where TFDS prepared it; empty for TFDS's own default.
      group_feature: name of a feature that tells the slide or patient; empty for none.
      options: how the command line spells `source`, `path` and `group_feature`, for messages.

    Raises:
      UserError: no such data set there, a format without random access, features other than these, or an
        image without a group.
    """
    builder = _builder(name, data_dir, options)
    image, label = _features(name, builder.info.features, group_feature, options)
    sources = _sources(name, builder, image, options)
    parts = [
        _Part(split, source, image, label, group_feature) for split, source in sources.items() if len(source)
    ]
    if group_feature:
        _check_groups(name, parts, group_feature, options)
    starts = np.cumsum([0, *(len(part.labels) for part in parts)])

    def record(row: int) -> tuple[bytes, str]:
        number = int(np.searchsorted(starts, row, side="right")) - 1
        return parts[number].record(row - int(starts[number]))

    splits = np.concatenate([np.full(len(part.labels), SPLIT_NAMES[part.split]) for part in parts])
    return DataIndex(
        source=f"tfds:{name}",
        class_names=tuple(builder.info.features[label].names),
        names=np.concatenate([part.names for part in parts]),
        labels=np.concatenate([part.labels for part in parts]),
        read=lambda row: decode_image(*record(row)),
        reduced=lambda row, reduction: decode_reduced(*record(row), reduction),
        groups=np.concatenate([part.groups for part in parts]) if group_feature else None,
        splits=splits if len(parts) > 1 else None,
        settings=f"{builder.info.full_name} {_sizes(builder)}",
        skipped=(*_other_splits(builder), *(entry for part in parts for entry in part.skipped)),
        notes=tuple(_notes(name, builder.info.features, (image, label, group_feature), options)),
        content=lambda: np.concatenate([part.contents for part in parts]),
    )


class _Part:
    """The labelled examples of one split."""

    def __init__(self, split: str, source: Any, image: str, label: str, group: str):
        self.split, self._source, self._image = split, source, image
        records = list(_small_features(source, image, label, group))
        labels = np.array([record[0] for record in records], np.int32)
        names = _names(split, [record[2] for record in records])
        self._rows = np.flatnonzero(labels >= 0)
        self.labels, self.names = labels[self._rows], names[self._rows]
        self.groups = np.array([record[1] for record in records])[self._rows]
        self.contents = np.array([record[3] for record in records], CONTENT_TYPE)[self._rows]
        self.skipped = tuple((str(name), "no label") for name in names[labels < 0])

    def record(self, index: int) -> tuple[bytes, str]:
        """The file of an image, and its name."""
        return self._source[int(self._rows[index])][self._image], str(self.names[index])


def _check_groups(name: str, parts: Iterable[_Part], feature: str, options: str) -> None:
    """Refuses images without a group: all of them would count as one patient."""
    missing = [
        (image, group)
        for part in parts
        for image, group in zip(part.names, part.groups, strict=True)
        if not group.strip() or group.strip().lower() in NO_VALUE
    ]
    if missing:
        image, group = missing[0]
        raise UserError(
            f"TFDS data set {name!r} has {len(missing):,} images without a value of {feature!r}, which would "
            f"all count as one patient (the first: {image}, {str(group)!r}): prepare it with one for each "
            f"image, or choose another feature or none ({options}group_feature=)"
        )


def _names(split: str, given: list[str]) -> np.ndarray:
    if len(set(given)) == len(given) and all(given):
        return np.array([f"{split}/{name}" for name in given])
    return np.array([f"{split}/{number:06d}" for number in range(len(given))])


def _small_features(source: Any, image: str, label: str, group: str) -> Iterator[tuple[int, str, str, str]]:
    """(label, group, name, content) of every record, group and name empty if missing; nothing is decoded."""
    for start in range(0, len(source), _AT_ONCE):
        for record in source.__getitems__(range(start, min(start + _AT_ONCE, len(source)))):
            small = _text(record.get(group, "")), _text(record.get("name", ""))
            yield int(record[label]), *small, bytes_content(record[image])


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _builder(name: str, data_dir: str | os.PathLike, options: str) -> Any:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow_datasets as tfds

    place = str(user_path(data_dir)) if data_dir else None
    try:
        builder = tfds.builder(name, data_dir=place, try_gcs=False)
    except Exception as error:  # TFDS has an exception for each of the many ways not to find a data set
        reason = str(error).strip().split("\n", 1)[0][:200]
        raise UserError(
            f"no TFDS data set {name!r} in {place or 'the default folder of TFDS'} ({reason}): check "
            f"{options}source=tfds:NAME, and give the folder it was prepared in by {options}path=DIR"
        ) from error
    if not builder.info.splits:
        raise UserError(
            f"TFDS data set {name!r} is not prepared in {builder.data_dir}: {_remedy(name, options)}"
        )
    return builder


def _sources(name: str, builder: Any, image: str, options: str) -> dict[str, Any]:
    """Split -> its records by number, the image as the bytes it was stored as."""
    import tensorflow_datasets as tfds

    splits = sorted(set(builder.info.splits) & set(SPLIT_NAMES), key=[*SPLIT_NAMES].index)
    if "train" not in splits:
        raise UserError(f"TFDS data set {name!r} has no split train: it has {', '.join(builder.info.splits)}")
    decoders = {image: tfds.decode.SkipDecoding()}
    try:
        return {split: builder.as_data_source(split, decoders=decoders) for split in splits}
    except NotImplementedError as error:
        raise UserError(
            f"TFDS data set {name!r} lies in {builder.data_dir} as {builder.info.file_format.value}, which "
            f"cannot be read at random: {_remedy(name, options)}"
        ) from error


def _remedy(name: str, options: str) -> str:
    return (
        f"prepare it with `python -m data {name} --manual_dir=DOWNLOADED --data_dir=DIR` (the sets of the "
        f"folder data/) or `tfds build {name} --file_format=array_record`, and give {options}path=DIR"
    )


def _features(name: str, features: Any, group: str, options: str) -> tuple[str, str]:
    """Names of the image and of the label."""
    import tensorflow_datasets as tfds

    kinds = {"image": tfds.features.Image, "label": tfds.features.ClassLabel}
    found = []
    for usual, kind in kinds.items():
        names = [key for key, feature in features.items() if isinstance(feature, kind)]
        if len(names) != 1 and usual not in names:
            raise UserError(
                f"TFDS data set {name!r} has {len(names)} features of kind {kind.__name__}, none named "
                f"{usual!r}: it needs one image and one label an example"
            )
        found.append(usual if usual in names else names[0])
    if group and group not in features:
        raise UserError(
            f"TFDS data set {name!r} has no feature {group!r}: choose one of {', '.join(features)} "
            f"({options}group_feature=)"
        )
    return found[0], found[1]


def _sizes(builder: Any) -> str:
    """Numbers of records and bytes of each split, as TFDS recorded them: they change when records do."""
    return " ".join(f"{s.name}={s.shard_lengths}/{s.num_bytes}" for s in builder.info.splits.values())


def _notes(name: str, features: Iterable[str], used: Container[str], options: str) -> Iterator[str]:
    """Features that are not used: one may tell the patient."""
    if others := [feature for feature in features if feature not in used and feature != "name"]:
        what_for = "keeps these apart" if options == DATA_OPTIONS else "keeps intervals from being too narrow"
        yield (
            f"features of {name} that are not used: {', '.join(others)}; one that tells slide or patient "
            f"{what_for} by {options}group_feature="
        )


def _other_splits(builder: Any) -> list[tuple[str, str]]:
    return [
        (name, f"not train, validation or test ({split.num_examples} examples)")
        for name, split in builder.info.splits.items()
        if name not in SPLIT_NAMES
    ]
