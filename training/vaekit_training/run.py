"""Runs a training run, from its config to the published bundle."""

from __future__ import annotations

import copy
import importlib
import math
import tempfile
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from vaekit.bundle.disk import temporary_folder
from vaekit.bundle.manifest import Manifest
from vaekit.errors import ConfigError, DeviceError, MissingExtra, StorageError
from vaekit.runtime.cpu_count import cpu_count
from vaekit.runtime.device import check_distribution, parse_device
from vaekit.tabular.groups import check_by
from vaekit_training import build
from vaekit_training.config import Config
from vaekit_training.data.batch import Batches, RowTable
from vaekit_training.data.feed import StreamBatches
from vaekit_training.data.findings import constants, counts_as_real, findings
from vaekit_training.data.kinds import takes
from vaekit_training.data.load import Rows, load
from vaekit_training.data.looks import left_out
from vaekit_training.data.split import Splits, split
from vaekit_training.folds import FoldModels
from vaekit_training.kernel_vae import KernelVAE
from vaekit_training.kernels.search import ignore
from vaekit_training.loop.distributed import World, world
from vaekit_training.loop.fit import fit
from vaekit_training.loop.folder import Keep, finish
from vaekit_training.loop.hooks import Hooks
from vaekit_training.loop.kernel_validation import validation
from vaekit_training.loop.run_folder import RunFolder
from vaekit_training.loop.step import check_graphs
from vaekit_training.loop.tracking import History, Validation, of_folds
from vaekit_training.memory import check_memory
from vaekit_training.network_rows import LazyNetworkRows, network_rows
from vaekit_training.publish import publish_run
from vaekit_training.threads import cpu_threads, in_forked_child, threads_after_fork
from vaekit_training.trained import Trained
from vaekit_training.unused import unused
from vaekit_training.vae import VAE

SHARED_WORK = 1e9  # floating-point operations per step above which several threads are faster than one
NEEDED = ("onnx", "PIL", "jinja2")  # modules imported only after training


@dataclass(frozen=True)
class Listener:
    """Callbacks for the progress of a run; the default callbacks do nothing."""

    say: Callable[[str], None] = ignore  # a progress message
    on_step: Callable[[int], None] = ignore  # the number of the step just taken
    on_validation: Callable[[Validation], None] = ignore
    on_best: Callable[[Validation], None] = ignore  # before on_validation: its weights are the best so far
    on_trained: Callable[[History], None] = ignore
    warn: Callable[[str], None] = ignore  # a warning
    found: Callable[[str], None] = ignore  # a suspicious property of the data
    remark: Callable[[str], None] = ignore  # a property of the data that another setting may suit better


def train(
    config: Config,
    models: Path | str,
    *,
    device: str = "auto",
    listener: Listener | None = None,
    rows: Rows | None = None,
    keep: Keep | None = None,
    draws_report: bool = True,
    inspected: Sequence[str] = (),
) -> Manifest:
    """Train, and publish a new version of config.name in the models folder.

    Under torchrun every rank calls this with the same arguments. The first rank publishes, and all return the same
    manifest.

    Args:
        config: the run's config.
        models: the models folder.
        device: auto, cpu or cuda[:index].
        listener: receives progress.
        rows: rows to train on, instead of those of config.data.source.
        keep: where to keep config, checkpoints and events; None: nothing is kept, and the run cannot be resumed.
        draws_report: whether the bundle gets a report of the run and a model card.
        inspected: remarks on the data made before the run, for the report; see `vaekit_training.infer`.

    Raises:
        MissingExtra: a package needed for the export cannot be imported; raised before training.
        DeviceError: CUDA was requested but torch finds no CUDA device.
        ConfigError, InputError: config, rows or models folder are invalid, or differ from those of the resumed run.
        Interrupted: SIGTERM was received; the state is saved.
        TrainingError: a step was not finite after all rollbacks, or the graphs do not reproduce torch.
        StorageError: a full disk, or no temporary folder; a run that is kept can be resumed.
    """
    _check_writable(Path(models))
    with temporary_folder():
        pass  # the export needs one: better refused now than after the training
    with threads_after_fork(), world(device) as (ranks, rank_device):
        listener = (listener or Listener()) if ranks.is_first else Listener()
        trained = _run(config, torch_device(rank_device), listener, rows, keep, ranks)
        trained = replace(trained, inspection=(*inspected, *trained.inspection))
        manifest = _publish(trained, Path(models), listener, draws_report) if ranks.is_first else None
        return Manifest.model_validate_json(ranks.from_first(manifest))


