"""One version of a served model and its state, one served model, and how a version is opened."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from vaekit.bundle.manifest import Manifest, Precision
from vaekit.bundle.models_folder import newest_accepted
from vaekit.bundle.policy import LATEST, Policy
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
    stamp: tuple[int, ...] = ()  # of its manifest on disk
    any_name: bool = False  # whether its manifest may have another name than the model
    proposed: bool = False  # whether it waits for an operator: it only answers requests that name it
    users: int = 0  # requests that hold a lease
    last_used: int = 0
    leaves: bool = False  # it is unloaded as soon as it has no users
    loading: asyncio.Task[None] | None = None
    failures: int = 0  # failed attempts to load it, one after the other
    retry_at: float | None = None  # when a version that failed may be loaded again, by the monotonic clock


@dataclass(eq=False)
class ServedModel:
    """The versions of one model, and the one that answers requests that name no version."""

    name: str
    serving: ModelVersion  # swapped by assignment
    versions: dict[int, ModelVersion] = field(default_factory=dict)  # in its folder, ascending
    policy: Policy = LATEST
    reason: str | None = None  # why its folder or its policy cannot be read
    unloaded: bool = False  # whether an operator took it out of service, until it is loaded again

    @property
    def newest(self) -> ModelVersion | None:
        """The version that answers if none is pinned: the newest that is not proposed; None if all are proposed."""
        number = newest_accepted({number: served.proposed for number, served in self.versions.items()})
        return None if number is None else self.versions[number]

    @property
    def all(self) -> list[ModelVersion]:
        """The versions in its folder, and the serving one even if it is no longer there."""
        known = list(self.versions.values())
        return known if self.serving in known else [*known, self.serving]


def open_version(
    served: ModelVersion, device: str, threads: Callable[[int], int], cuda: Cuda, precision: Precision
) -> Model:
    """Load one version: verify its files and replay its golden rows. The model gets the name that it is served under.

    Args:
        served: the version.
        threads: the threads of one call of each graph, from the number of graphs.
        device, cuda, precision: see vaekit.runtime.Model.load.

    Raises:
        FormatError: the manifest names another model or version.
        BundleError, DeviceError, MissingExtra: see vaekit.runtime.Model.load.
    """
    folder, name = served.folder, served.name
    manifest: Manifest = read_manifest(folder)
    expected = (manifest.name if served.any_name else name, served.version)
    if (manifest.name, manifest.version) != expected:
        raise FormatError(
            f"{folder}: manifest.json is for {manifest.name}/{manifest.version}; expected {expected[0]}/{expected[1]}, "
            "as the folder is called"
        )
    count = threads(len(manifest.operations))
    model = Model.load(folder, device=device, threads=count, cuda=cuda, precision=precision)
    if model.manifest.name != name:
        model.manifest = model.manifest.model_copy(update={"name": name})
    return model
