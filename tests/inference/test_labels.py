"""True classes that an input tells."""

import pytest

from asae_jax.inference.labels import input_labels
from asae_jax.inference.predict.inputs import read_input


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("path,label\n1.png,A\n2.png,\n", ["A", ""]),
        ("path,label,seen\n1.png,A,yes\n2.png,B,no\n", ["A", ""]),
        ("path,label,probability,for_person\n1.png,A,0.9,no\n2.png,B,0.5,yes\n", ["", ""]),
        ("path,true,label,probability\n1.png,A,A,0.9\n2.png,B,A,0.5\n", ["", ""]),
    ],
)
@pytest.mark.filterwarnings("ignore:no column of")
def test_a_network_s_guesses_are_no_true_classes(tmp_path, text, labels):
    path = tmp_path / "list.csv"
    path.write_text(text)
    assert input_labels(str(path), read_input(str(path)), ["A", "B"]) == labels
