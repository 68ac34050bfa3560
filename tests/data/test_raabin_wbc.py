import pytest

from asae_jax.errors import UserError


@pytest.fixture
def archive(made):
    made.jpeg("raabin/Train/Basophil/1.jpg")
    made.jpeg("raabin/Train/Neutrophil/1.jpg")
    made.jpeg("raabin/TestA/TestA/Monocyte/2.jpg")  # as some unpackers make it
    made.jpeg("raabin/TestB/Neutrophil/3.jpg")


@pytest.mark.usefixtures("archive")
@pytest.mark.parametrize(
    ("config", "test"),
    [("test_a", {"Monocyte/2.jpg": "Monocyte"}), ("test_b", {"Neutrophil/3.jpg": "Neutrophil"})],
)
def test_classes_that_a_split_lacks_do_not_shift_its_labels(prepare, examples, caplog, config, test):
    builder = prepare("raabin_wbc", config)
    labels = {
        split: {name: example["label"] for name, example in examples(builder, split).items()}
        for split in builder.info.splits
    }
    train = {"Basophil/1.jpg": "Basophil", "Neutrophil/1.jpg": "Neutrophil"}
    assert labels == {"train": train, "test": test}
    warned = [line for line in caplog.messages if "documented" in line]
    assert "raabin_wbc Train" in warned[0]
    assert "Basophil 212 documented, 1 found" in warned[0]
    assert len(warned) == (2 if config == "test_a" else 1)  # no counts are documented for TestB


def test_a_folder_of_something_else_is_refused_in_one_line(made, prepare):
    made.jpeg("holiday/1.jpg")
    with pytest.raises(UserError, match="holds none of the folders TestA, Train") as caught:
        prepare("raabin_wbc")
    assert "\n" not in str(caught.value)


def test_a_test_set_that_is_not_there_is_named(made, prepare):
    made.jpeg("Train/Basophil/1.jpg")
    with pytest.raises(UserError, match="TestB holds none"):
        prepare("raabin_wbc", "test_b")
