"""Settings that travel with a model, and those that stay behind."""

import json

import pytest

from asae_jax.config import base_config
from asae_jax.evaluation.page.words import training
from asae_jax.inference.portable import portable


def test_paths_are_left_behind_or_only_their_names_kept():
    config = base_config()
    config.data.update(path="/home/me/cells", cache_dir="/big", class_map="C:\\maps\\mine.csv", workers=3)
    config.data.specimen = "blood"
    config.init.pretrained = "/home/me/weights/resnet.safetensors"
    config.eval.update(path="/home/me/theirs", source="folder", name="theirs", test_mode="enhance")
    config.predict.input, config.export.output = "/home/me/new", "/home/me/out"
    config.uncertainty.target_error = 0.25
    packed = portable(config)
    assert "/" not in "".join(value for value in packed.to_dict()["data"].values() if isinstance(value, str))
    assert "me/" not in json.dumps(packed.to_dict())
    assert (packed.data.class_map, packed.init.pretrained) == ("mine.csv", "resnet.safetensors")
    assert (packed.eval.test_mode, packed.eval.source, packed.data.workers) == ("enhance", "", 0)
    assert packed.uncertainty.target_error == 0.25
    assert packed.data.specimen == "blood"
    config.data.class_map = "stages/bm_cytomorphology"  # the name of a shipped one
    assert portable(config).data.class_map == "stages/bm_cytomorphology"


@pytest.mark.parametrize(
    ("given", "kept", "said"),
    [
        ("cells", "cells", "the included model cells"),
        ("/home/me/cells", "./cells", "the weights of ./cells"),
        ("D:\\runs\\cells\\", "./cells", "the weights of ./cells"),
        ("cells/", "./cells", "the weights of ./cells"),
        ("nets/efficientnet_lite0", "./efficientnet_lite0", "the weights of ./efficientnet_lite0"),
        ("efficientnet_lite0", "efficientnet_lite0", "the weights of efficientnet_lite0"),
    ],
)
def test_a_user_s_folder_called_as_an_included_model_does_not_become_that_model(given, kept, said):
    config = base_config()
    config.init.pretrained, config.data.class_map = given, "maps/types_of_stages"
    packed = portable(config)
    assert (packed.init.pretrained, packed.data.class_map) == (kept, "./types_of_stages")
    assert dict(training(packed, [], None))["started from"] == said
