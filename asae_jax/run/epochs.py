"""How long to train: the fewer images, the more often each is seen."""

_EPOCHS, _IMAGES = 60, 160
_EXPONENT = 0.3
_LEAST, _MOST = 10, 60


def choose_epochs(images: int, *, trained: bool) -> int:
    """Epochs for a number of training images, printed: 60 for 160 images, 37 for 800, 23 for 4,000.

    A power law through what was fixed for trials on real cells (results/few_labels.md): 60 epochs with 160
    images and about 24 with 3,860. At least 10, at most 60; from random weights twice as many.

    Args:
      images: in the training part, 1 or more.
      trained: whether training starts from trained weights.
    """
    epochs = min(max(round(_EPOCHS * (_IMAGES / images) ** _EXPONENT), _LEAST), _MOST)
    epochs = epochs if trained else 2 * epochs
    print(f"epochs: {epochs}, for {images:,} training images (others by --config.train.epochs=N)")
    return epochs
