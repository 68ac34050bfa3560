"""Training metrics as sums that add up over steps and devices, and are divided once."""

import flax.struct
import jax
import jax.numpy as jnp

from asae_jax.types import Labels, Scores


@flax.struct.dataclass
class Sums:
    """Sums over examples, float32 scalars: `loss`, `correct` (how many were right), `count` (how many).

    Adding the sums of batches of different sizes and dividing at the end weighs each example
    alike; a mean of batch means would not. `jax.lax.psum` of a `Sums` is the sum over devices.
    """

    loss: jax.Array
    correct: jax.Array
    count: jax.Array

    @classmethod
    def zero(cls) -> "Sums":
        """The sums over no examples."""
        return cls(*(jnp.zeros((), jnp.float32) for _ in range(3)))

    @classmethod
    def of(cls, losses: jax.Array, scores: Scores, labels: Labels, mask: jax.Array | None = None) -> "Sums":
        """The sums of one batch.

        Args:
          losses: `[batch]`.
          scores: `[batch, classes]`; the highest is the prediction, the first of equals.
          labels: int `[batch]`.
          mask: `[batch]`, 1 for an example and 0 for padding, whose loss may be anything; all count
            when it is None.
        """
        counts = jnp.ones(labels.shape, bool) if mask is None else mask > 0
        correct = jnp.argmax(scores, axis=-1) == labels
        return cls(
            loss=jnp.sum(jnp.where(counts, losses, 0.0), dtype=jnp.float32),
            correct=jnp.sum(correct & counts, dtype=jnp.float32),
            count=jnp.sum(counts, dtype=jnp.float32),
        )

    def __add__(self, other: "Sums") -> "Sums":
        return jax.tree.map(jnp.add, self, other)

    def means(self) -> dict[str, float]:
        """`loss` and `accuracy` (0..1) per example, on the host; NaN when there were no examples."""
        count = float(self.count)
        if not count:
            return {"loss": float("nan"), "accuracy": float("nan")}
        return {"loss": float(self.loss) / count, "accuracy": float(self.correct) / count}
