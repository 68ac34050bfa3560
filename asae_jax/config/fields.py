"""Every setting once: default, choices or range, unit, meaning, and where the paper states it.

From this table come the configuration itself, its validation, the command line's help and the settings page
of the documentation.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from asae_jax.errors import UserError, did_you_mean


class Field(NamedTuple):
    """One setting.

    Attributes:
      name: `section.field`; without a section for `seed`.
      default: its value where nothing is given; also fixes its type.
      meaning: what it does, in a sentence or two.
      choices: the values allowed; empty where any value of the type may do.
      least: smallest value allowed.
      most: largest value allowed.
      above: the value must exceed this.
      below: the value must stay under this.
      unit: of a number: "pixels", "share", "probability".
      paper: section, equation or table of the paper that states it; empty where it says nothing.
      place: of a file or folder: where it lies when none is given.
    """

    name: str
    default: Any
    meaning: str
    choices: tuple[str, ...] = ()
    least: float = -math.inf
    most: float = math.inf
    above: float = -math.inf
    below: float = math.inf
    unit: str = ""
    paper: str = ""
    place: str = ""

    @property
    def described(self) -> str:
        """What it does, and for a file or folder where it lies when none is given."""
        return f"{self.meaning} Empty: {self.place}." if self.place else self.meaning

    @property
    def section(self) -> str:
        """The part of the name in front of the dot; empty for `seed`."""
        return self.name.rpartition(".")[0]

    def allowed(self) -> str:
        """What values it takes, in words; empty where any value of its type may do."""
        if self.choices:
            return f"one of {', '.join(choice or '(empty)' for choice in self.choices)}"
        limits = [
            f"{word} {limit if isinstance(limit, int) else f'{limit:g}'}"
            for word, limit in (
                ("at least", self.least),
                ("above", self.above),
                ("at most", self.most),
                ("below", self.below),
            )
            if math.isfinite(limit)
        ]
        return ", ".join(limits) + (f" ({self.unit})" if self.unit and limits else "")

    def accepts(self, value: Any) -> bool:
        """Whether `value` is among the choices and within the range."""
        if self.choices:
            return value in self.choices
        if isinstance(value, str | bool):
            return True
        return self.least <= value <= self.most and self.above < value < self.below


class Section(NamedTuple):
    """A group of settings.

    Attributes:
      name: as in `--config.NAME.FIELD`.
      title: what the settings are of.
      trains: whether they decide what the trained weights are. Settings that do not may differ when a run
        goes on or is used (but for `eval.select_by`); see `decides_weights`.
    """

    name: str
    title: str
    trains: bool = True


SECTIONS = (
    Section("", "The run"),
    Section("data", "Data: source, split, preparation, sampling"),
    Section("augment", "Augmentation of training images"),
    Section("model", "Network"),
    Section("init", "Initial weights"),
    Section("asae", "The ASAE layer (model.branching=asae)"),
    Section("drop", "Drop layers (model.branching=dropout, spatial_dropout, maxdrop, dropblock)"),
    Section("adl", "Attention-based dropout layer (model.branching=adl, models adl_resnet*)"),
    Section("diversification", "Diversification Block (model.branching=diversification)"),
    Section("loss", "Loss"),
    Section("optimizer", "Optimiser and learning rate"),
    Section("train", "Training loop"),
    Section("eval", "Evaluation", trains=False),
    Section("uncertainty", "Uncertainty estimates, fitted on validation images", trains=False),
    Section("predict", "Command predict", trains=False),
    Section("explain", "Command explain", trains=False),
    Section("embed", "Command embed", trains=False),
    Section("export", "Command export", trains=False),
    Section("audit", "Command audit", trains=False),
    Section("adapt", "Command adapt", trains=False),
    Section("slide", "Command slide", trains=False),
    Section("cut", "Command cut", trains=False),
    Section("merge", "Command merge", trains=False),
    Section("agreement", "Command agreement", trains=False),
    Section("crossval", "Command crossval", trains=False),
    Section("reproduce", "Command reproduce", trains=False),
)

SOURCES = ("synthetic", "demo", "folder", "csv", "npz", "tfds:NAME")
"""Data sources; in the last, NAME stands for the name of a data set of TensorFlow Datasets."""

TFDS = "tfds:"
SPLITS = ("test", "validation", "train", "all")
LAST_STAGE = "layer4"
LAST_PLACES = (LAST_STAGE, "class_maps")  # behind them no stage follows
LONGEST_NAME = 50  # characters of `eval.name`, four bytes each at most
SCORES = ("accuracy", "balanced_accuracy", "macro_f1", "weighted_f1")
MODELS = (
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "se_resnet18",
    "se_resnet50",
    "nl_resnet18",
    "nl_resnet50",
    "adl_resnet18",
    "adl_resnet50",
    "vgg16",
    "vgg16_bn",
    "wbcnet",
    "cell3net",
    "convnext_tiny",
    "efficientnet_b0",
    "tf_efficientnet_b0",
    "efficientnet_lite0",
    "efficientnet_lite1",
    "efficientnet_lite2",
    "vit_small",
    "vit_small16",
    "vit_base16",
    "vit_small14",
    "vit_base14",
    "vit_large14",
)
"""Names of `model.name`."""
WITHOUT_BATCH_NORM = (
    "vgg16",
    "convnext_tiny",
    "vit_small",
    "vit_small16",
    "vit_base16",
    "vit_small14",
    "vit_base14",
    "vit_large14",
)
"""Of these, networks without batch normalisation, whatever `model.norm` is."""
SPECIMENS = ("", "blood", "marrow")
"""What cells were taken from, the values of `data.specimen`; empty where it is not known."""
BRANCHES = ("plain", "suppress", "enhance")
"""What a branch of the ASAE layer does with the features, the names of `asae.branches`."""

FIELDS = (
    Field("seed", 0, "Root of the random initial weights, sampling order, augmentation and peak choice.",
          least=0, most=2**32 - 1),
    # Data
    Field("data.source", "synthetic",
          "synthetic: built-in drawn cells; demo: built-in real cells; folder: one folder per class, also "
          "inside of train, val, test; csv: a file path,label[,group][,split]; npz: a file like MedMNIST's; "
          "tfds:NAME: prepared by TensorFlow Datasets."),
    Field("data.path", "",
          "The folder or file; for tfds:NAME the folder it was prepared in (empty: its default)."),
    Field("data.class_map", "",
          "CSV file `from,to` that merges, renames or (empty `to`) drops classes; or the name of an included "
          "one (`asae list`).", paper="4.1"),
    Field("data.classes", "",
          "CSV file `class[,name][,lineage][,blast][,colour]`: what the classes are, in the order to show; "
          "kept with the run as classes.csv. Empty: what `data/classes.csv` knows."),
    Field("data.unseen", False,
          "Of a CSV file of the review page of predict: also take the rows that nobody looked at (seen=no), "
          "whose labels are a network's guesses."),
    Field("data.specimen", "",
          "What the cells were taken from, which decides what a count refers to (command predict). blood: "
          "white cells, with nucleated red cells per 100 of them; marrow: all nucleated cells, with the M:E "
          "ratio; empty: not known, both.", choices=SPECIMENS),
    Field("data.group_feature", "", "Of tfds:NAME: the feature that tells slide or patient."),
    Field("data.groups", "given",
          "Which images are of one slide or patient. given: as the source tells it; folders: of a folder, "
          "those in one folder directly inside of the class folders (CLASS/PATIENT/image).",
          choices=("given", "folders")),
    Field("data.num_examples", 15252,
          "Cells to draw; the default is the size of the paper's data set.",
          least=1, unit="images", paper="4.1"),
    Field("data.synthetic_seed", 0, "Which set of cells is drawn.", least=0, most=2**63 - 1),
    Field("data.stored_size", 256,
          "Side of the prepared images, from which augmentation crops.", least=8, most=4096, unit="pixels"),
    Field("data.hue", "paper",
          "Hue adjustment. paper: eq. (11) on all pixels; robust: stained pixels and percentiles only; "
          "none.", choices=("paper", "robust", "none"), paper="3.5"),
    Field("data.hue_low", 125,
          "Lowest adjusted hue, on OpenCV's scale of 0 to 179.",
          least=0, most=179, unit="hue units", paper="3.5"),
    Field("data.hue_high", 155,
          "Highest adjusted hue, on OpenCV's scale of 0 to 179.",
          least=0, most=179, unit="hue units", paper="3.5"),
    Field("data.stain", "none",
          "Stain normalisation in the place of the hue adjustment (data.hue=none).",
          choices=("none", "reinhard", "macenko")),
    Field("data.scale", 1.0,
          "Enlargement of the cells in the frame before images are resized, so that cells of two "
          "laboratories are equally large; below 1 the border is filled with the mirrored image. `adapt` "
          "sets it.",
          least=0.25, most=4),
    Field("data.background", "",
          "Colour to which the background of each image is brought: red, green and blue, for example "
          "255,230,207; empty: as it is. `adapt` sets it."),
    Field("data.decoding", "full",
          "reduced: JPEGs at least twice as large as data.stored_size are decoded at a half, a quarter or an "
          "eighth of their size, which is faster and changes pixels a little; full: all pixels.",
          choices=("full", "reduced")),
    Field("data.test_fraction", 0.2,
          "Share of each class in the test part; a split given by the source comes first.",
          least=0, below=1, unit="share", paper="4.2"),
    Field("data.validation_fraction", 0.1,
          "Share of each class's training part that selects the checkpoint.", least=0, below=1, unit="share"),
    Field("data.split_by", "auto",
          "group: no slide or patient on both sides; image; auto: group where known, but image (with a "
          "warning) where a class would then lack training or test images.",
          choices=("auto", "group", "image")),
    Field("data.folds", 0, "Parts of a cross-validation, one of which is the test part; 0: none.",
          least=0, most=1000),
    Field("data.fold", 0, "Which part is the test part, from 0 to folds - 1.", least=0),
    Field("data.split_seed", 0,
          "Seed of the split, apart from `seed`, so that repeated runs share one test part.",
          least=-(2**63), most=2**63 - 1),
    Field("data.sampler", "balanced",
          "balanced: equally many images per class in a batch; shuffled: all images in a new order each "
          "pass; weighted: drawn with replacement, classes equally likely.",
          choices=("balanced", "shuffled", "weighted"), paper="3.5"),
    Field("data.cache", True, "Keep prepared images as uint8 on disk."),
    Field("data.cache_dir", "", "Folder of the cache.", place="`cache` beside the run folder"),
    Field("data.driver", "auto",
          "What reads the batches; auto: threads where the CPU computes, else tf.data where TensorFlow is "
          "installed.",
          choices=("auto", "tf.data", "threads")),
    Field("data.workers", 0, "Decoding threads; 0: one per core.", least=0, most=1024),
    # Augmentation
    Field("augment.size", 224,
          "Side of the images that the network sees.", least=8, most=4096, unit="pixels", paper="4.2"),
    Field("augment.scale_min", 0.7,
          "Smallest share of the stored image's area that a random crop has.",
          above=0, most=4, unit="share"),
    Field("augment.scale_max", 1.0,
          "Largest share of the area that a random crop has. Above 1 the crop is larger than the image, "
          "which is continued by its mirror image, and cells become smaller.",
          above=0, most=4, unit="share"),
    Field("augment.scale_even", "area",
          "What of the crop is drawn uniformly: its area; or the logarithm of it, so that cells are as often "
          "enlarged as reduced.", choices=("area", "logarithm")),
    Field("augment.horizontal_flip", True, "Mirror half of the images left to right.", paper="4.2"),
    Field("augment.vertical_flip", True, "Mirror half of the images top to bottom.", paper="4.2"),
    Field("augment.rotation", 180.0,
          "Largest random rotation either way.", least=0, most=180, unit="degrees", paper="4.2"),
    Field("augment.brightness", 0.2,
          "Brightness factor is drawn from 1 +- this.", least=0, most=1, unit="share"),
    Field("augment.contrast", 0.2, "Contrast factor is drawn from 1 +- this.", least=0, most=1, unit="share"),
    Field("augment.saturation", 0.2,
          "Saturation factor is drawn from 1 +- this.", least=0, most=1, unit="share"),
    Field("augment.hue", 0.02,
          "Hue shift is drawn from +- this share of the colour circle.", least=0, most=0.5, unit="share"),
    Field("augment.blur", 0.0,
          "Standard deviation of a Gaussian blur is drawn from 0 to this: images are not equally sharp.",
          least=0.0, most=8.0, unit="pixels"),
    Field("augment.stain", 0.0,
          "Stains of another laboratory: the amount of each is multiplied by a factor drawn from 1 +- this, "
          "and its colour changed to the same degree; 0: as they are.", least=0.0, most=1.0, unit="share",
          paper="Tellez et al. 2019"),
    Field("augment.light", 0.0,
          "Light of another laboratory: red, green and blue are each multiplied by a factor drawn from "
          "1 +- this, but no background becomes brighter than white; 0: as it is.",
          least=0.0, most=1.0, unit="share"),
    Field("augment.jpeg", 0.0,
          "Quality of a JPEG compression is drawn from this to 100; 0: none.", least=0.0, most=100.0),
    Field("augment.mix", "none",
          "Mix pairs of images and their labels.", choices=("none", "mixup", "cutmix")),
    Field("augment.mix_alpha", 0.0,
          "Mixing shares are drawn from Beta(alpha, alpha); 0: the authors' value, 0.2 for mixup and 1 for "
          "cutmix.", least=0),
    Field("augment.normalisation", "auto",
          "Mean and deviation that colours are normalised with, those that the initial weights were trained "
          "with: imagenet its own; half 0.5 and 0.5; lite 127 and 128 of 255; auto: lite for "
          "efficientnet_lite*, else imagenet.", choices=("auto", "imagenet", "half", "lite")),
    # Network
    Field("model.name", "resnet50",
          "Backbone. wbcnet and cell3net are reconstructed from descriptions, as no layer table of them is "
          "public.", choices=MODELS, paper="4.3"),
    Field("model.stem", "imagenet",
          "Side of the map after layer3 per side of the image: imagenet 1/16; no_pool 1/8, for about 64 px;"
          " small 1/4, for about 32 px.", choices=("imagenet", "no_pool", "small")),
    Field("model.width", 64,
          "Channels of the first stage; 32 halves the channels everywhere.",
          least=1, most=1024, unit="channels"),
    Field("model.norm", "batch", "Normalisation layers.", choices=("batch", "group", "frozen_batch")),
    Field("model.branch_statistics", "separate",
          "Batch statistics of each branch by itself, or of all jointly.", choices=("separate", "joint")),
    Field("model.running_statistics", "all",
          "Whose statistics are kept for the test: of all branches, or of the plain one alone.",
          choices=("all", "plain")),
    Field("model.branch_affine", "shared",
          "Scale and bias of batch normalisation behind the ASAE layer. separate: every branch but plain has "
          "its own in training, and the test uses plain's (auxiliary batch normalisation; needs a plain "
          "branch, model.running_statistics=plain and model.branch_statistics=separate).",
          choices=("shared", "separate"), paper="AdvProp, Xie et al. 2020"),
    Field("model.dtype", "float32",
          "Type of the computation; parameters, statistics and loss stay float32.",
          choices=("float32", "bfloat16")),
    Field("model.remat", False,
          "Rematerialisation: keep for the gradient only what passes from one stage of the network to the "
          "next, and compute the rest again. Half the memory, a quarter more arithmetic, the same "
          "gradients."),
    Field("model.branching", "asae",
          "Layer between the stages, in training only; none: the plain backbone.",
          choices=("asae", "dropout", "spatial_dropout", "maxdrop", "dropblock", "adl", "diversification",
          "none"), paper="3.1"),
    Field("model.insert_after", "layer3",
          "Stage in front of the layer; class_maps: in front of the pooling.", paper="Table 2"),
    # Initial weights
    Field("init.pretrained", "",
          "Weights to start from: the name of an included model (`asae list`); efficientnet_lite0, _lite1 or "
          "_lite2, from an installed package; a .safetensors or .pth file of a PyTorch ResNet, VGG, "
          "EfficientNet, ConvNeXt or vision transformer (torchvision, timm, Hugging Face, DINOv2, "
          "DinoBloom); a run folder or a model folder; empty: random."),
    Field("init.freeze", "",
          "Last stage, counted from the first, whose parameters and statistics stay as loaded.",
          choices=("", "layer0", "layer1", "layer2", "layer3", "layer4")),
    Field("init.views", 0,
          "With init.freeze: random views of each training image whose features behind the frozen stages are "
          "computed once and kept in the cache, so that a step computes the other stages alone; 0: every step"
          " draws new views and computes all stages.", least=0, most=100, unit="views"),
    Field("init.views_dtype", "float16",
          "Type that the features of init.views are kept in.", choices=("float16", "float32")),
    Field("init.head_rate", 1.0,
          "Learning rate of the last linear layer, as a multiple of the others'.", least=0),
    # ASAE
    Field("asae.window", 5,
          "Side r of the window in which a peak is the maximum; odd.",
          least=1, most=999, unit="positions", paper="3.2"),
    Field("asae.num_candidates", 5, "k, highest peaks to choose from.",
          least=1, most=10_000, unit="peaks", paper="3.2"),
    Field("asae.p_top1", 0.7,
          "Probability of choosing the highest peak.", least=0, most=1, unit="probability", paper="3.2"),
    Field("asae.ratio", 0.8, "gamma, threshold of suppression relative to the peak.", paper="3.2, eq. (3)"),
    Field("asae.area", 36.0,
          "beta, area of the suppressed square; below 1: share of the map (36 positions are 0.18 of the "
          "paper's 14 x 14).", above=0, unit="positions", paper="3.2"),
    Field("asae.branches", "suppress,enhance",
          "Branches, separated by commas: any of plain, suppress, enhance.", paper="Table 2"),
    Field("asae.attention", "auto",
          "Self-attention map. mean: over the channels; magnitude: mean of the absolute values, relative to "
          "the map's mean, for features with both signs (Zagoruyko and Komodakis 2017); auto: magnitude "
          "with EfficientNet, ConvNeXt and ViT, mean with the paper's networks.",
          choices=("auto", "mean", "magnitude"), paper="3.2"),
    Field("asae.enhancement", "sigmoid",
          "Enhancement map; sigmoid_mean1: divided by its mean, so that features keep their scale; residual: "
          "1 + sigmoid (Residual Attention Network, Wang et al. 2017).",
          choices=("sigmoid", "sigmoid_mean1", "residual"), paper="3.2"),
    Field("asae.ramp_epochs", 0.0,
          "Epochs over which the layer grows linearly from nothing: the probability that an image's region "
          "is suppressed, and the share of the enhancement; 0: whole from the start.",
          least=0, unit="epochs", paper="DropBlock, Ghiasi et al. 2018"),
    Field("asae.rescale", False,
          "Divide the suppressed features of an image by the share of the map that is kept.",
          paper="DropBlock, Ghiasi et al. 2018"),
    Field("asae.place", "peak",
          "Where the suppressed region lies. random: the region around the chosen peak, moved to a random "
          "place inside the map (a control: same shape, same number of positions).",
          choices=("peak", "random"), paper="3.2"),
    # Baselines
    Field("drop.rate", 0.1,
          "Probability that a value, a channel or a channel's maximum is dropped; of dropblock the share of"
          " positions.", least=0, below=1, unit="probability"),
    Field("drop.block_size", 7.0,
          "Of dropblock: side of a block in positions; below 1: share of the map's side.",
          above=0, unit="positions"),
    Field("adl.rate", 0.75,
          "Probability of hiding, drawn once per batch; else the features are weighted.",
          least=0, most=1, unit="probability"),
    Field("adl.threshold", 0.8,
          "Positions of at least this share of the maximum are hidden.", least=0, most=1, unit="share"),
    Field("diversification.peak_rate", 0.5,
          "Probability that the peak of a channel is suppressed.", least=0, most=1, unit="probability"),
    Field("diversification.patch_rate", 0.5,
          "Probability that a patch of a channel is suppressed.", least=0, most=1, unit="probability"),
    Field("diversification.patch_size", 3, "Side of a patch.", least=1, most=1000, unit="positions"),
    Field("diversification.factor", 0.1,
          "What suppressed values are multiplied by.", least=0, most=1, unit="share"),
    # Loss
    Field("loss.name", "gmmce",
          "Loss. Not in the paper: focal and, with data.sampler=shuffled, class_balanced and "
          "logit_adjusted.",
          choices=("ce", "gce", "gmmce", "focal", "class_balanced", "logit_adjusted"), paper="3.4"),
    Field("loss.branches", "mean_probability",
          "Loss of the branches' mean probability, or mean of the branches' losses.",
          choices=("mean_probability", "mean_loss"), paper="3.4"),
    Field("loss.agreement", 0.0,
          "Weight of the Jensen-Shannon divergence between the branches' predictions.", least=0),
    Field("loss.k_high", 3,
          "k+, most likely wrong classes that the loss looks at.",
          least=1, most=1000, unit="classes", paper="3.4"),
    Field("loss.k_low", 3,
          "k-, least likely wrong classes that the loss looks at.",
          least=1, most=1000, unit="classes", paper="3.4"),
    Field("loss.label_smoothing", 0.0,
          "Of ce: share of the label spread over all classes.", least=0, below=1, unit="share"),
    Field("loss.gamma", 2.0,
          "Of focal: how fast the loss fades for examples already right; 0: cross entropy.", least=0),
    Field("loss.beta", 0.999,
          "Of class_balanced: 0 weighs classes equally, towards 1 by inverse frequency.", least=0, below=1),
    Field("loss.tau", 1.0,
          "Of logit_adjusted: how much of the logarithm of a class's share is added.", least=0),
    # Optimiser
    Field("optimizer.name", "sgd",
          "Optimiser; adamw is what ConvNeXt and ViT are usually trained with.",
          choices=("sgd", "adamw"), paper="4.2"),
    Field("optimizer.learning_rate", 1e-3, "Learning rate at its highest.", least=0, paper="4.2"),
    Field("optimizer.momentum", 0.9,
          "Momentum; of adamw the decay of the gradients' average.", least=0, below=1, paper="4.2"),
    Field("optimizer.nesterov", False,
          "Nesterov momentum; of adamw NAdam's look-ahead (Dozat 2016), which PyTorch's AdamW lacks."),
    Field("optimizer.weight_decay", 1e-4, "Weight decay.", least=0, paper="4.2"),
    Field("optimizer.decay_all", True,
          "Decay biases and normalisation too, as PyTorch's SGD does; False: kernels only."),
    Field("optimizer.schedule", "step",
          "step: times decay_factor every decay_epochs epochs; cosine: half a cosine to zero.",
          choices=("step", "cosine"), paper="4.2"),
    Field("optimizer.decay_factor", 0.85,
          "Of step: what the rate is multiplied by.", above=0, most=1, paper="4.2"),
    Field("optimizer.decay_epochs", 2.0,
          "Of step: epochs between two decays.", above=0, unit="epochs", paper="4.2"),
    Field("optimizer.warmup_epochs", 0.0, "Linear warm-up from zero.", least=0, unit="epochs"),
    Field("optimizer.clip_norm", 0.0, "Largest global norm of the gradient; 0: no clipping.", least=0),
    Field("optimizer.ema_decay", 0.0,
          "Decay of the moving average of the weights, which is used where it is above 0.", least=0, below=1),
    # Training
    Field("train.batch_size", 0,
          "Images of a step over all devices; a multiple of the number of classes where batches are "
          "balanced. 0: chosen near 32, to fit classes and processor cores or GPUs, and kept in the run's "
          "config.json. The paper's is 84.", least=0, most=1_000_000, unit="images", paper="4.2"),
    Field("train.accumulate", 1,
          "Gradient accumulation: into how many parts each device divides its share of a batch, to compute "
          "one after the other and need the memory of one only; a divisor of the share. The gradient is that "
          "of the whole batch, but batch normalisation takes the statistics of each part (over all devices), "
          "and DropBlock the share that it keeps. For GPUs and TPUs: on a CPU it is slow.",
          least=1, unit="parts"),
    Field("train.epochs", 60,
          "Epochs of ceil(training images / batch size) steps. 0: chosen by the number of training images, "
          "and kept in the run's config.json.", least=0, unit="epochs"),
    Field("train.log_every", 10, "Steps between two lines of metrics.jsonl.", least=1, unit="steps"),
    Field("train.validate_every", 1,
          "Epochs between validations; the last epoch is always validated.", least=1, unit="epochs"),
    Field("train.checkpoint_every", 1,
          "Epochs between checkpoints; a validation that is the best so far is followed by one too.",
          least=1, unit="epochs"),
    Field("train.max_steps", 0,
          "Stop after so many steps, to be resumed later; 0: never.", least=0, unit="steps"),
    Field("train.distributed", "none",
          "Hosts that train or evaluate one run together. none: this process alone; auto: all processes of a "
          "TPU pod, of SLURM or of Open MPI, or those that the environment variables JAX_COORDINATOR_ADDRESS "
          "(HOST:PORT of the first), JAX_NUM_PROCESSES and JAX_PROCESS_ID (0, 1, ...) name. Not kept in the "
          "run folder.", choices=("none", "auto")),
    # Evaluation
    Field("eval.split", "test", "Part of the run's own data to score.", choices=SPLITS),
    Field("eval.name", "",
          "Name of the files written, without folder or extension; empty: that of the split, or of another "
          "source `other`, `other-2` ..."),
    Field("eval.source", "",
          "Another source whose images are all scored, as data.source; empty: the run's own."),
    Field("eval.path", "", "Path of the other source."),
    Field("eval.class_map", "",
          "CSV file `from,to`, or the name of an included one: the other source's classes to the run's."),
    Field("eval.groups", "",
          "Which images of the other source are of one slide or patient, see data.groups; empty: as there "
          "where both are folders, else given.", choices=("", "given", "folders")),
    Field("eval.group_feature", "",
          "Of another source tfds:NAME: the feature that tells slide or patient; empty: data.group_feature "
          "where both are one data set, else none."),
    Field("eval.test_mode", "skip",
          "The layer at test. skip: left out; enhance: enhancement kept; mean: mean over the branches; "
          "second_look: left out, and averaged with the scores of the attended crop, with or without a layer "
          "(WS-DAN, Hu et al. 2019; twice the time; not for explain, export and adapt).",
          choices=("skip", "enhance", "mean", "second_look"), paper="3.1"),
    Field("eval.look_threshold", 0.3,
          "Of second_look: the crop holds the positions of at least this share of the attention's maximum; "
          "with magnitude (see asae.attention), which nowhere comes near 0, of the maximum above the mean.",
          least=0, most=1, unit="share", paper="CAL, Rao et al. 2021"),
    Field("eval.tta", False,
          "Test-time augmentation: average over the 8 flips and quarter turns of every image; 8 times the "
          "work (not for explain, export and adapt)."),
    Field("eval.checkpoint", "best",
          "best: of the highest validation score; last.", choices=("best", "last")),
    Field("eval.select_by", "macro_f1",
          "Validation score that best means, from a run's start to its end.", choices=SCORES),
    Field("eval.batch_size", 128, "Images scored at once.", least=1, most=1_000_000, unit="images"),
    Field("eval.batch_statistics", "running",
          "reestimate: batch statistics estimated again over training batches, on what the network sees at "
          "test.", choices=("running", "reestimate")),
    Field("eval.reestimate_batches", 50, "Batches of that estimate.", least=1, most=1_000_000),
    Field("eval.bootstrap", 1000,
          "Resamples behind the 95 % intervals, which are too narrow with fewer than 100; 0: no intervals.",
          least=0, most=100_000),
    # Uncertainty
    Field("uncertainty.target_error", 0.05,
          "Wanted share of errors among the images not left to a person.", above=0, below=1, unit="share"),
    Field("uncertainty.certainty", 0.8,
          "Probability that it holds on new images of the same kind; 0: on the validation images only.",
          least=0, below=1, unit="probability"),
    Field("uncertainty.conformal", "aps",
          "Sets of classes. lac: the smallest; aps: more even over easy and hard images.",
          choices=("lac", "aps")),
    Field("uncertainty.conformal_error", 0.1,
          "Share of sets that may lack the true class.", above=0, below=1, unit="share"),
    Field("uncertainty.outliers", "neighbours",
          "Outlier score: distance of features to the nearest training images, or to class means, or the "
          "energy of the logits.", choices=("neighbours", "distance", "energy")),
    Field("uncertainty.outlier_quantile", 0.95,
          "Share of validation images that are not flagged, at least.", above=0, below=1, unit="share"),
    Field("uncertainty.images_per_class", 200,
          "Training images of each class to compare with, at most.", least=2, unit="images"),
    Field("uncertainty.keep_cells", True,
          "Keep small pictures of these images in the run folder, for the review page to show the most "
          "similar beside each cell; they are not part of exports."),
    # Commands
    Field("predict.input", "",
          "Folder, glob pattern in quotes, CSV file with a column `path` (and perhaps slide, x, y, width and "
          "height), or -: paths on standard input."),
    Field("predict.output", "",
          "CSV file or (ending .jsonl) JSON lines.",
          place="RUN/predictions/NAME.csv, NAME being that of the input, with a number where files of that "
          "name were made from another"),
    Field("predict.ensemble", "",
          "Further run folders, model folders or names of models, separated by commas; probabilities are "
          "averaged."),
    Field("predict.specimen", "",
          "What the images of this input were taken from, as data.specimen; empty: what the run says.",
          choices=SPECIMENS),
    Field("predict.classes", "",
          "CSV file as data.classes, in place of the run's own."),
    Field("predict.label_studio", "",
          "Folder above all images that Label Studio serves files from "
          "(LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT): also write tasks for it; empty: none."),
    Field("predict.mixture", "counted",
          "counted: the count of the predicted classes; corrected: beside it the count corrected for a "
          "mixture of classes that differs from that in training (label shift).",
          choices=("counted", "corrected")),
    Field("predict.page", True, "Also write the review page."),
    Field("predict.page_cells", 5000,
          "Most cells on it: those left to a person and the least certain.", least=0, unit="cells"),
    Field("predict.picture_side", 512,
          "Longer side, at most, of the large picture of each cell on the page; larger images are made "
          "smaller; 0: small pictures only.", least=0, most=4096, unit="pixels"),
    Field("predict.page_megabytes", 48.0,
          "Of all large pictures on the page, at most; beyond it only cells left to a person and the least "
          "certain have one.", least=0, unit="MB"),
    Field("predict.similar", 5,
          "Training cells shown beside each cell of the page, those of the most similar features, where the "
          "run keeps them (uncertainty.keep_cells); 0: none.", least=0, most=20, unit="cells"),
    Field("explain.input", "",
          "As predict.input, labels from a column `label` or class folders; empty: the part of the run's "
          "own images that eval.split names."),
    Field("explain.output", "", "Folder.", place="RUN/explain, below it NAME of the input"),
    Field("explain.num_images", 40,
          "Most images shown, spread evenly over the classes.", least=1, most=10_000, unit="images"),
    Field("explain.faithfulness_images", 1000,
          "Most images of the test of faithfulness; 0: no test.", least=0, unit="images"),
    Field("explain.random_regions", 10,
          "Random regions that the region of the top peak is compared with.", least=1, most=10_000),
    Field("explain.fill", "border",
          "What occluded pixels are replaced by: the image's mean colour along its border, its mean colour,"
          " or the blurred image.", choices=("border", "mean", "blur")),
    Field("embed.input", "", "As predict.input; labels from a column `label` or class folders."),
    Field("embed.output", "",
          "File ending .npz, the others go beside it.",
          place="RUN/embeddings/NAME.npz, NAME being that of the input, with a number where files of that "
          "name were made from another"),
    Field("embed.folders", "auto",
          "What the folders directly below the input are. auto: classes where two of them, or the only one, "
          "are called as classes of the run; classes: classes, whatever they are called; groups: slides or "
          "patients.",
          choices=("auto", "classes", "groups")),
    Field("embed.projection", "pca",
          "The two dimensions of the map. tsne needs scikit-learn, umap needs umap-learn.",
          choices=("pca", "tsne", "umap")),
    Field("embed.page", True, "Also write a page with the map."),
    Field("embed.page_cells", 5000,
          "Most cells whose pictures the page holds, evenly spaced over the input; all are on the map.",
          least=0, unit="cells"),
    Field("embed.probe", False,
          "Also score classifiers of the features by cross-validation over the labelled images."),
    Field("embed.folds", 5, "Parts of that cross-validation.", least=2, most=100),
    Field("export.output", "", "Folder.", place="RUN/export"),
    Field("export.formats", "all",
          "Any of orbax, stablehlo, onnx, savedmodel, tflite, torch, model (a folder that --model= takes), "
          "separated by commas; all: those whose packages are installed."),
    Field("audit.other", "",
          "Images of another laboratory, a folder or a CSV file with a column `path`: the report shows how "
          "they differ from these in scale, light, colour, sharpness and crowding; empty: none."),
    Field("adapt.input", "",
          "Images of the other laboratory, given as predict.input is; no labels are needed. Empty: the "
          "images that adapt.labels names."),
    Field("adapt.labels", "",
          "Labels that people gave to images of the other laboratory: CSV files as the review page of "
          "`predict` saves them, separated by commas; empty: none."),
    Field("adapt.class_map", "",
          "Translates these labels to the run's classes: a CSV file with columns from,to or the name of an "
          "included class map."),
    Field("adapt.output", "", "Folder for the adapted model; it must be new or empty."),
    Field("adapt.images", 2000,
          "How many images are read at most, evenly spaced over the input.", least=1, unit="images"),
    Field("adapt.template", "",
          "Images of the run's own laboratory, given as predict.input is, on which scale and background are "
          "measured; empty: the run's training images."),
    Field("adapt.scale", 1.0,
          "Enlargement of the new images' cells in the frame; 0: estimated, so that nuclei are as large as "
          "in the run's own images.", least=0, most=4),
    Field("adapt.background", "keep",
          "match: the background of each image is brought to the colour of that of the run's own images; "
          "keep: it stays as it is.",
          choices=("keep", "match")),
    Field("adapt.stain", "keep",
          "Stain normalisation of the new images, instead of what the run does with colours; for a run that "
          "was trained with the same stain normalisation.", choices=("keep", "reinhard", "macenko")),
    Field("adapt.statistics", "auto",
          "Statistics of batch normalisation. new: estimated on the new images and averaged with the old "
          "ones (AdaBN); keep: the old ones; auto: new where the network has batch normalisation.",
          choices=("auto", "new", "keep")),
    Field("adapt.worth", 1000.0,
          "Weight of the old batch statistics in that average: as many images as they count for; 0: the new "
          "ones alone.", least=0, unit="images"),
    Field("adapt.balance", "none",
          "Images for the batch statistics. none: all alike; predicted: drawn so that the predicted classes "
          "are as frequent as in training, against the effect of another mixture of classes. Predictions may "
          "be wrong.",
          choices=("none", "predicted")),
    Field("adapt.only", "",
          "Classes of the run that can occur among the new images, separated by commas; the others are never "
          "given. Empty: all can occur."),
    Field("adapt.layers", "last",
          "What is trained on the labels. last: the last layer, in seconds; all: every layer, once for each "
          "of adapt.folds and once for all labels together, which takes minutes to hours; classes without a "
          "label may be unlearnt.", choices=("last", "all")),
    Field("adapt.epochs", 60,
          "Passes over the labels in training all layers.", least=1, most=10_000, unit="epochs"),
    Field("adapt.folds", 5,
          "Parts into which labelled images are divided, so that each is scored by what was trained on "
          "the other parts.", least=2, most=100, unit="parts"),
    Field("adapt.propose", 0,
          "How many images to propose for labelling, different from each other and rather uncertain, of "
          "those that nobody has looked at; they are listed in to_label.csv of the adapted model.", least=0,
          unit="images"),
    Field("slide.input", "",
          "CSV file of cells: path,slide,x,y[,width,height][,label]; the list that predict was given."),
    Field("slide.labels", "",
          "CSV file of the review page, path,label: its labels take the place of those of slide.input; "
          "empty: none."),
    Field("slide.output", "",
          "Beginning of the names of the files.", place="that of slide.labels, or else of slide.input"),
    Field("slide.classes", "",
          "CSV file as data.classes, for the colours."),
    Field("slide.label_studio", "", "As predict.label_studio."),
    Field("slide.images", "",
          "Folder of the slides' or fields' images, called as the column slide, with or without ending: "
          "Label Studio gets one task for each, with rectangles, in place of one for each cell."),
    Field("cut.input", "",
          "Photographs of Giemsa-stained fields: a folder, a glob pattern in quotes, a CSV file "
          "path[,group or slide], or one image."),
    Field("cut.output", "",
          "New or empty folder for the cells, the list of them, and the fields with outlines."),
    Field("cut.size", 0,
          "Side of the square that is cut out around a nucleus; 0: 3.4 times the usual diameter of a "
          "nucleus.",
          least=0, most=2048, unit="pixels"),
    Field("cut.nucleus", 0.0,
          "Usual diameter of a nucleus; 0: estimated from all fields together.",
          least=0.0, most=2048.0, unit="pixels"),
    Field("cut.border", "skip",
          "Cells whose square crosses the field's border: skip leaves them out, pad fills the square up with "
          "the field's background colour.", choices=("skip", "pad")),
    Field("merge.reviewed", "",
          "CSV files of the review page, or lists path,label[,group], separated by commas."),
    Field("merge.output", "", "CSV file for the next run, others go beside it.", place="RUN/merged.csv"),
    Field("merge.images", "",
          "Folder in which images are looked for that are not at their paths; they are known by what they "
          "hold (column content), else by a name that is there and in the lists once."),
    Field("merge.prefer", "newest",
          "Which of contradicting labels of one image counts. newest: the last by the column reviewed, else "
          "the file named last; old: that of the old data, else the first; drop: none, the image is taken "
          "out. Validation and test images keep theirs.", choices=("newest", "old", "drop")),
    Field("merge.new_classes", "refuse",
          "Labels that are no class of the run: refuse, add or drop.", choices=("refuse", "add", "drop")),
    Field("merge.class_map", "",
          "CSV file `from,to`, or the name of an included one: the reviewed classes to the run's."),
    Field("merge.shared_groups", "drop",
          "New images of a patient whom the old test or validation part names. drop: left out; rename: it is "
          "another patient of the same name.", choices=("drop", "rename")),
    Field("merge.new_test", "",
          "Second test: patients of the new images, separated by commas, or the share of them to draw."),
    Field("agreement.reviewed", "",
          "CSV files of the reviewers, separated by commas; one alone is compared with the network "
          "(column predicted)."),
    Field("agreement.output", "", "Folder.", place="runs/agreement"),
    Field("agreement.classes", "", "CSV file as data.classes, for the order of classes to show."),
    Field("crossval.folds", 5,
          "Parts into which the images are divided, by slide or patient where these are known; each is "
          "tested by a network that is trained on the others.", least=2, most=1000),
    Field("crossval.jobs", 0,
          "Runs side by side; 0: one per GPU, one on a CPU (more share its cores).", least=0),
    Field("reproduce.tables", "1,2,3,4,5",
          "Tables, separated by commas: 1 to 5, the paper's; baselines, losses, backbones, recommended, "
          "starts: ours; or all. And transfer, which tests its runs in another laboratory too."),
    Field("reproduce.other", "",
          "Of the table transfer: CSV file path,label,split of the other laboratory's cells; the part train "
          "is for remedies, and test is scored."),
    Field("reproduce.other_map", "",
          "CSV file `from,to`, or the name of an included one: the other laboratory's classes to the runs'."),
    Field("reproduce.back", False,
          "Of the table transfer: also train on the other laboratory, and test on this one (in the folder "
          "`back`)."),
    Field("reproduce.seeds", 5, "Runs of every row, of the seeds seed, seed + 1, ...", least=1, unit="runs"),
    Field("reproduce.preset", "",
          "For every setting left at its default: small: 64 px, ResNet-18, for a CPU; paper: 224 px, "
          "ResNet-50, 60 epochs; empty: no preset.", choices=("", "small", "paper")),
    Field("reproduce.jobs", 0,
          "Runs side by side; 0: one per GPU, one on a CPU (more share its cores).", least=0),
)  # fmt: skip
"""All settings, in the order in which they are documented."""

BY_NAME: Mapping[str, Field] = {field.name: field for field in FIELDS}

NEUTRAL = frozenset(
    {
        "data.path",
        "data.class_map",
        "data.classes",
        "data.unseen",
        "data.specimen",
        "data.cache",
        "data.cache_dir",
        "data.driver",
        "data.workers",
        "model.remat",
        "train.log_every",
        "train.max_steps",
        "train.distributed",
    }
)
"""Settings of training that do not change its result.

The images and what a class map made of their labels are identified by class names and fingerprint.
"""


def find_field(name: str) -> Field:
    """The setting of that name.

    Raises:
      UserError: there is none; the nearest names are given.
    """
    if name not in BY_NAME:
        raise UserError(f"config.{name} does not exist.{did_you_mean(name, BY_NAME, '--config.')}")
    return BY_NAME[name]


def decides_weights(name: str) -> bool:
    """Whether the setting `section.field` may change the weights that training ends with, or the best."""
    return name == _SELECTS or (name not in NEUTRAL and name.partition(".")[0] in _TRAINING_SECTIONS)


_SELECTS = "eval.select_by"  # checkpoints keep one score, which has no name
_TRAINING_SECTIONS = {section.name for section in SECTIONS if section.trains} | {"seed"}


def is_source(source: str) -> bool:
    """Whether there is such a data source: one of `SOURCES`, with a name for NAME."""
    return source in SOURCES[:-1] or (source.startswith(TFDS) and len(source) > len(TFDS))
