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
    def of(cls, losses: jax.Array, scores: Scores, labels: Labels) -> "Sums":
        """The sums of one batch.

        Args:
          losses: `[batch]`.
          scores: `[batch, classes]`; the highest is the prediction, the first of equals.
          labels: int `[batch]`.
        """
        return cls(
            loss=jnp.sum(losses, dtype=jnp.float32),
            correct=jnp.sum(jnp.argmax(scores, axis=-1) == labels, dtype=jnp.float32),
            count=jnp.float32(len(labels)),
        )

    def means(self) -> dict[str, float]:
        """`loss` and `accuracy` (0..1) per example, on the host; NaN when there were no examples."""
        count = float(self.count)
        if not count:
            return {"loss": float("nan"), "accuracy": float("nan")}
        return {"loss": float(self.loss) / count, "accuracy": float(self.correct) / count}
