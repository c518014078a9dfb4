"""The folder of a run, which contains its config, checkpoint and TensorBoard events."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vaekit.bundle.disk import writing
from vaekit.errors import ConfigError
from vaekit_training.config import Config, load_config
from vaekit_training.data.sources import beside
from vaekit_training.loop.distributed import World
from vaekit_training.loop.tracking import Validation

CONFIG, CHECKPOINT, PUBLISHED = "config.toml", "checkpoint.pt", "published"
BY_INDEX = 64  # largest number of latent dimensions or features for which each one gets a curve


@dataclass(frozen=True)
class Keep:
    """Where the files of a run are kept, so that it can be resumed."""

    path: Path
    numbered: bool = False  # keep them in a new numbered subfolder of path
    resume: bool = False  # resume the run in path

    def prepare(self, config: Config, world: World) -> Path:
        """The run's folder; rank 0 creates it.

        Raises:
            ConfigError: the folder contains another run, or is not writable.
        """
        made = world.from_first(str(self._make(config)) if world.is_first else None)
        return Path(made)

    def _make(self, config: Config) -> Path:
        if self.resume:
            return self.path
        try:
            folder = _next(self.path) if self.numbered else _empty(self.path)
        except OSError as exc:
            raise ConfigError(f"run folder {self.path} is not writable: {exc.strerror}") from exc
        try:
            (folder / CONFIG).write_text(_with_absolute_source(config).to_toml(), encoding="utf-8")
        except OSError as exc:
            (folder / CONFIG).unlink(missing_ok=True)  # half a config would look like a run
            raise ConfigError(f"run folder {folder} is not writable: {exc.strerror}") from exc
        return folder


def resumed(folder: Path) -> Config:
    """The config of the run in a folder, to resume it.

    A run of a kernel prior has no checkpoints: it starts again, which gives the same model.

    Raises:
        ConfigError: there is no run in the folder, or the run is finished.
    """
    if (folder / PUBLISHED).is_file():
        bundle = (folder / PUBLISHED).read_text(encoding="utf-8").strip()
        raise ConfigError(
            f"--resume {folder}: the run is finished and was published as {bundle}; to publish it again, delete "
            f"{folder / PUBLISHED}"
        )
    config = load_config(folder / CONFIG) if (folder / CONFIG).is_file() else None
    has_checkpoint = any((folder / name).is_file() for name in (CHECKPOINT, checkpoint(0)))
    if config is None or not (has_checkpoint or config.prior.name == "kernel"):
        missing = CONFIG if config is None else CHECKPOINT
        raise ConfigError(f"--resume {folder}: no run to resume: {missing} does not exist")
    return config


def checkpoint(fold: int | None) -> str:
    """The file name of the checkpoint of a fold model, or for None of a run without folds."""
    return CHECKPOINT if fold is None else f"checkpoint-{fold}.pt"


def finish(folder: Path, bundle: Path) -> None:
    """Mark the run in a folder as finished, by writing the path of its bundle to it."""
    with writing(folder / PUBLISHED, f"the model is published as {bundle}"):
        (folder / PUBLISHED).write_text(f"{bundle.resolve()}\n", encoding="utf-8")


def _with_absolute_source(config: Config) -> Config:
    """The config with an absolute path to its data, so that the run can be resumed from any folder."""
    data = config.data.model_copy(update={"source": beside(config.data.source, Path.cwd())})
    return config.model_copy(update={"data": data})


def _next(base: Path) -> Path:
    """A new subfolder of base, named by the next free number."""
    base.mkdir(parents=True, exist_ok=True)
    taken = [int(p.name) for p in base.iterdir() if p.name.isdecimal()]
    number = max(taken, default=0) + 1
    while True:
        try:
            (base / str(number)).mkdir()
        except FileExistsError:  # another process has just created it
            number += 1
            continue
        return base / str(number)


def _empty(folder: Path) -> Path:
    """The folder, created if necessary, which must not contain a run."""
    if (folder / CONFIG).exists() or (folder / CHECKPOINT).exists():
        raise ConfigError(f"--run {folder}: the folder already contains a run; resume it with --resume {folder}")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


class Events:
    """Writes validations to TensorBoard event files."""

    def __init__(self, folder: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._folder = folder
        with writing(folder):
            self._writer = SummaryWriter(str(folder))

    def write(self, validation: Validation) -> None:
        """Add a validation; each feature and latent dimension gets its own curve if there are at most BY_INDEX.

        Raises:
            StorageError: the events cannot be written.
        """
        curves = {
            "objective/train": validation.train_objective,
            "objective/validation": validation.objective,
            "elbo": validation.elbo,
            "log_evidence": validation.log_evidence,
            "log_likelihood": validation.log_likelihood,
            "kl": validation.kl,
            "beta": validation.beta,
            "active_units": validation.active_units,
        }
        for name, values in (("kl", validation.kl_by_latent), ("log_likelihood", validation.log_likelihood_by_feature)):
            if len(values) <= BY_INDEX:
                curves |= {f"{name}_by_index/{i}": value for i, value in enumerate(values)}
        with writing(self._folder):
            for name, value in curves.items():
                self._writer.add_scalar(name, value, validation.step)
            self._writer.flush()

    def close(self) -> None:
        """Write what is left and close the files."""
        with writing(self._folder):
            self._writer.close()