def _publish(trained: Trained, models: Path, listener: Listener, draws_report: bool) -> str:
    try:
        with cpu_threads(1) if trained.config.prior.name == "kernel" else nullcontext():  # as for its search
            manifest = publish_run(trained, models, listener.say, listener.warn, draws_report=draws_report)
    except StorageError as exc:
        if trained.folder is None:
            raise
        then = f"the training is kept: free some space, then vae train --resume {trained.folder} publishes it"
        raise StorageError(f"{exc}; {then}") from exc
    if trained.folder is not None:
        finish(trained.folder, models / manifest.name / str(manifest.version))
    return manifest.model_dump_json()


def run(
    config: Config,
    *,
    device: str = "auto",
    listener: Listener | None = None,
    rows: Rows | None = None,
    keep: Keep | None = None,
) -> Trained:
    """Train without publishing; arguments and errors as in `train`."""
    with threads_after_fork(), world(device) as (ranks, rank_device):
        listener = (listener or Listener()) if ranks.is_first else Listener()
        return _run(config, torch_device(rank_device), listener, rows, keep, ranks)


def _run(
    config: Config, device: torch.device, listener: Listener, rows: Rows | None, keep: Keep | None, ranks: World
) -> Trained:
    check_imports()
    for text in unused(config):
        listener.warn(text)
    if not config.may_have_kernels:
        check_memory(config, device)
    if config.training.cuda_graphs:
        check_graphs(device, ranks)
    seen: list[str] = []
    if rows is None:
        listener.say(f"reading {config.data.source}")
        rows = load(config.data, config.likelihood, config.training.seed)
        seen += [*rows.remarks, *([left_out("index", rows.index, config.data.source)] if rows.index else [])]
        for remark in seen:
            listener.say(remark)
    build.check(rows, config)
    check_by(config.calibration.by, dict(zip(rows.columns, rows.kinds, strict=True)), "calibration.by")
    splits = split(rows, config.data, config.training.seed)
    for text in (wrong := findings(rows, splits, config.data.kinds)):
        listener.found(text)
    remarks = constants(rows, splits, config.data.source)
    if "count" in takes(config.likelihood):
        remarks += counts_as_real(rows, splits, config.data.kinds, config.data.source)
    for text in remarks:
        listener.remark(text)
    varies = build.kernel_columns(rows, splits.trains)
    asked = config.may_show_exemplars
    config = config.fitted(splits.trained_on, kernels=varies is not None)
    if config.prior.name != "kernel":
        dim = math.prod(rows.x.shape[1:])
        check_memory(config, device, len(rows.x) if rows.streamed is None else rows.streamed.counts["train"], dim, dim)
    if config.prior.name == "kernel":
        splits = splits.with_few_validation_rows()
        listener.say(
            "choosing the kernels around training rows by the mean log density of rows left out, in standardised "
            "columns; higher is better"
        )
    elif asked:
        listener.warn("privacy.show_exemplars = True has no effect: a kernel prior cannot model this table")
    if splits.folds and ranks.size > 1:
        raise ConfigError(
            f"data.folds: fold models cannot be trained on {ranks.size} ranks: start the run without torchrun"
        )
    runs = _runs(config, splits)
    with cpu_threads(1 if in_forked_child() else config.training.threads or 1):  # several would wait for each other
        vaes = [build.build(one.config, rows, one.splits.train, varies, listener.say) for one in runs]
    if not rows.is_image:
        for own in vaes:
            own.features.reserve(rows.kinds, splits.trained_on)
    vae = FoldModels(vaes) if splits.folds else vaes[0]
    run_folder = RunFolder(keep, config, ranks)
    if run_folder.folder is not None:
        listener.say(f"run folder: {run_folder.folder}")
    histories = []
    for own, one in zip(vaes, runs, strict=True):
        if one.fold is not None:
            listener.say(f"training fold model {one.fold + 1} of {len(runs)}")
        histories.append(_fitted(own, rows, one, device, listener, run_folder, ranks))
    history = of_folds(histories) if splits.folds else histories[0]
    listener.on_trained(history)
    return Trained(config, rows, splits, vae.eval(), history, run_folder.folder, (*seen, *wrong, *remarks))


