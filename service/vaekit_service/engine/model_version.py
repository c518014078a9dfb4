"""One version of a model: what is known of it, which versions a folder holds, and how one is opened."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vaekit.bundle.manifest import Manifest, Precision
from vaekit.bundle.models_folder import versions
from vaekit.bundle.read import read_manifest
from vaekit.errors import FormatError
from vaekit.runtime import Model
from vaekit.runtime.device import Cuda

State = Literal["idle", "loading", "ready", "failed"]
UNREADABLE = 0  # in place of a version, where a model's folder cannot be read


@dataclass(eq=False)
class ModelVersion:
    """One version of a model, and how far it has come. Older versions are idle until somebody asks for them."""

    name: str
    version: int
    folder: Path
    state: State = "idle"
    reason: str | None = None
    model: Model | None = None
    users: int = 0
    last_used: int = 0
    loading: asyncio.Task[None] | None = None
    retry_at: float | None = None  # when an old version that failed may be tried again, by the monotonic clock


def find_versions(root: Path, name: str) -> dict[int, ModelVersion]:
    """The versions of a model by number, ascending; one that is UNREADABLE and failed if its folder cannot be read."""
    home = root / name
    try:
        return {number: ModelVersion(name, number, home / str(number)) for number in versions(root, name)}
    except FormatError as exc:
        return {UNREADABLE: ModelVersion(name, UNREADABLE, home, "failed", str(exc))}


def open_version(folder: Path, device: str, threads: int | None, cuda: Cuda, precision: Precision) -> Model:
    """Load one version, refusing a manifest that says it is another.

    Raises:
        BundleError, DeviceError, MissingExtra: see vaekit.runtime.Model.load.
    """
    manifest: Manifest = read_manifest(folder)
    if (manifest.name, str(manifest.version)) != (folder.parent.name, folder.name):
        raise FormatError(
            f"{folder}: the manifest says {manifest.name}/{manifest.version}, the folder "
            f"{folder.parent.name}/{folder.name}"
        )
    return Model.load(folder, device=device, threads=threads, cuda=cuda, precision=precision)
