"""One version of a served model: its state, how versions are found, how one is opened."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vaekit.bundle.manifest import Manifest, Precision
from vaekit.bundle.models_folder import taken_numbers, versions
from vaekit.bundle.read import read_manifest
from vaekit.errors import FormatError
from vaekit.runtime import Model
from vaekit.runtime.device import Cuda

State = Literal["idle", "loading", "ready", "failed"]
UNREADABLE = 0  # the version number of a model whose folder cannot be read


@dataclass(eq=False)
class ModelVersion:
    """One version of a model and its state. Older versions are idle until the first request for them."""

    name: str
    version: int
    folder: Path
    state: State = "idle"
    reason: str | None = None
    model: Model | None = None
    users: int = 0  # requests that hold a lease
    last_used: int = 0
    loading: asyncio.Task[None] | None = None
    retry_at: float | None = None  # when an old version that failed may be loaded again, by the monotonic clock


def find_versions(root: Path, name: str) -> dict[int, ModelVersion]:
    """The versions of a model by number, ascending. If its folder cannot be read: one that is UNREADABLE and failed."""
    home = root / name
    try:
        return {number: ModelVersion(name, number, home / str(number)) for number in versions(root, name)}
    except FormatError as exc:
        return {UNREADABLE: ModelVersion(name, UNREADABLE, home, "failed", str(exc))}


def without_manifest(root: Path, name: str, known: Iterable[int]) -> list[int]:
    """The numbers above all known versions of entries without a manifest: a copy that is unfinished, or was damaged.

    Args:
        known: the numbers of the versions that were found.
    """
    newest = max(known)
    return [] if newest == UNREADABLE else [number for number in taken_numbers(root / name) if number > newest]


def open_version(folder: Path, device: str, threads: int | None, cuda: Cuda, precision: Precision) -> Model:
    """Load one version, after checking that its manifest names the same model and version as its folder.

    Raises:
        FormatError: the manifest names another model or version.
        BundleError, DeviceError, MissingExtra: see vaekit.runtime.Model.load.
    """
    manifest: Manifest = read_manifest(folder)
    if (manifest.name, str(manifest.version)) != (folder.parent.name, folder.name):
        raise FormatError(
            f"{folder}: manifest.json is for {manifest.name}/{manifest.version}; expected "
            f"{folder.parent.name}/{folder.name}, as the folder is called"
        )
    return Model.load(folder, device=device, threads=threads, cuda=cuda, precision=precision)
