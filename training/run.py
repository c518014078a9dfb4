"""One training run from config to published bundle. Composes the room; decides nothing of its own."""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray

from training import build
from training.config import Config
from training.data import Rows, load
from training.loop import History, Look, fit
from training.publish import Trained, publish_run
from training.split import split
from training.vae import VAE
from vaekit.bundle.manifest import Manifest
from vaekit.errors import ConfigError, DeviceError, MissingExtra
from vaekit.runtime.device import check_distribution, cpu_count, parse_device

SHARED_WORK = 2e8  # operations of a step that are worth sharing among threads: some milliseconds of one core
NEEDED = ("onnx", "onnxscript", "matplotlib", "jinja2", "sklearn")


def _ignore(*_: object) -> None:
    pass


@dataclass(frozen=True)
class Listener:
    """Told of a run's progress; by default nobody listens."""

    say: Callable[[str], None] = _ignore
    on_step: Callable[[int], None] = _ignore
    on_look: Callable[[Look], None] = _ignore
    on_trained: Callable[[History], None] = _ignore
    constants: Callable[[list[str]], None] = field(default=_ignore)


def train(
    config: Config,
    models: Path | str,
    *,
    device: str = "auto",
    listener: Listener | None = None,
    rows: Rows | None = None,
) -> Manifest:
    """Train, and publish a new version of config.name under models; rows stand in for the config's source.

    Raises:
        MissingExtra: a package that exporting will need does not import; said before training, not after.
        DeviceError: CUDA was asked for and torch has none.
        ConfigError, InputError: config, rows or a models folder that are refused.
        TrainingError: the objective ran away, or the graphs do not reproduce torch.
    """
    _check_writable(Path(models))
    trained = run(config, device=device, listener=listener, rows=rows)
    return publish_run(trained, models, (listener or Listener()).say)


def run(config: Config, *, device: str = "auto", listener: Listener | None = None, rows: Rows | None = None) -> Trained:
    """Train without publishing; see train."""
    listener = listener or Listener()
    check_imports()
    place = torch_device(device)
    if rows is None:
        listener.say(f"reading {config.data.source}")
        rows = load(config.data)
    build.check(rows, config)
    parts = split(rows, config.data, config.training.seed)
    vae = build.build(config, rows, parts.train)
    listener.constants(build.constants(vae, rows.columns))
    t = {name: _seen(vae, rows.x[getattr(parts, name)]).to(place) for name in ("train", "validation")}
    with cpu_threads(config.training.threads or fitting_threads(vae, config.training.batch_size)):
        history = fit(
            vae.to(place), t["train"], t["validation"], config, on_step=listener.on_step, on_look=listener.on_look
        )
    listener.on_trained(history)
    return Trained(config, rows, parts, vae.cpu().eval(), history)


def _check_writable(models: Path) -> None:
    """Refuse a models folder before training for it."""
    try:
        models.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=models):
            pass
    except OSError as exc:
        raise ConfigError(f"models folder {models}: {exc.strerror}") from exc


def fitting_threads(vae: VAE, batch_size: int) -> int:
    """1 where a step is too small to share, else one thread per core this process may use."""
    work = 6.0 * batch_size * sum(p.numel() for p in vae.parameters())  # floating-point operations, forward and back
    return cpu_count() if work > SHARED_WORK else 1


@contextmanager
def cpu_threads(threads: int) -> Iterator[None]:
    """Let torch use so many threads, and as many as before afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def check_imports() -> None:
    """Import all that exporting and reporting will need.

    Raises:
        MissingExtra: one of them does not import.
    """
    check_distribution()
    for name in NEEDED:
        try:
            importlib.import_module(name)
        except ImportError as exc:
            raise MissingExtra(
                f"{name} does not import, and exporting needs it: pip install 'vaekit[training]'"
            ) from exc


def torch_device(device: str) -> torch.device:
    """The torch device of "auto", "cpu", "cuda" or "cuda:<index>".

    Raises:
        DeviceError: CUDA was asked for and torch has none, or none of that index.
    """
    kind, index = parse_device(device)
    have = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if kind == "cpu" or (kind == "auto" and not have):
        return torch.device("cpu")
    if index >= have:
        raise DeviceError(f"device {device}: torch sees {have or 'no'} CUDA devices")
    return torch.device("cuda", index)


def _seen(vae: VAE, x: NDArray[Any]) -> torch.Tensor:
    """Rows as the networks see them, (n, D) float32."""
    return vae.features(torch.from_numpy(x)).to(vae.dtype)
