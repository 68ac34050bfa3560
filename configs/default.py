"""Every setting once, with the paper's value where it states one (section 4.2 unless said otherwise).

Other files in this folder start from here and change a few lines. On the command line any field can be
set: `--config.train.epochs=20`. A field is documented here and nowhere else.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    config = ConfigDict()
    config.seed = 0  # of the initial weights, the order of examples, augmentation and peak choice

    data = config.data = ConfigDict()
    # "synthetic": the built-in cells; "folder": one folder per class, also inside of train, val, test;
    # "csv": a file path,label[,group][,split]; "npz": a file like MedMNIST's; "tfds:NAME": prepared by TFDS
    data.source = "synthetic"
    data.path = ""  # the folder or file; for "tfds:NAME" the folder it was prepared in (empty: TFDS's own)
    data.class_map = ""  # CSV file `from,to` that merges, renames or (empty `to`) drops classes
    data.group_feature = ""  # "tfds:NAME": the feature that tells slide or patient
    data.num_examples = 15252  # synthetic cells to render (the size of the paper's data set)
    data.synthetic_seed = 0  # which synthetic data set
    data.stored_size = 256  # pixels; shorter side after decoding, what augmentation crops from
    data.hue = "paper"  # "paper" (section 3.5), "robust": stained pixels and percentiles only, "none"
    data.hue_low = 125  # OpenCV hue units, 0..179: the paper's Min
    data.hue_high = 155  # the paper's Max
    data.stain = "none"  # instead of the hue adjustment (data.hue=none): "reinhard", "macenko"
    data.test_fraction = 0.2  # of each class; a split that the source gives goes before
    data.validation_fraction = 0.1  # of each class's training part, chooses the checkpoint; none in the paper
    data.split_by = "auto"  # "group": no slide or patient on both sides; "image"; "auto": group where known
    data.folds = 0  # parts of a cross-validation (0: none), one of which is the test set
    data.fold = 0  # which one: 0 .. folds - 1
    data.split_seed = 0  # kept apart from `seed`, so that repeated runs share one test set
    data.sampler = "balanced"  # "balanced": same number of images per class in a batch; "shuffled"
    data.cache = True  # keep prepared images as uint8 on disk
    data.cache_dir = ""  # empty: a `cache` folder beside the run folders
    data.driver = "auto"  # "tf.data", "threads", or "auto": tf.data where TensorFlow is installed
    data.workers = 0  # decoding threads; 0: one per core

    augment = config.augment = ConfigDict()
    augment.size = 224  # pixels; side of what the network sees
    augment.scale_min = 0.7  # smallest share of the stored image's area that a random crop keeps
    augment.scale_max = 1.0
    augment.horizontal_flip = True
    augment.vertical_flip = True
    augment.rotation = 180.0  # degrees, drawn from +- this; unstated in the paper
    augment.brightness = 0.2  # factor drawn from 1 +- this; unstated, as the next three
    augment.contrast = 0.2
    augment.saturation = 0.2
    augment.hue = 0.02  # share of the colour circle, drawn from +- this

    model = config.model = ConfigDict()
    model.name = "resnet50"
    model.stem = "imagenet"  # ResNet: "imagenet", "no_pool" (for about 64 px), "small" (for about 32 px)
    model.width = 64  # ResNet: channels of the first stage
    model.norm = "batch"  # "batch", "group", "frozen_batch"
    model.branch_statistics = "separate"  # batch statistics per branch, or "joint"
    model.running_statistics = "all"  # what test uses: of all branches, or of the "plain" one alone
    model.dtype = "float32"  # of the computation; "bfloat16" on accelerators. Parameters stay float32
    model.branching = "asae"  # "none": the plain backbone
    model.insert_after = "layer3"  # stage in front of the layer (Table 2)

    asae = config.asae = ConfigDict()
    asae.window = 5  # cells; side r of the peak window
    asae.num_candidates = 5  # k, peaks to choose from
    asae.p_top1 = 0.7  # probability of choosing the highest peak
    asae.ratio = 0.8  # gamma, value threshold relative to the peak
    asae.area = 36.0  # beta, cells; below 1: share of the map (36 cells are 0.18 of the paper's 14x14)
    asae.branches = "suppress,enhance"  # any of "plain", "suppress", "enhance" (Table 2's rows)
    asae.enhancement = "sigmoid"  # "sigmoid_mean1": divided by its mean, so that features keep their scale

    loss = config.loss = ConfigDict()
    loss.name = "gmmce"  # "ce", "gce", "gmmce"
    loss.branches = "mean_probability"  # the loss of the branches' mean (the paper's), or "mean_loss"
    loss.k_high = 3  # k+, most likely wrong classes
    loss.k_low = 3  # k-, least likely wrong classes
    loss.label_smoothing = 0.0  # of "ce"

    optimizer = config.optimizer = ConfigDict()
    optimizer.learning_rate = 1e-3  # at batch size 84
    optimizer.momentum = 0.9
    optimizer.nesterov = False
    optimizer.weight_decay = 1e-4
    optimizer.decay_all = True  # also biases and normalisation, as PyTorch's SGD does; False: kernels only
    optimizer.schedule = "step"  # the paper's; or "cosine"
    optimizer.decay_factor = 0.85  # of "step": multiplies the rate ...
    optimizer.decay_epochs = 2.0  # ... every so many epochs
    optimizer.warmup_epochs = 0.0  # linear from zero
    optimizer.clip_norm = 0.0  # largest global norm of the gradient; 0: no clipping
    optimizer.ema_decay = 0.0  # moving average of parameters and statistics, scored when above 0

    train = config.train = ConfigDict()
    train.batch_size = 84  # images of one step over all devices: 14 classes x 6
    train.epochs = 60  # of ceil(training images / batch size) steps; unstated in the paper
    train.log_every = 10  # steps between two lines of metrics.jsonl
    train.validate_every = 1  # epochs; the last epoch is always validated
    train.checkpoint_every = 1  # epochs
    train.max_steps = 0  # stop early after so many steps (0: never), to be resumed later

    evaluation = config.eval = ConfigDict()
    evaluation.split = "test"  # "test", "validation", "train" or "all"
    evaluation.name = ""  # of the files written; empty: the name of the split, or "other"
    evaluation.source = ""  # `evaluate` all images of another source, as data.source; empty: the run's own
    evaluation.path = ""  # of the other source
    evaluation.class_map = ""  # CSV file `from,to`: the other source's classes to the run's
    evaluation.test_mode = (
        "skip"  # the layer at test: left out (the paper's); "enhance": enhancement kept; "mean"
    )
    evaluation.checkpoint = "best"  # highest validation score, or "last"
    evaluation.select_by = "macro_f1"  # what "best" means: a score of the validation part
    evaluation.batch_size = 128
    evaluation.batch_statistics = "running"  # "reestimate": over training batches, on what the test sees
    evaluation.reestimate_batches = 50
    evaluation.bootstrap = 1000  # resamples behind the 95 % intervals

    predict = config.predict = ConfigDict()  # fields may be given as --input=DIR and so on
    predict.input = (
        ""  # folder, glob pattern in quotes, CSV with a column `path`, or "-": paths on standard input
    )
    predict.output = ""  # CSV or (ending .jsonl) JSON lines; empty: RUN/predictions/<name of the input>.csv

    explain = config.explain = ConfigDict()
    explain.input = ""  # as predict.input; empty: the run's own test images

    export = config.export = ConfigDict()
    export.output = ""  # folder; empty: RUN/export

    reproduce = config.reproduce = ConfigDict()
    reproduce.tables = "1,2,3,4,5"  # of the paper
    reproduce.seeds = 5  # runs of every row
    reproduce.preset = "small"  # "paper": 224 px, ResNet-50, 60 epochs; "small": 64 px, ResNet-18, for a CPU
    return config
