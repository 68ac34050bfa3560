"""A backbone with ASAE, or a drop layer in its place, between two of its stages (paper, section 3.1)."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from asae_jax.errors import UserError
from asae_jax.models.asae import ASAE, self_attention_map
from asae_jax.models.backbones.base import Backbone
from asae_jax.models.baselines.drop_layers import TrainingLayer
from asae_jax.models.layers import check_choice
from asae_jax.models.second_look import attended_crop
from asae_jax.types import (
    Array,
    BranchScores,
    ExampleNumbers,
    Features,
    ImageFeatures,
    Images,
    Logits,
    NextFeatures,
    Number,
    Scores,
)

SECOND_LOOK = "second_look"
TEST_MODES = ("skip", "enhance", "mean", SECOND_LOOK)
CLASS_MAPS = "class_maps"
"""As `insert_after`: the layer takes one map per class, in front of global average pooling."""


class Network(nn.Module):
    """Stages up to the insertion point once, the layer, the later stages once for all branches.

    In training every image passes the later stages once per branch, in one batch. The layer has no
    parameters, so `network.clone(branching=None)` takes the same variables and is the plain backbone.

    Attributes:
      backbone: gives `stage_names`, `apply_stage` and `classify`.
      branching: `ASAE`, or a drop layer, which keeps one copy of the features and is absent at test, or None
        for the plain backbone.
      insert_after: name of the stage whose output the layer takes; "class_maps" with a backbone whose head
        is linear.
      test_mode: what happens to ASAE outside of training: "skip" leaves the layer out (the paper's),
        "enhance" keeps the enhanced branch alone, "mean" averages the probabilities of the layer's branches,
        with the highest peak suppressed. "second_look", also without a layer, leaves it out, scores the image
        and the crop around what the attention of `insert_after` shows, and averages the probabilities.
      attention: "mean" or "magnitude", see `self_attention_map`: without ASAE what pages show, and what a
        second look follows; ASAE has its own, which counts where it is there.
      look_threshold: of a second look: the crop holds the positions of at least this share of the maximum;
        with "magnitude" of the maximum above the map's mean, see `second_look`.
      freeze_until: the last of the stages, from the first one on, that compute as at test also in training:
        with their running statistics, which stay as they are, and without gradients. None: no stage.
      remat: keep for the gradient only what passes from one stage to the next, and compute the stages again
        in the backward pass: less memory for a quarter more arithmetic. The variables are the same.
      start_after: stage whose features are what the network is given in the place of images; the stages up
        to it are not computed. Their variables are the same. None: it is given images.
    """

    backbone: Backbone
    branching: ASAE | TrainingLayer | None = None
    insert_after: str = "layer3"
    test_mode: str = "skip"
    freeze_until: str | None = None
    start_after: str | None = None
    look_threshold: float = 0.3
    remat: bool = False
    attention: str = "mean"

    def __post_init__(self) -> None:
        super().__post_init__()
        class_maps = (CLASS_MAPS,) if self.backbone.has_class_maps else ()
        check_choice("insert_after", self.insert_after, self.backbone.stage_names + class_maps)
        check_choice("test_mode", self.test_mode, TEST_MODES)
        if self.freeze_until is not None:
            check_choice("freeze_until", self.freeze_until, self.backbone.stage_names)
        if self.start_after is not None:
            check_choice("start_after", self.start_after, self.backbone.stage_names)
            if self.branching is not None:
                behind = self._stages_from(self.start_after)
                check_choice("insert_after", self.insert_after, behind + class_maps)

    @property
    def frozen_stages(self) -> tuple[str, ...]:
        """Names of the stages that training leaves as they are; they are also the keys of their variables."""
        stages = self.backbone.stage_names
        return () if self.freeze_until is None else stages[: stages.index(self.freeze_until) + 1]

    @property
    def watched_stage(self) -> str:
        """The stage that the layer follows, or would follow: the last one for a layer on class maps."""
        stages = self.backbone.stage_names
        return self.insert_after if self.insert_after in stages else stages[-1]

    @property
    def shown_attention(self) -> str:
        """What self-attention is, with or without the layer, see `self_attention_map`."""
        return self.branching.attention if isinstance(self.branching, ASAE) else self.attention

    @property
    def looks_above_mean(self) -> bool:
        """Whether the threshold of a second look counts from the mean of the map, which has no zeros."""
        return self.shown_attention == "magnitude"

    def _stages_from(self, name: str) -> tuple[str, ...]:
        stages = self.backbone.stage_names
        return stages[stages.index(name) :]

    def front(self, images: Images) -> NextFeatures:
        """Features of the last frozen stage, as at test: what the network takes with `start_after`."""
        x = images
        for name in self.frozen_stages:
            x = self._apply_stage(name, x, train=False)
        return x

    def __call__(
        self,
        images: Images | ImageFeatures,
        *,
        train: bool,
        return_endpoints: bool = False,
        strength: Number | None = None,
        first_example: ExampleNumbers | None = None,
    ) -> Logits | tuple[Logits, dict[str, Array]]:
        """Logits of normalised images `[batch, height, width, 3]`.

        Args:
          images: float, normalised; with `start_after` that stage's features of the images.
          train: use the layer and the batch's statistics. Needs the rng stream "asae" where a region is
            suppressed, "drop" for the drop layers, and `mutable=["batch_stats"]`.
          return_endpoints: also return what was computed on the way, at the first look.
          strength: how much of ASAE acts in training, 0..1, see `asae_maps`; None: all of it.
          first_example: number of the first image within the global batch, or of each, to which random draws
            belong; None: each device has one share of the batch.

        Returns:
          float32 logits: `[branches, batch, classes]` in training with ASAE, otherwise `[batch, classes]`
          (log-probabilities in test modes "mean" and "second_look"). With `return_endpoints` a pair of them
          and a dict: the features of every stage by its name and, with ASAE, also at test, the fields of
          `asae_jax.models.asae.ASAEMaps`. At test these show the highest peak unless a key for "asae" is
          given.

        Raises:
          UserError: the images are too small for the backbone.
        """
        use_layer = self._uses_layer(train, return_endpoints)
        logits, endpoints = self._look(images, train, use_layer, strength, first_example)
        if self.test_mode == SECOND_LOOK and not train:
            attention = self_attention_map(endpoints[self.watched_stage], self.shown_attention)
            rows, columns = (self.backbone.placement(self.watched_stage, size) for size in images.shape[1:3])
            crop = attended_crop(
                images,
                attention,
                threshold=self.look_threshold,
                above_mean=self.looks_above_mean,
                places=(rows, columns),
            )
            logits = _mean_log_probs(jnp.stack([logits, self._look(crop, train, False)[0]]))
        return (logits, endpoints) if return_endpoints else logits

    def _look(
        self,
        images: Images | ImageFeatures,
        train: bool,
        use_layer: bool,
        strength: Number | None = None,
        first_example: ExampleNumbers | None = None,
    ) -> tuple[Logits, dict[str, Array]]:
        """Logits of one pass, and what was computed on the way."""
        endpoints: dict[str, Array] = {}
        stages = self._stages_from(self.start_after or self.backbone.stage_names[0])
        if use_layer and self.insert_after == CLASS_MAPS:
            stages = (*stages, CLASS_MAPS)
        x = images
        for name in stages:
            x = endpoints[name] = self._apply_stage(name, x, train=train)
            if x.size == 0:
                height, width = images.shape[1:3]
                raise UserError(
                    f"nothing is left of {height} x {width} images after {name}: use larger images"
                )
            if name == self.insert_after and use_layer:
                x, maps = self._apply_layer(x, train, strength, first_example)
                endpoints |= maps
        logits = jnp.mean(x, axis=(-3, -2)) if stages[-1] == CLASS_MAPS else self.backbone.classify(x)
        if logits.ndim == 3 and not train:
            logits = _mean_log_probs(logits)
        return logits, endpoints

    def _uses_layer(self, train: bool, return_endpoints: bool) -> bool:
        if isinstance(self.branching, ASAE):
            return train or return_endpoints or self.test_mode not in ("skip", SECOND_LOOK)
        return self.branching is not None and train

    def _apply_stage(self, name: str, x: Features, *, train: bool) -> NextFeatures:
        if name == CLASS_MAPS:
            return self.backbone.class_maps(x)
        if name == self.start_after:
            return x.astype(self.backbone.dtype)
        frozen = train and name in self.frozen_stages
        if frozen:
            return lax.stop_gradient(self.backbone.apply_stage(name, x, train=False))

        def apply(backbone: Backbone, x: Features) -> NextFeatures:
            return backbone.apply_stage(name, x, train=train)

        return nn.remat(apply)(self.backbone, x) if self.remat and train else apply(self.backbone, x)

    def _apply_layer(
        self, features: Features, train: bool, strength: Number | None, first_example: ExampleNumbers | None
    ) -> tuple[Array, dict[str, Array]]:
        """What the later stages get, and the layer's maps by their names."""
        if isinstance(self.branching, ASAE):
            return self._branch(self.branching, features, train, strength, first_example)
        assert self.branching is not None
        return self.branching(features, train=train, first_example=first_example), {}

    def _branch(
        self,
        layer: ASAE,
        features: Features,
        train: bool,
        strength: Number | None,
        first_example: ExampleNumbers | None,
    ) -> tuple[Array, dict[str, Array]]:
        """All branches in training, else what `test_mode` says, and the fields of `ASAEMaps`."""
        maps = layer.maps(features, train=train, strength=strength, first_example=first_example)
        if train or self.test_mode == "mean":
            features = layer.all_branches(features, maps)
        elif self.test_mode == "enhance":
            features = layer.one_branch(features, maps, "enhance")
        return features, maps._asdict()


def _mean_log_probs(logits: BranchScores) -> Scores:
    """Logarithm of the mean probability over the branches, `[batch, classes]`."""
    log_probs = jax.nn.log_softmax(logits)
    return jax.nn.logsumexp(log_probs, axis=0) - math.log(logits.shape[0])