@dataclass(frozen=True)
class _VaeRun:
    """One VAE to train: the only one of a run, or one of its fold models."""

    config: Config
    splits: Splits
    fold: int | None = None


def _runs(config: Config, splits: Splits) -> list[_VaeRun]:
    """The VAEs to train; fold models have the same config except for the seed."""
    found = []
    for f in range(len(splits.folds)):
        seed = (config.training.seed + f) % 2**32
        training = config.training.model_copy(update={"seed": seed})
        found.append(_VaeRun(config.model_copy(update={"training": training}), splits.without(f), f))
    return found or [_VaeRun(config, splits)]


def _fitted(
    vae: VAE, rows: Rows, one: _VaeRun, device: torch.device, listener: Listener, run_folder: RunFolder, ranks: World
) -> History:
    """Train a VAE in place; afterwards it is on the CPU. A kernel prior has nothing to train."""
    config, splits = one.config, one.splits
    if isinstance(vae, KernelVAE):
        found = validation(vae.eval(), rows.x[splits.validation], config.training.seed)
        listener.on_validation(found)
        return History((found,), found, stopped_early=False)
    components = LazyNetworkRows(copy.deepcopy(vae), rows.x, splits.train)
    train = _training_rows(vae, rows, splits, config, device)
    held_out = network_rows(vae, rows.x[splits.validation]).to(device)
    threads = config.training.threads or fitting_threads(vae, config.training.batch_size, ranks.size)
    threads = 1 if in_forked_child() else threads
    progress = Hooks(listener.on_step, listener.on_validation, listener.on_best, warn=listener.warn, rows=splits.train)
    with cpu_threads(threads), run_folder.hooks(progress, rows.digest, one.fold) as hooks:
        history = fit(vae.to(device), train, held_out, config, components=components, hooks=hooks, world=ranks)
    vae.cpu()
    return history


def _training_rows(vae: VAE, rows: Rows, splits: Splits, config: Config, device: torch.device) -> RowTable | Batches:
    """The training split in model units: in memory on the device, or read from files on demand."""
    if rows.streamed is not None:
        settings, there = config.training, copy.deepcopy(vae)
        return StreamBatches(
            rows.streamed,
            lambda x: network_rows(there, x, stored=True),
            settings.batch_size,
            seed=settings.seed,
            buffer=config.data.shuffle_buffer,
            device=device,
        )
    if rows.is_mapped:
        return LazyNetworkRows(copy.deepcopy(vae), rows.x, splits.train, stored=True)
    return network_rows(vae, rows.x[splits.train], stored=True).to(device)


def _check_writable(models: Path) -> None:
    """Refuse a models folder that is not writable, before training starts."""
    try:
        models.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=models):
            pass
    except OSError as exc:
        raise ConfigError(f"models folder {models} is not writable: {exc.strerror}") from exc


def fitting_threads(vae: VAE, batch_size: int, ranks: int = 1) -> int:
    """Number of CPU threads: 1 if a step is small, otherwise one per core of this process, divided by the ranks."""
    work = 6.0 * batch_size * sum(p.numel() for p in vae.parameters())  # floating-point operations, forward and back
    return max(1, cpu_count() // ranks) if work > SHARED_WORK else 1


def check_imports() -> None:
    """Import all packages that the export and the report need.

    Raises:
        MissingExtra: a package cannot be imported.
    """
    check_distribution()
    for name in NEEDED:
        try:
            importlib.import_module(name)
        except ImportError as exc:
            raise MissingExtra(
                f"{name} cannot be imported, but the export needs it: pip install 'vaekit[training]'"
            ) from exc


def torch_device(device: str) -> torch.device:
    """The torch device for "auto", "cpu", "cuda" or "cuda:<index>".

    Raises:
        DeviceError: CUDA was requested but torch finds no such CUDA device.
    """
    kind, index = parse_device(device)
    have = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if kind == "cpu" or (kind == "auto" and not have):
        return torch.device("cpu")
    if index >= have:
        raise DeviceError(f"device {device}: not available; torch finds {have or 'no'} CUDA devices")
    return torch.device("cuda", index)
