"""JSON files of a run changed by hand."""

import contextlib
import json

from asae_jax.json_files import CHECKSUM


def unsealed(path):
    """The content of a JSON file without its checksum."""
    content = json.loads(path.read_text(encoding="utf-8"))
    content.pop(CHECKSUM, None)
    return content


@contextlib.contextmanager
def edited(path):
    """The content of a JSON file, to be changed in the block; without its checksum, which would not fit."""
    content = unsealed(path)
    yield content
    path.write_text(json.dumps(content), encoding="utf-8")
