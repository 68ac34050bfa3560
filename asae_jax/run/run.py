"""A run: the one object that every command opens, works with and writes to.

A run is a folder with settings, class names, a split and checkpoints. `new_run` starts one, `open_run` opens
one that has been trained. Network, weights and data are made when they are first asked for.
"""

import contextlib
import functools
import os
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from asae_jax import config as settings
from asae_jax.errors import UserError
from asae_jax.files import user_path
from asae_jax.input.cell_classes import CellClass, cell_classes
from asae_jax.input.index import DataIndex
from asae_jax.input.nucleus_sizes import CUT
from asae_jax.input.preparation import Preparation
from asae_jax.input.sources import BUILT_IN, configured_preparation
from asae_jax.models.network import Network
from asae_jax.run import build, folder, hosts, parallel, weights_file
from asae_jax.run.batch_size import check_accumulate, check_batch_size, check_devices
from asae_jax.run.data import (
    Data,
    batch_unit,
    load_data,
    load_index,
    new_split,
    training_nuclei,
    write_data_record,
)
from asae_jax.run.epochs import choose_epochs
from asae_jax.run.model_folder import holds_model
from asae_jax.types import Images


class Run:
    """One run.

    Attributes:
      workdir: the run folder.
      config: every setting.
      class_names: classes of the logits, in their order.
    """

    def __init__(self, workdir: Path, config: ConfigDict, class_names: tuple[str, ...]):
        self.workdir = workdir
        self.config = config
        self.class_names = class_names

    @property
    def name(self) -> str:
        """The name of the run folder, also where it is given as `.` or `..`."""
        return os.path.basename(os.path.abspath(self.workdir))

    @property
    def num_classes(self) -> int:
        """Length of the logits."""
        return len(self.class_names)

    @functools.cached_property
    def classes(self) -> tuple[CellClass, ...]:
        """What each of `class_names` is, by `classes.csv` in the run folder, or else by the built-in table.

        Raises:
          UserError: that file is no table of classes.
        """
        own = self.workdir / folder.CLASSES_FILE
        if not own.exists() and self.config.data.classes:
            print(f"{own} is missing: what the classes are is taken from the built-in table")
        return cell_classes(self.class_names, own if own.exists() else None)

    @functools.cached_property
    def network(self) -> Network:
        """`network.apply(variables, images, train=False)` gives logits `[batch, classes]`.

        The layer is treated as `eval.test_mode` says.
        """
        return build.create_network(self.config, self.num_classes)

    @functools.cached_property
    def variables(self) -> Mapping[str, Any]:
        """`params` and `batch_stats` of the checkpoint that `eval.checkpoint` names.

        The moving average where the run kept one.

        Raises:
          UserError: no checkpoint yet, or one of another network.
        """
        return self._weights[0]

    @functools.cached_property
    def step(self) -> int:
        """Step of the checkpoint that `variables` come from."""
        return self._weights[1]

    @functools.cached_property
    def _weights(self) -> tuple[Mapping[str, Any], int]:
        like = build.variable_shapes(self.config, self.num_classes)
        # Whoever asks first may be a function that is being traced.
        with jax.ensure_compile_time_eval():
            if holds_model(self.workdir):
                return self._read_weights_file(like)
            from asae_jax.run.checkpoint import read_variables  # loads Orbax, which a model does not need

            return read_variables(self.workdir, self.config.eval.checkpoint, like)

    def _read_weights_file(self, like: Mapping[str, Any]) -> tuple[Mapping[str, Any], int]:
        variables, step = weights_file.read(self.workdir, like)
        there, wanted = weights_file.checkpoint_of(self.workdir), self.config.eval.checkpoint
        if there != wanted:
            raise UserError(
                f"{self.workdir} holds a model of one checkpoint: use --config.eval.checkpoint={there}, not "
                f"{wanted}."
            )
        return jax.device_put(variables), step  # jnp.asarray would compile a program for each shape

    @property
    def test_mode(self) -> str:
        """What happens at test: see `build.tested_as`."""
        return build.tested_as(self.config)

    @functools.cached_property
    def preparation(self) -> Preparation:
        """Raw uint8 RGB `[height, width, 3]` -> uint8 `[stored, stored, 3]`, as before training."""
        return configured_preparation(self.config.data)

    @functools.cached_property
    def preprocess(self) -> Callable[..., Images]:
        """uint8 `[batch, stored, stored, 3]` -> normalised float `[batch, size, size, 3]`."""
        return build.create_preprocess(self.config)

    @functools.cached_property
    def data(self) -> Data:
        """The run's own images with their split, decoded and prepared.

        Raises:
          UserError: data that cannot be found or used, or that are not those the run was started with.
        """
        if holds_model(self.workdir):
            raise UserError(
                f"{self.workdir} holds a model, which travels without the images it was trained on: give "
                "others (`explain --input=DIR`, `evaluate --source=folder --path=DIR`)."
            )
        data = load_data(self.config, self.workdir)
        folder.check_same_data(self.workdir, data.index)
        return data.without(folder.left_out_before(self.workdir, data.unreadable), _LEFT_OUT)


