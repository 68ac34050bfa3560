"""TIFF files written by hand, with any tags, as microscopes' software writes them."""

import struct

import numpy as np

_TYPES = {"H": 3, "I": 4, "s": 2}


def tiff(pages, *, order="<"):
    """A TIFF file, uncompressed.

    Args:
      pages: for each page the pixels `[height, width]` or `[height, width, samples]` and a dictionary tag ->
        value that overrides what their type and shape say; with tag 284 equal 2 planes are stored apart.
      order: "<" little-endian or ">".
    """
    data = bytearray((b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, 0))
    link = 4  # where the offset of the next directory goes
    for pixels, tags in pages:
        struct.pack_into(f"{order}I", data, link, len(data))
        link = _add_page(data, np.asarray(pixels), dict(tags), order)
    return bytes(data)


def _add_page(data, pixels, tags, order):
    """Appends directory, values and pixels; returns where the directory's link stands."""
    samples = pixels.shape[2] if pixels.ndim == 3 else 1
    planes = samples if tags.get(284) == 2 else 1
    raw = pixels.astype(pixels.dtype.newbyteorder(order))
    parts = [raw[..., i].tobytes() for i in range(samples)] if planes > 1 else [raw.tobytes()]
    kind = {"u": 1, "i": 2, "f": 3, "c": 6}[pixels.dtype.kind]
    entries = {
        256: pixels.shape[1], 257: pixels.shape[0], 258: [8 * pixels.itemsize] * samples, 259: 1,
        262: 2 if samples > 2 else 1, 277: samples, 278: pixels.shape[0], 284: 1, 339: [kind] * samples,
        273: [0] * planes, 279: [len(part) for part in parts],
    } | tags  # fmt: skip
    entries = {tag: value for tag, value in sorted(entries.items()) if value is not None}
    start = len(data)
    values_at = start + 2 + 12 * len(entries) + 4
    blobs = {tag: _blob(tag, value, order) for tag, value in entries.items()}
    pixels_at = values_at + sum(len(blob) for _, _, blob in blobs.values() if len(blob) > 4)
    offsets = [pixels_at + sum(map(len, parts[:i])) for i in range(planes)]
    blobs[273] = _blob(273, offsets, order)
    directory, values = bytearray(struct.pack(f"{order}H", len(entries))), bytearray()
    for tag, (code, count, blob) in blobs.items() if list(blobs) == sorted(blobs) else sorted(blobs.items()):
        place = blob.ljust(4, b"\0")
        if len(blob) > 4:
            place = struct.pack(f"{order}I", values_at + len(values))
            values += blob
        directory += struct.pack(f"{order}HHI", tag, code, count) + place
    data += directory + bytes(4) + values + b"".join(parts)
    return start + len(directory)


def _blob(tag, value, order):
    if isinstance(value, str):
        text = value.encode() + b"\0"
        return 2, len(text), text
    values = value if isinstance(value, list) else [value]
    letter = "I" if tag in (254, 256, 257, 273, 279) else "H"
    return _TYPES[letter], len(values), struct.pack(f"{order}{len(values)}{letter}", *values)
