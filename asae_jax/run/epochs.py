"""How long to train: the fewer images, the more often each is seen; and epochs in steps."""

_EPOCHS, _IMAGES = 60, 160
_EXPONENT = 0.3
_LEAST, _MOST = 10, 60


def choose_epochs(images: int, *, trained: bool) -> int:
    """Epochs for a number of training images, printed: 60 for 160 images, 37 for 800, 23 for 4,000.

    A rule made by judgement: trials on real cells had 60, 40 and 30 epochs with 160, 400 and 800 images
    (results/few_labels.md), and a ResNet-18 on 3,860 marrow images gained from 24 epochs instead of 6. At
    least 10, at most 60; from random weights twice as many.

    Args:
      images: in the training part; without any, training is refused later.
      trained: whether training starts from trained weights.
    """
    epochs = min(max(round(_EPOCHS * (_IMAGES / max(images, 1)) ** _EXPONENT), _LEAST), _MOST)
    epochs = epochs if trained else 2 * epochs
    print(f"epochs: {epochs}, for {images:,} training images (others by --config.train.epochs=N)")
    return epochs


def steps_of(epochs: float, steps_per_epoch: int) -> int:
    """Steps of a number of epochs, rounded; at most 2^31 - 1, as JAX counts in 32 bits.

    No run comes that far, so what is to happen later than that never does.
    """
    return round(min(epochs * steps_per_epoch, _MOST_STEPS))


_MOST_STEPS = 2**31 - 1
