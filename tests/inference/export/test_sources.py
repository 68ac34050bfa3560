"""Functions as text: all that they need is there, in an order that runs, and they compute the same."""

import cv2
import numpy as np
import pytest

from asae_jax.inference.export import sources
from asae_jax.inference.export.program import HUE_HOW
from asae_jax.inference.export.sources import constants, joined, needed
from asae_jax.input import hue, stain
from asae_jax.input.reduced import Reduced, reduced_square
from asae_jax.synthetic import render


def test_what_a_function_names_in_its_module_is_found_in_the_module_s_order():
    names = ["MAX_GAIN", "LIGHT", "background_light", "match_background", "_to_bytes"]
    assert list(needed(stain.match_background)) == names
    assert needed(stain.match_background)["LIGHT"] == "LIGHT = 98"
    assert list(needed(reduced_square)) == ["Reduced", "square_side", "reduced_square"]
    assert needed(Reduced)["Reduced"].startswith("class Reduced(NamedTuple):\n")


def test_decorators_belong_to_a_function():
    from asae_jax.evaluation.conformal import Conformal

    assert needed(Conformal)["Conformal"].startswith("@dataclasses.dataclass(frozen=True)\nclass Conformal:")


@pytest.mark.parametrize("method", stain.METHODS)
def test_the_text_computes_what_the_function_does(method):
    names: dict = {"np": np, "cv2": cv2}
    exec("from __future__ import annotations\n" + joined(needed(stain.METHODS[method])), names)
    image = render(0, 3, size=64)
    found = names[stain.METHODS[method].__name__](image)
    np.testing.assert_array_equal(found, stain.normalise_stain(image, method=method))


def test_one_name_in_two_modules_is_refused(monkeypatch):
    monkeypatch.setattr(sources.inspect, "getsource", lambda _: "def adjust_hue(): ...\n")
    with pytest.raises(ValueError, match=r"asae_jax\.input\.hue: another module has adjust_hue"):
        needed(_named("adjust_hue", stain), _named("adjust_hue", hue))


def _named(name, module):
    def function(): ...

    function.__name__, function.__module__ = name, module.__name__
    return function


def test_the_constants_of_a_stain_normalisation():
    assert constants(stain.METHODS["reinhard"]).keys() == {"TARGET_MEAN", "TARGET_DEVIATION", "MAX_GAIN"}
    assert constants(stain.METHODS["macenko"]) == {
        "REFERENCE_STAINS": stain.REFERENCE_STAINS, "REFERENCE_AMOUNTS": stain.REFERENCE_AMOUNTS,
        "MAX_GAIN": 3.0, "LIGHT": 98, "MIN_DENSITY": 0.15, "MIN_STAINED": 0.01,
        "MIN_ANGLE": stain.MIN_ANGLE,
    }  # fmt: skip


def test_every_hue_adjustment_is_described():
    assert HUE_HOW.keys() == hue.MODES.keys()
