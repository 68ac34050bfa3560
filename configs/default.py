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
    # "balanced": same number of images per class in a batch; "shuffled": all images, in another order each
    # pass; "weighted": drawn with replacement, each class as likely as any other
    data.sampler = "balanced"
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
    augment.mix = "none"  # two images and their labels in one: "mixup", "cutmix"; not in the paper
    augment.mix_alpha = 0.0  # shares are drawn from Beta(alpha, alpha); 0: their authors', 0.2 and 1

    model = config.model = ConfigDict()
    # "resnet50" and the other names in asae_jax/models/__init__.py. "wbcnet" and "cell3net" are reconstructed
    # from descriptions, as no layer table of them is public
    model.name = "resnet50"
    # Side of the map after layer3 per side of the image: "imagenet" 1/16, "no_pool" 1/8 (for about 64 px),
    # "small" 1/4 (for about 32 px)
    model.stem = "imagenet"
    model.width = 64  # of every model's published size; 32 has half as many channels everywhere
    model.norm = "batch"  # "batch", "group", "frozen_batch"
    model.branch_statistics = "separate"  # batch statistics per branch, or "joint"
    model.running_statistics = "all"  # what test uses: of all branches, or of the "plain" one alone
    model.dtype = "float32"  # of the computation; "bfloat16" on accelerators. Parameters stay float32
    # "none": the plain backbone; rivals of the layer, absent at test: "dropout", "spatial_dropout",
    # "maxdrop", "dropblock", "adl", "diversification"
    model.branching = "asae"
    model.insert_after = "layer3"  # stage in front of the layer (Table 2); "class_maps": before the pooling

    init = config.init = ConfigDict()
    # Weights to start from: a .safetensors, .pth or .bin file of a PyTorch ResNet or VGG (torchvision, timm,
    # Hugging Face), or a run folder; empty: random. The paper does not say
    init.pretrained = ""
    init.freeze = ""  # last stage, from the first on, to leave as it is, statistics too: "layer0" to "layer4"
    init.head_rate = 1.0  # learning rate of the last linear layer, as a multiple of the others'

    asae = config.asae = ConfigDict()
    asae.window = 5  # cells; side r of the peak window
    asae.num_candidates = 5  # k, peaks to choose from
    asae.p_top1 = 0.7  # probability of choosing the highest peak
    asae.ratio = 0.8  # gamma, value threshold relative to the peak
    asae.area = 36.0  # beta, cells; below 1: share of the map (36 cells are 0.18 of the paper's 14x14)
    asae.branches = "suppress,enhance"  # any of "plain", "suppress", "enhance" (Table 2's rows)
    asae.enhancement = "sigmoid"  # "sigmoid_mean1": divided by its mean, so that features keep their scale

    drop = config.drop = ConfigDict()  # of the rivals "dropout", "spatial_dropout", "maxdrop", "dropblock"
    drop.rate = 0.1  # probability that a value, channel or channel's maximum, or share of cells, is dropped
    drop.block_size = 7.0  # "dropblock": side in cells; below 1: share of the map's side (7 suit 14x14)

    adl = config.adl = ConfigDict()  # of the rival "adl" and the models adl_resnet*; its authors' values
    adl.rate = 0.75  # probability of hiding, drawn once a batch; else the features are weighted
    adl.threshold = 0.8  # relative to the maximum: cells at least that high are hidden

    diversification = config.diversification = ConfigDict()  # of the rival "diversification"
    diversification.peak_rate = 0.5  # probability that the peak of a channel is weakened
    diversification.patch_rate = 0.5  # the same for each patch of it
    diversification.patch_size = 3  # cells; side of a patch
    diversification.factor = 0.1  # what weakened values are multiplied by

    loss = config.loss = ConfigDict()
    # "ce", "gce", "gmmce"; not in the paper: "focal" and, with data.sampler=shuffled, "class_balanced" and
    # "logit_adjusted"
    loss.name = "gmmce"
    loss.branches = "mean_probability"  # the loss of the branches' mean (the paper's), or "mean_loss"
    loss.agreement = 0.0  # weight of the divergence between the branches' predictions; not in the paper
    loss.k_high = 3  # k+, most likely wrong classes
    loss.k_low = 3  # k-, least likely wrong classes
    loss.label_smoothing = 0.0  # of "ce"
    loss.gamma = 2.0  # of "focal": how fast it fades for examples already right; 0: cross entropy
    loss.beta = 0.999  # of "class_balanced": 0 weighs classes equally, towards 1 by inverse frequency
    loss.tau = 1.0  # of "logit_adjusted": how much of the logarithm of a class's share is added

    optimizer = config.optimizer = ConfigDict()
    optimizer.name = "sgd"  # the paper's; "adamw" is what ConvNeXt and ViT are usually trained with
    optimizer.learning_rate = 1e-3  # at batch size 84
    optimizer.momentum = 0.9  # of "adamw": of the gradients' average
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

    trust = config.trust = ConfigDict()  # measured after training, and by `evaluate`, on validation images
    trust.target_error = 0.05  # wanted share of errors among the images not left to a person
    trust.certainty = 0.8  # that it holds on new images of the same kind; 0: on the validation images only
    trust.conformal = "aps"  # sets of classes: "lac", the smallest; "aps", more even over easy and hard
    trust.conformal_error = 0.1  # share of sets that may lack the true class
    # unlike the training images: far from the nearest "neighbours" among them, or by the "distance" to class
    # means, both of features; or by the "energy" of the logits
    trust.outliers = "neighbours"
    trust.outlier_quantile = 0.95  # share of validation images that are not flagged
    trust.images_per_class = 200  # training images compared with, at most

    predict = config.predict = ConfigDict()  # fields may be given as --input=DIR and so on
    predict.input = (
        ""  # folder, glob pattern in quotes, CSV with a column `path`, or "-": paths on standard input
    )
    predict.output = ""  # CSV or (ending .jsonl) JSON lines; empty: RUN/predictions/<name of the input>.csv
    predict.tta = False  # average over the 8 flips and quarter turns of every image: 8 times the work
    predict.ensemble = ""  # further run folders, separated by commas: probabilities are averaged over all
    predict.lineages = ""  # CSV file `class,lineage[,blast]` for the M:E ratio and blasts; empty: built in
    predict.page = True  # also write a page that shows the cells
    predict.page_cells = 5000  # most cells on it: those for a person and the least certain

    explain = config.explain = ConfigDict()
    # As predict.input; a CSV file may have a column `label`, a folder one folder per class. Empty: the run's
    # own images, the part that eval.split names
    explain.input = ""
    explain.output = ""  # folder; empty: RUN/explain, below it /<name of the input> for other images
    explain.num_images = 40  # most images shown, spread evenly over the classes
    # most images of the test of faithfulness, spread evenly over those of known class; 0: without the test
    explain.faithfulness_images = 1000
    explain.random_regions = 10  # places at random that the region of the top peak is compared with
    # what hidden pixels are replaced by: "border", the image's mean colour along its border; "mean", its mean
    # colour; "blur", the blurred image
    explain.fill = "border"

    export = config.export = ConfigDict()
    export.output = ""  # folder; empty: RUN/export
    # any of orbax, stablehlo, onnx, savedmodel, tflite, torch; "all": those whose packages are installed
    export.formats = "all"

    reproduce = config.reproduce = ConfigDict()
    # "1" to "5": the paper's; "rivals", "losses", "backbones", "recommended": ours; "all"
    reproduce.tables = "1,2,3,4,5"
    reproduce.seeds = 5  # runs of every row, of the seeds config.seed, config.seed + 1, ...
    # For every field that the given configuration leaves as it is here: "small": 64 px, ResNet-18, for a CPU;
    # "paper": 224 px, ResNet-50, 60 epochs; empty: no preset
    reproduce.preset = ""
    reproduce.jobs = 0  # runs side by side; 0: one per GPU, one on a CPU (more share its cores out)
    return config
