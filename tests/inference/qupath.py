"""What QuPath's reader asks of GeoJSON, by its source (QuPathTypeAdapters, GsonTools; from 0.4 on)."""

import itertools
import json
import uuid


def read(path):
    """The objects of a file: (type, name, class, colour, corners or point, measurements, metadata)."""
    content = json.loads(path.read_text(encoding="utf-8"))
    assert content["type"] == "FeatureCollection"
    return [_object(one) for one in content["features"]]


def _object(one):
    assert one["type"] == "Feature"
    uuid.UUID(one["id"])
    properties = one["properties"]
    assert properties["objectType"] in ("annotation", "detection")
    chosen = properties.get("classification", {"name": "", "color": [0, 0, 0]})
    assert set(chosen) == {"name", "color"}  # without `color` it fails to parse
    assert len(chosen["color"]) == 3
    assert all(isinstance(value, int) and 0 <= value <= 255 for value in chosen["color"])
    assert "\n" not in chosen["name"]
    numbers, texts = properties.get("measurements", {}), properties.get("metadata", {})
    assert all(isinstance(value, int | float) for value in numbers.values())
    assert all(isinstance(value, str) for value in texts.values())
    return (
        properties["objectType"], properties.get("name"), chosen["name"], tuple(chosen["color"]),
        _place(one["geometry"]), numbers, texts,
    )  # fmt: skip


def _place(geometry):
    if geometry["type"] == "Point":
        x, y = geometry["coordinates"]
        return x, y
    assert geometry["type"] == "Polygon"
    (ring,) = geometry["coordinates"]
    assert ring[0] == ring[-1]
    assert len({tuple(point) for point in ring}) == len(ring) - 1 == 4
    # RFC 7946: the outer ring is counter-clockwise, its area by the shoelace formula above 0.
    area = sum(a[0] * b[1] - b[0] * a[1] for a, b in itertools.pairwise(ring)) / 2
    (left, upper), (right, lower) = ring[0], ring[2]
    assert area == (right - left) * (lower - upper) > 0
    return left, upper, right, lower
