"""The commands: what each does, where it is, and which settings belong to it."""

from typing import NamedTuple

from asae_jax import config as settings

_OF_ONE_LOOK = ("eval.checkpoint", "eval.test_mode", "eval.batch_size")
_OF_A_TEST = (*_OF_ONE_LOOK, "eval.look_threshold", "eval.tta")
_TRAINING = tuple(section.name for section in settings.SECTIONS if section.trains)


class Command(NamedTuple):
    """Where a command is, and how its settings are given.

    Attributes:
      function: `module:function`, called with (configuration, run folder); imported only when it is run, so
        that a wrong command line is answered before JAX has loaded.
      summary: what it does, in a line.
      example: its arguments, as one would first give them.
      section: section of the configuration whose fields may be given without it: `--input=DIR` for
        `--config.predict.input=DIR`.
      shown: sections and single fields that its help shows.
      of_a_run: takes the configuration from the run folder where no --config is given, or works with a
        trained model (--model).
      of_images: needs the images of the run, which a model lacks: its help does not show --model.
      alone: needs neither a run nor a configuration.
      on_hosts: works on several hosts together (`train.distributed`).
      short: fields of other sections that may be given without it, too.
      needs: options of its own that it cannot do without, as its usage shows them.
    """

    function: str
    summary: str
    example: str
    section: str = ""
    shown: tuple[str, ...] = ()
    of_a_run: bool = False
    of_images: bool = False
    alone: bool = False
    on_hosts: bool = False
    short: tuple[str, ...] = ()
    needs: str = ""


COMMANDS = {
    "train": Command(
        "asae_jax.training.loop:train",
        "train a network, score it on the test part",
        "--config=quickstart",
        shown=(*_TRAINING, "eval", "uncertainty"),
        on_hosts=True,
    ),
    "evaluate": Command(
        "asae_jax.evaluation.command:evaluate_run",
        "score a run again, on its own images or on another laboratory's",
        "--workdir=runs/mine --source=folder --path=CELLS --name=theirs",
        "eval",
        ("eval", "uncertainty", "train.distributed"),
        of_a_run=True,
        on_hosts=True,
    ),
    "predict": Command(
        "asae_jax.inference.predict.command:predict",
        "label new images: CSV, differential count, review page",
        "--workdir=runs/mine --input=NEW_CELLS",
        "predict",
        ("predict", *_OF_A_TEST),
        of_a_run=True,
        short=("eval.tta",),
        needs="--input=IMAGES",
    ),
    "cut": Command(
        "asae_jax.inference.cut.command:cut",
        "cut single cells out of photographs of fields: an estimate, to be looked at",
        "--input=FIELDS --output=CELLS",
        "cut",
        ("cut",),
        alone=True,
        needs="--input=FIELDS --output=CELLS",
    ),
    "slide": Command(
        "asae_jax.inference.slide.command:slide",
        "put labelled cells back onto their slides, for QuPath and Label Studio",
        "--input=CELLS.csv --labels=REVIEWED.csv",
        "slide",
        ("slide",),
        alone=True,
        needs="--input=CELLS.csv",
    ),
    "explain": Command(
        "asae_jax.inference.explain.command:explain",
        "show where a run looks, and test whether it needs what it looks at",
        "--workdir=runs/mine",
        "explain",
        ("explain", "eval.split", *_OF_ONE_LOOK),
        of_a_run=True,
    ),
    "embed": Command(
        "asae_jax.inference.embed.command:embed",
        "write features of images, a map of them, and what a simple classifier makes of them",
        "--workdir=runs/mine --input=CELLS --probe",
        "embed",
        ("embed", "eval.bootstrap", *_OF_A_TEST),
        of_a_run=True,
        needs="--input=IMAGES",
    ),
    "adapt": Command(
        "asae_jax.inference.adapt.command:adapt",
        "fit a run to another laboratory's images, without labels or with a hundred",
        "--workdir=runs/mine --input=THEIR_CELLS --output=runs/theirs",
        "adapt",
        ("adapt", "uncertainty", *_OF_ONE_LOOK),
        of_a_run=True,
        needs="--input=IMAGES|--labels=FILE --output=DIR",
    ),
    "export": Command(
        "asae_jax.inference.export.command:export",
        "write a run as a model folder, ONNX, TFLite, SavedModel, StableHLO, PyTorch or Orbax files",
        "--workdir=runs/mine --formats=onnx",
        "export",
        ("export", *_OF_ONE_LOOK),
        of_a_run=True,
    ),
    "audit": Command(
        "asae_jax.audit.command:audit",
        "find faults of a data set before training; with --other, how two sets differ",
        "--config=own_cells --workdir=runs/mine --config.data.source=folder --config.data.path=CELLS",
        "audit",
        ("audit", "data"),
    ),
    "merge": Command(
        "asae_jax.review.merge_command:merge",
        "join labels that people gave with the data of a run, for the next one",
        "--workdir=runs/mine --reviewed=new_cells_labels.csv",
        "merge",
        ("merge", "data.path"),
        of_a_run=True,
        of_images=True,
        needs="--reviewed=FILE",
    ),
    "agreement": Command(
        "asae_jax.review.agreement_command:agreement",
        "compare the labels of two or more people, and of a network with each",
        "--reviewed=first.csv,second.csv --output=agreement",
        "agreement",
        ("agreement", "eval.bootstrap"),
        alone=True,
        needs="--reviewed=FILES",
    ),
    "crossval": Command(
        "asae_jax.experiments.crossval.command:crossval",
        "train on folds: every image scored by a network that was not trained on it",
        "--config=own_cells --workdir=runs/folds --config.data.source=folder --config.data.path=CELLS",
        "crossval",
        ("crossval", *_TRAINING, "eval"),
    ),
    "reproduce": Command(
        "asae_jax.experiments.command:reproduce",
        "run the paper's tables and report them",
        "--config=comparison --tables=1,2 --seeds=3",
        "reproduce",
        ("reproduce", *_TRAINING, "eval"),
    ),
}
