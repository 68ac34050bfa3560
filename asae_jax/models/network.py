"""A backbone with a branching layer between two of its stages (paper, section 3.1)."""

import math
from typing import Any

import flax.linen as nn
import jax

from asae_jax.errors import UserError
from asae_jax.models.asae import ASAE, ASAEMaps
from asae_jax.models.choices import check_choice
from asae_jax.models.resnet import ResNet
from asae_jax.models.vgg import VGG
from asae_jax.types import BranchScores, Features, Images, Scores

TEST_MODES = ("skip", "enhance", "mean")


class Network(nn.Module):
    """Stages up to the insertion point once, the layer, the later stages once for all branches.

    In training every image passes the later stages once per branch, in one batch. The layer has no
    parameters, so `network.clone(branching=None)` takes the same variables and is the plain backbone.

    Attributes:
      backbone: gives `stage_names`, `apply_stage` and `classify`.
      branching: the layer, or None for the plain backbone.
      insert_after: name of the stage whose output the layer takes.
      test_mode: what happens outside of training: "skip" leaves the layer out (the paper's), "enhance" keeps
        the enhanced branch alone, "mean" averages the probabilities of the layer's branches, with the
        highest peak suppressed.
    """

    backbone: ResNet | VGG
    branching: ASAE | None = None
    insert_after: str = "layer3"
    test_mode: str = "skip"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("insert_after", self.insert_after, self.backbone.stage_names)
        check_choice("test_mode", self.test_mode, TEST_MODES)

    def __call__(self, images: Images, *, train: bool, return_endpoints: bool = False) -> Any:
        """Logits of normalised images `[batch, height, width, 3]`.

        Args:
          images: float, normalised.
          train: use the branching layer and the batch's statistics. Needs the rng stream "asae" where a
            region is suppressed, and `mutable=["batch_stats"]`.
          return_endpoints: also return what was computed on the way.

        Returns:
          float32 logits: `[branches, batch, classes]` in training with a branching layer, otherwise
          `[batch, classes]` (log-probabilities in test mode "mean"). With `return_endpoints` a pair of them
          and a dict: the features of every stage by its name and, where there is a branching layer, also at
          test, the fields of `asae_jax.models.asae.ASAEMaps`. At test these show the highest peak unless a
          key for "asae" is given.

        Raises:
          UserError: the images are too small for the backbone.
        """
        endpoints: dict[str, jax.Array] = {}
        x = images
        use_layer = self.branching is not None and (train or return_endpoints or self.test_mode != "skip")
        for name in self.backbone.stage_names:
            x = self.backbone.apply_stage(name, x, train=train)
            if x.size == 0:
                height, width = images.shape[1:3]
                raise UserError(
                    f"nothing is left of {height} x {width} images after {name}: use larger images"
                )
            endpoints[name] = x
            if name == self.insert_after and use_layer:
                x, maps = self._branch(x, train=train)
                endpoints |= maps._asdict()
        logits = self.backbone.classify(x)
        if logits.ndim == 3 and not train:
            logits = _mean_log_probs(logits)
        return (logits, endpoints) if return_endpoints else logits

    def _branch(self, features: Features, *, train: bool) -> tuple[Features, ASAEMaps]:
        """What the later stages get (all branches in training, else what `test_mode` says), and the maps."""
        assert self.branching is not None
        maps = self.branching.maps(features, train=train)
        if train or self.test_mode == "mean":
            features = self.branching.all_branches(features, maps)
        elif self.test_mode == "enhance":
            features = self.branching.one_branch(features, maps, "enhance")
        return features, maps


def _mean_log_probs(logits: BranchScores) -> Scores:
    """Logarithm of the mean probability over the branches, `[batch, classes]`."""
    log_probs = jax.nn.log_softmax(logits)
    return jax.nn.logsumexp(log_probs, axis=0) - math.log(logits.shape[0])