_LEFT_OUT = "could not be read when the run was started"
_MOST_LOOKED_AT = 0.85
"""Share of the side up to which parts left out are worth a word; the usual 224 of 256 pixels are 0.875."""


class NewRun(Run):
    """A run about to be trained; nothing is written before `start`."""

    def __init__(self, workdir: Path, config: ConfigDict, index: DataIndex, splits: np.ndarray | None = None):
        """Reads no image yet.

        Args:
          workdir: the run folder.
          config: every setting.
          index: the examples.
          splits: of a new run, where it has been drawn already.
        """
        super().__init__(workdir, config, index.class_names)
        self._index, self._splits = index, splits
        self.is_new = hosts.first(lambda: not folder.holds_run(workdir))

    @functools.cached_property
    def classes(self) -> tuple[CellClass, ...]:
        """As of any run; of a new one by the file that `data.classes` names."""
        if not self.is_new:
            return super().classes
        given = self.config.data.classes
        if not given and not self._table_of_a_failed_start():
            return super().classes
        return cell_classes(self.class_names, user_path(given) if given else None)

    def _table_of_a_failed_start(self) -> bool:
        """Whether `classes.csv` in the folder was written by a start that failed, and not by the user."""
        with contextlib.suppress(UserError):  # no settings, or damaged ones
            return bool(settings.read_run_config(self.workdir).data.classes)
        return False

    @functools.cached_property
    def data(self) -> Data:
        """The run's images with their split, decoded and prepared.

        Raises:
          UserError: data that cannot be used, or an image that could be read when the run was started.
        """
        splits = None
        if self.is_new:
            splits = new_split(self.config, self._index) if self._splits is None else self._splits
        data = load_data(self.config, self.workdir, self._index, splits=splits)
        if not self.is_new:
            hosts.first(lambda: folder.check_readable(self.workdir, data.unreadable))
            left = hosts.first(lambda: folder.left_out_before(self.workdir, data.unreadable))
            data = data.without(left, _LEFT_OUT)
        return data

    def start(self) -> None:
        """Writes settings, classes and split to the folder of a new run, and what was left out of any.

        Raises:
          UserError: the folder cannot be written, or somebody else has started a run in it meanwhile.
        """
        if self.is_new and folder.holds_run(self.workdir):
            raise UserError(
                f"another process has trained in {self.workdir} since this one began: start the same command "
                "again to go on from there, or choose another --workdir=DIR."
            )
        if self.is_new:
            left = self._table_of_a_failed_start()
            folder.write(self.workdir, self.config, folder.record_of(self._index, self.data.unreadable))
            if self.config.data.classes:
                folder.write_own_classes(self.workdir, self.classes)
            elif left:
                (self.workdir / folder.CLASSES_FILE).unlink(missing_ok=True)
            self._warn_of_cut_cells()
        else:
            self._warn_of_what_is_kept()
        write_data_record(self.data, self.workdir, replace=self.is_new)

    def _warn_of_what_is_kept(self) -> None:
        """Points out settings of a run that goes on which are given now and stay as they were."""
        there = settings.read_run_config(self.workdir).data
        for name, instead in (("classes", "--classes=FILE"), ("specimen", "--specimen=blood or marrow")):
            if (given := self.config.data[name]) and given != there[name]:
                warnings.warn(
                    f"config.data.{name}={given} is not taken over: the run was started with "
                    f"{there[name] or 'none'}; give it to `predict` ({instead})",
                    stacklevel=2,
                )

    def _warn_of_cut_cells(self) -> None:
        """Points out nuclei nearly as wide as the middle of the image, where that alone is looked at."""
        size, stored = self.config.augment.size, self.config.data.stored_size
        asked = self.config.data.source not in BUILT_IN and size < _MOST_LOOKED_AT * stored
        nuclei = training_nuclei(self.data) if asked else None
        if nuclei is not None and nuclei.high > CUT * 100 * size / stored:
            warnings.warn(
                f"of each image the middle {100 * size / stored:.0f} % of the side is looked at, but in one "
                f"of four the nucleus alone takes {nuclei.high:.0f} % of the side or more, and its cell is "
                "larger still: parts of cells are lost. To show all, train in another --workdir with "
                f"--config.augment.scale_min=0.7 --config.augment.scale_max=1 --config.augment.size={stored}",
                stacklevel=2,
            )


