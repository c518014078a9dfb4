"""Lists the models to serve and their versions, as they are on disk at one moment. Nothing is loaded here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from vaekit.bundle.manifest import MANIFEST_FILE
from vaekit.bundle.models_folder import has_manifest, models, taken_numbers
from vaekit.bundle.policy import LATEST, Policy, read_policy
from vaekit.bundle.proposal import is_proposed
from vaekit.bundle.read import read_manifest
from vaekit.errors import FormatError, VaeError

Stamp = tuple[int, ...]  # inode, size and time of a manifest; empty if it cannot be read


@dataclass(frozen=True)
class FoundVersion:
    """A complete version on disk. Another stamp means that the version was replaced."""

    number: int
    folder: Path
    stamp: Stamp
    any_name: bool = False  # whether the manifest may have another name than the model
    proposed: bool = False  # whether it waits for an operator: it only answers requests that name it


@dataclass(frozen=True)
class FoundModel:
    """A model on disk at one moment."""

    folder: Path
    versions: Mapping[int, FoundVersion] = field(default_factory=dict)  # ascending
    policy: Policy = LATEST
    without_manifest: tuple[int, ...] = ()  # numbers above the newest version: unfinished copies, or damaged
    reason: str | None = None  # why the folder or the policy cannot be read


class FolderMirror(Protocol):
    """What this file needs of vaekit.storage.mirror.Mirror, which needs pyarrow."""

    text: str  # the URL
    folder: Path

    def refresh(self) -> None:
        """Make the local folder like the remote one. Raises VaeError if that fails."""


class ModelSource:
    """A models folder, or single bundles under given names.

    Args:
        root: the models folder; None: there is none. It may be the folder of one model or of one bundle, as platforms
            mount them. That is served under the name in its manifest.
        named: by model name, the folder of one bundle, or of a model with its versions.
        pins: by model name, the policy that holds instead of the one in the model's folder.
        mirrors: keep those folders that are copies of folders in a store or on a hub.
    """

    def __init__(
        self,
        root: Path | None,
        named: Mapping[str, Path],
        pins: Mapping[str, Policy],
        mirrors: Sequence[FolderMirror] = (),
    ) -> None:
        self.root, self._named, self._pins = root, dict(named), dict(pins)
        self.mirrors = mirrors
        self._name = "model"  # of the model whose folder the root is; it stays if no manifest can be read any more

    def refresh(self) -> str | None:
        """Make copies like the folders in stores; may take long. Returns why that failed; None: it did not."""
        trouble = None
        for mirror in self.mirrors:
            try:
                mirror.refresh()
            except VaeError as exc:
                trouble = trouble or str(exc)
        return trouble

    def override(self, name: str, policy: Policy) -> None:
        """Use this policy of a model from now on. Called in the event loop while `scan` may run in a thread."""
        self._pins[name] = policy

    def overridden(self, name: str) -> Policy | None:
        """The policy that holds instead of the one in the model's folder; None: there is none."""
        return self._pins.get(name)

    @property
    def text(self) -> str:
        """The folders, for messages; of copies the URLs."""
        folders = [*([] if self.root is None else [self.root]), *self._named.values()]
        urls = {mirror.folder: mirror.text for mirror in self.mirrors}
        return ", ".join(str(urls.get(folder, folder)) for folder in folders)

    def scan(self) -> dict[str, FoundModel]:
        """The models that are there now, by name.

        Raises:
            FormatError: the models folder does not exist any more, or cannot be read.
        """
        return dict(sorted((name, self._read(name, folder)) for name, folder in self._folders()))

    def _folders(self) -> Iterator[tuple[str, Path]]:
        if self.root is not None:
            if not self.root.is_dir():
                raise FormatError(f"{self.root}: no such folder")
            if found := bundles_of_one_model(self.root):
                yield self._name_of(found), self.root
            else:
                yield from ((name, self.root / name) for name in models(self.root) if name not in self._named)
        yield from self._named.items()

    def _name_of(self, bundles: list[Path]) -> str:
        """The name of a model: that of its newest manifest that can be read."""
        for bundle in bundles:
            with suppress(FormatError):
                self._name = read_manifest(bundle).name
                break
        return self._name

    def _read(self, name: str, folder: Path) -> FoundModel:
        try:
            policy = self._pins[name] if name in self._pins else read_policy(folder)
            is_named = name in self._named or folder == self.root
            if is_named and has_manifest(folder):  # a bundle itself
                number = read_manifest(folder).version
                return FoundModel(folder, {number: FoundVersion(number, folder, _stamp(folder), True)}, policy)
            return _read_folder(folder, policy, is_named)
        except FormatError as exc:
            return FoundModel(folder, reason=str(exc))


def bundles_of_one_model(root: Path) -> list[Path]:
    """The folders of the bundles of the model that a folder is, the newest first; empty if it is no model's folder.

    Raises:
        FormatError: the folder cannot be read.
    """
    if has_manifest(root):
        return [root]
    return [root / str(number) for number in reversed(taken_numbers(root)) if has_manifest(root / str(number))]


def _read_folder(folder: Path, policy: Policy, any_name: bool) -> FoundModel:
    """The versions in the folder of a model.

    Raises:
        FormatError: it cannot be read.
    """
    taken = taken_numbers(folder)
    numbers = [number for number in taken if has_manifest(folder / str(number))]
    newest = max(numbers, default=0)
    versions = {
        n: FoundVersion(n, folder / str(n), _stamp(folder / str(n)), any_name, is_proposed(folder / str(n)))
        for n in numbers
    }
    return FoundModel(folder, versions, policy, tuple(number for number in taken if number > newest))


def _stamp(folder: Path) -> Stamp:
    try:
        found = (folder / MANIFEST_FILE).stat()
    except OSError:
        return ()
    return found.st_ino, found.st_size, found.st_mtime_ns
