"""A folder elsewhere that bundles are read from: on any file system, in an object store, or on the Hugging Face hub."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from vaekit.errors import StoreError, VaeError
from vaekit.storage.hub import SCHEME, hub_folder
from vaekit.storage.paths import StoragePath, storage_path


class RemoteFolder(Protocol):
    """A folder of files that can be listed and fetched."""

    @property
    def text(self) -> str:
        """Its URL without credentials; of a local folder its absolute path."""

    @property
    def revision(self) -> str | None:
        """The commit of the files that were listed last; None: the folder has no commits."""

    def where(self, prefix: str) -> str:
        """The URL of what is below a prefix."""

    def files(self) -> dict[str, str]:
        """The stamp of each file below the folder, by its relative path. Another stamp is another content.

        Raises:
            StoreError: the folder cannot be listed.
        """

    def fetch(self, name: str, to: Path) -> None:
        """Copy one file to a local path.

        Raises:
            StoreError: it cannot be read.
        """


@dataclass(frozen=True)
class StoreFolder:
    """A folder of a file system or an object store. One that does not exist is empty."""

    path: StoragePath
    revision: str | None = None

    @property
    def text(self) -> str:
        return self.path.fs_path if self.path.is_local else self.path.text

    def where(self, prefix: str) -> str:
        return StoreFolder(self.path.below(prefix.rstrip("/"))).text if prefix else self.text

    def files(self) -> dict[str, str]:
        with translated(self.text):
            return {self.path.name_of(one): f"{one.size}-{one.mtime_ns}" for one in self.path.files()}

    def fetch(self, name: str, to: Path) -> None:
        source = self.path.below(name)
        with translated(source.text), source.open() as file, to.open("wb") as target:
            shutil.copyfileobj(file, target, 2**20)


def remote_folder(url: str) -> RemoteFolder:
    """The folder of a URL or a local path.

    Raises:
        InputError: the URL is invalid, or its file system is not supported.
        MissingExtra: huggingface-hub is not installed.
    """
    return hub_folder(url) if url.startswith(SCHEME) else StoreFolder(storage_path(url))


@contextmanager
def translated(where: str) -> Iterator[None]:
    """Raise errors of a file system as StoreError."""
    try:
        yield
    except VaeError:
        raise
    except (pa.ArrowException, OSError) as exc:
        raise StoreError(f"{where}: {exc}") from exc