def new_run(config: ConfigDict, workdir: Path) -> NewRun:
    """The run that training starts or goes on with; whatever can be refused is refused here.

    Settings, network, data source, batch size and the fit to what `workdir` holds are checked, in the order
    of what it costs to check them. Nothing is written. A batch size and epochs of 0 are replaced: by the
    run's, where `workdir` holds it, else by what is chosen for the classes and this machine, and for the
    number of training images.

    Args:
      config: every setting; the run has its own copy, in which nothing is left to be chosen.
      workdir: the run folder: new, of the same run, or with a start that was refused or failed before its
        first checkpoint.

    Raises:
      UserError: anything that cannot be used, or a run of other settings or data.
    """
    settings.check(config)
    chosen, is_new = hosts.first(lambda: _chosen_before(workdir, config))
    check = settings.check_new if is_new else settings.check
    check(config)
    if is_new:
        hosts.first(lambda: folder.check_apart(workdir, config))
    config = settings.copy_with(config, chosen).lock()
    index = splits = None
    if not config.train.batch_size:
        index = load_index(config)
        size = parallel.choose_batch_size(batch_unit(config, index))
        config = settings.copy_with(config, {"train.batch_size": size}).lock()
    parallel.use_all_cores(config.train.batch_size)
    build.variable_shapes(config, 2)
    if is_new:
        build.check_normalisation_layers(config, 2)
    index = load_index(config) if index is None else index
    if not config.train.epochs:
        splits = new_split(config, index)
        images = np.count_nonzero(splits == "train")
        epochs = choose_epochs(int(images), trained=bool(config.init.pretrained))
        config = settings.copy_with(config, {"train.epochs": epochs}).lock()
        check(config)
    if not is_new:
        hosts.first(lambda: folder.check_same_data(workdir, index))
    _check_batches(config, index, is_new)
    _check_loss(config, index.num_classes)
    run = NewRun(workdir, config, index, splits)
    _ = run.classes  # a table that cannot be read is refused here
    return run


def _chosen_before(workdir: Path, config: ConfigDict) -> tuple[dict[str, int], bool]:
    """Batch size and epochs of the run in `workdir`, else of `config`, and whether no run is there.

    Raises:
      UserError: a run of other settings, or a model.
    """
    folder.refuse_links(workdir)
    if holds_model(workdir):
        raise UserError(
            f"{workdir} holds a model, which is not trained further: start a run from it in another folder "
            f"(--config.init.pretrained={workdir} --workdir=DIR)."
        )
    folder.check_settings_are_there(workdir)
    is_new = not folder.holds_run(workdir)
    if not is_new:
        config = folder.with_chosen(workdir, config)
        folder.check_same_config(workdir, config)
    values = settings.flatten(config)
    return {name: values[name] for name in folder.CHOSEN}, is_new


def open_run(workdir: Path, config: ConfigDict | None = None, *, trains: bool = False) -> Run:
    """The run in `workdir`; neither weights nor data are read yet.

    Args:
      workdir: the folder of a run.
      config: the run's settings with those of the command; None: the run's own.
      trains: whether training batches will be asked for: as many CPU devices are made as share those, else as
        share `eval.batch_size` images.

    Raises:
      UserError: no run there, settings that cannot be used, or that would give other weights.
    """
    folder.refuse_links(workdir)
    if config is None:
        config = settings.read_run_config(workdir)
    config = folder.with_chosen(workdir, config)
    folder.check_same_config(workdir, config)
    settings.check(config)
    parallel.use_all_cores(config.train.batch_size if trains else config.eval.batch_size)
    if not trains:
        parallel.point_out_idle_cores(config.eval.batch_size)
    return Run(workdir, config, folder.read_record(workdir).class_names)


def open_for_inference(workdir: Path, config: ConfigDict | None = None) -> Run:
    """`open_run` for commands that do not read the run's own data.

    Raises:
      UserError: as `open_run`, or batch statistics that would have to be estimated on the training images.
    """
    run = open_run(workdir, config)
    if run.config.eval.batch_statistics == "reestimate":
        raise UserError(
            "config.eval.batch_statistics='reestimate' needs the training images: only `evaluate` can do it; "
            "use 'running'."
        )
    return run


def check_one_look(config: ConfigDict, command: str) -> None:
    """Raises a UserError where a command that works on one pass of the network is to make several."""
    for name, instead in build.several_passes(config).items():
        raise UserError(
            f"config.{name}={settings.flatten(config)[name]!r} cannot be used by `{command}`, which takes "
            f"one pass of the network: give --config.{name}={instead}."
        )


def _check_batches(config: ConfigDict, index: DataIndex, is_new: bool) -> None:
    size, parts, devices = config.train.batch_size, config.train.accumulate, jax.device_count()
    if is_new:
        check_batch_size(size, batch_unit(config, index), devices)
        check_accumulate(parts, size, devices)
        parallel.point_out_idle_cores(size, num_classes=batch_unit(config, index))
    else:
        check_devices(size, parts, devices=devices, backend=jax.default_backend())


def _check_loss(config: ConfigDict, num_classes: int) -> None:
    """Options without effect are refused now; what is only a warning is said when the loss is made."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        build.create_loss(config, num_classes, class_counts=np.ones(num_classes))
