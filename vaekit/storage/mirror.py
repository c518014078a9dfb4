"""Keeps a local folder as a folder of models in a store or on a hub is, for a service that looks at it again and again.

The local folder has the layout of a folder of models, or of one model with its versions. Nothing in it is changed in
place: versions come and go by renaming, so that it can be read meanwhile, and also by other processes.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, time

from vaekit.bundle.disk import writing
from vaekit.bundle.manifest import MANIFEST_FILE
from vaekit.bundle.models_folder import newest_accepted
from vaekit.bundle.policy import POLICY_FILE, Policy, read_policy
from vaekit.bundle.read import open_bundle, read_manifest
from vaekit.errors import BundleError, FormatError, StoreError
from vaekit.storage.pull import write_origin
from vaekit.storage.remote import RemoteFolder, remote_folder
from vaekit.storage.transfer import fetch_bundle
from vaekit.storage.versions import FoundBundle, bundles, policies

RETRY_SECONDS, LONGEST_PAUSE = 30.0, 16  # before a bundle that is invalid is fetched again; doubles up to 16 times that
ABANDONED_SECONDS = 3600.0  # after which an unfinished version is nobody's any more
# by prefix in the store, the stamp of the version that is here, empty if it is invalid, and its path
_STAMPS = ".stamps.json"
_UNFINISHED, _REMOVED = ".pulling-", ".removing-"


@dataclass
class _Failure:
    stamp: str
    retry_at: float  # by the monotonic clock
    times: int = 1


class Mirror:
    """A local copy of a folder of models, of one model, or of one bundle.

    It has the newest versions of each model and those that a policy names; older ones are removed.

    Args:
        url: of the folder.
        cache: local folder, which gets a folder of its own for each URL. It is created.
        keep: number of versions of each model that are kept, besides those that a policy names.
        pins: policies that hold instead of those in the store, by model name.

    Raises:
        InputError: the URL is invalid, or its file system is not supported.
        StorageError: the cache cannot be written.
        MissingExtra: huggingface-hub is not installed.
    """

    def __init__(self, url: str, cache: Path, *, keep: int, pins: Mapping[str, Policy] | None = None) -> None:
        self._remote: RemoteFolder = remote_folder(url)
        self.text = self._remote.text
        plain = re.sub(r"[^A-Za-z0-9]+", "-", self.text).strip("-")[:60]
        self.folder = cache.expanduser() / f"{plain}-{hashlib.sha256(url.encode()).hexdigest()[:12]}"
        self._keep, self._pins = keep, pins or {}
        self._failures: dict[str, _Failure] = {}  # by prefix
        self._policies: dict[str | None, str] = {}  # by model name, the stamps of the policies that are here
        with writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)

    def refresh(self) -> None:
        """Make the local folder like the remote one. What cannot be fetched now stays as it was.

        A bundle that is invalid gets its place all the same: whoever loads it refuses it and says why. It is fetched
        again after a pause, or when it has changed.

        Raises:
            StoreError: the store or the hub cannot be reached, or holds no bundle; the first error of several.
            StorageError: the local folder cannot be written.
        """
        self._remove_abandoned()
        files = self._remote.files()
        found = bundles(files)
        if not found:
            raise StoreError(f"{self.text}: no bundle there, nor a folder of versions or models with bundles")
        errors = [*self._take_policies(files)]
        stamps = self._read_stamps()
        wanted = {one.prefix: one for one in self._wanted(found)}
        for prefix, one in wanted.items():
            try:
                stamps |= self._take(one, stamps.get(prefix))
            except StoreError as exc:
                errors.append(exc)
        self._remove_others({prefix: there for prefix, there in stamps.items() if prefix in wanted})
        if errors:
            raise errors[0]

    def _wanted(self, found: list[FoundBundle]) -> Iterable[FoundBundle]:
        by_model: dict[str | None, list[FoundBundle]] = {}
        for one in found:
            by_model.setdefault(one.name, []).append(one)
        for name, versions in by_model.items():
            numbers = {one.version or 0: one for one in versions}  # ascending
            kept = {*list(numbers)[-self._keep :], *self._named(name)}
            kept.add(newest_accepted({number: one.is_proposed for number, one in numbers.items()}) or 0)
            yield from (one for number, one in numbers.items() if number in kept)

    def _named(self, name: str | None) -> set[int]:
        """The versions that policies name."""
        known = [policy for pinned, policy in self._pins.items() if name in (None, pinned)]
        with suppress(FormatError):  # whoever reads it says so
            known.append(read_policy(self.folder / (name or "")))
        return {number for one in known for number in (one.pinned, *one.loaded) if number is not None}

    def _take_policies(self, files: Mapping[str, str]) -> Iterable[StoreError]:
        """Fetch policies; the errors of those that cannot be fetched."""
        there = policies(files)
        for name in {*there, *(path.name for path in self.folder.iterdir() if not path.name.startswith(".")), None}:
            path = self.folder / (name or "") / POLICY_FILE
            if name not in there:
                path.unlink(missing_ok=True)
            if name not in there or (path.exists() and self._policies.get(name) == files[there[name]]):
                continue
            try:
                path.parent.mkdir(exist_ok=True)
                with tempfile.TemporaryDirectory(prefix=_UNFINISHED, dir=self.folder) as temp:
                    self._remote.fetch(there[name], Path(temp) / POLICY_FILE)
                    (Path(temp) / POLICY_FILE).replace(path)
                self._policies[name] = files[there[name]]
            except StoreError as exc:
                yield exc

    def _take(self, found: FoundBundle, before: list[str] | None) -> dict[str, list[str]]:
        """Fetch a version unless it is here; its stamp and its path by its prefix."""
        stamp = _stamp(found)
        failure = self._failures.get(found.prefix)
        waits = failure is not None and failure.stamp == stamp and monotonic() < failure.retry_at
        if before is not None and (before[0] == stamp or waits) and (self.folder / before[1]).exists():
            return {found.prefix: before}
        with writing(self.folder):
            temp = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=self.folder))
        try:
            temp.chmod(0o755)
            self._fetch(found, temp, stamp)
            number = found.version or read_manifest(temp).version
            path = f"{found.name}/{number}" if found.name else str(number)
            with writing(self.folder):
                self._place(temp, self.folder / path)
        except FormatError as exc:  # a bundle without a version
            raise StoreError(str(exc)) from exc
        finally:
            shutil.rmtree(temp, ignore_errors=True)
        return {found.prefix: ["" if found.prefix in self._failures else stamp, path]}

    def _fetch(self, found: FoundBundle, temp: Path, stamp: str) -> None:
        """Fetch and verify a bundle; if it is invalid, note when to fetch it again."""
        try:
            fetch_bundle(self._remote, found, temp)
            write_origin(temp, self._remote, found)
            open_bundle(temp).close()
        except BundleError:
            failure = self._failures.get(found.prefix)
            times = failure.times + 1 if failure is not None and failure.stamp == stamp else 1
            pause = RETRY_SECONDS * min(2 ** (times - 1), LONGEST_PAUSE)
            self._failures[found.prefix] = _Failure(stamp, monotonic() + pause, times)
        else:
            self._failures.pop(found.prefix, None)

    def _place(self, temp: Path, folder: Path) -> None:
        folder.parent.mkdir(exist_ok=True)
        self._remove(folder)
        temp.rename(folder)

    def _remove(self, folder: Path) -> None:
        if folder.exists():
            hidden = Path(tempfile.mkdtemp(prefix=_REMOVED, dir=self.folder))
            folder.rename(hidden / "version")
            shutil.rmtree(hidden, ignore_errors=True)

    def _remove_abandoned(self) -> None:
        """Remove what processes that were killed left unfinished."""
        for path in self.folder.glob(".*-*"):
            with suppress(OSError):
                if path.name.startswith((_UNFINISHED, _REMOVED)) and time() - path.stat().st_mtime > ABANDONED_SECONDS:
                    shutil.rmtree(path, ignore_errors=True)

    def _remove_others(self, kept: Mapping[str, list[str]]) -> None:
        """Remove the versions that are not kept, and write down the stamps of the others."""
        paths = {path for _, path in kept.values()}
        with writing(self.folder):
            for manifest in [*self.folder.glob(f"*/{MANIFEST_FILE}"), *self.folder.glob(f"*/*/{MANIFEST_FILE}")]:
                path = manifest.parent.relative_to(self.folder)
                if not path.parts[0].startswith(".") and path.as_posix() not in paths:
                    self._remove(manifest.parent)
            stamps = self.folder / _STAMPS
            unfinished = stamps.with_suffix(f".{os.getpid()}")
            unfinished.write_text(json.dumps(kept), encoding="utf-8")
            unfinished.replace(stamps)

    def _read_stamps(self) -> dict[str, list[str]]:
        with suppress(OSError, ValueError):
            found: dict[str, list[str]] = json.loads((self.folder / _STAMPS).read_text(encoding="utf-8"))
            return found
        return {}


def _stamp(found: FoundBundle) -> str:
    """Changes with any file of a bundle, with its proposal for example."""
    return hashlib.sha256(json.dumps(sorted(found.files.items())).encode()).hexdigest()[:16]
