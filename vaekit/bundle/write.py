"""Writes the folder of a new version atomically, and makes the files in it."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaekit.bundle.disk import writing
from vaekit.bundle.entries import arrays_of, entry_of
from vaekit.bundle.grouped import AnyCalibration
from vaekit.bundle.manifest import CALIBRATION_FILE, MANIFEST_FILE, CalibrationFile, Manifest, Precision
from vaekit.bundle.models_folder import taken_numbers
from vaekit.errors import ConfigError

_REMOVED = ".removing-"  # prefix of a version or a model whose files are being deleted
_UNFINISHED = ".writing-"  # prefix of an unfinished version's folder; not listed, because versions are numbers


def created() -> datetime:
    """The time of creation for a manifest: now, or SOURCE_DATE_EPOCH if that is set, so that equal runs are equal.

    Raises:
        ConfigError: SOURCE_DATE_EPOCH is not a time in whole seconds since 1970.
    """
    given = os.environ.get("SOURCE_DATE_EPOCH")
    if not given:
        return datetime.now(UTC).replace(microsecond=0)
    try:
        return datetime.fromtimestamp(int(given), UTC)
    except (ValueError, OverflowError, OSError) as exc:
        raise ConfigError(f"environment variable SOURCE_DATE_EPOCH={given}: expected whole seconds since 1970") from exc


def digest(data: bytes) -> str:
    """The sha256 of the data in hexadecimal, as in the manifest."""
    return hashlib.sha256(data).hexdigest()


def npz(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """The content of a compressed .npz file with these arrays."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def calibration_file(
    held_out: Mapping[tuple[int, Precision], AnyCalibration], assumption: str
) -> tuple[CalibrationFile, bytes]:
    """(the manifest's entry of calibration.npz, the content of calibration.npz), for default draws.

    Args:
        held_out: calibrations by K and precision.
        assumption: the assumption about calibration rows and scored rows.
    """
    entries = [entry_of(k, precision, found) for (k, precision), found in held_out.items()]
    arrays = map(arrays_of, entries, held_out.values())
    content = npz({name: scores for each in arrays for name, scores in each.items()})
    signed = CalibrationFile(
        file=CALIBRATION_FILE, sha256=digest(content), entries=tuple(entries), assumption=assumption
    )
    return signed, content


def publish(
    root: Path | str,
    manifest: Manifest,
    files: Mapping[str, bytes],
    pages: Callable[[Manifest], Mapping[str, bytes]] = lambda _: {},
) -> Manifest:
    """Write a new version completely or not at all. An existing version is never overwritten.

    The folder is written beside its target under a name that is not listed, synced to disk, and renamed. Concurrent
    publishers get different versions.

    Args:
        root: the models folder.
        manifest: its version is replaced by the new version number.
        files: the content of each file, by its path relative to the bundle: every file of the manifest, and any other
            files (report/...). manifest.json is added.
        pages: makes more files from the manifest, once the version number is known. The manifest does not have their
            sha256.

    Returns:
        The manifest as written.

    Raises:
        StorageError: the models folder cannot be written; no version appears.
    """
    for part in manifest.files:
        assert digest(files[part.file]) == part.sha256, part.file
    model_folder = Path(root) / manifest.name
    with writing(model_folder):
        model_folder.mkdir(parents=True, exist_ok=True)
        temp = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=model_folder))
        try:
            temp.chmod(0o755)
            for name, data in files.items():
                _write(temp / name, data)
            return _publish_as_next(model_folder, temp, manifest, pages)
        except BaseException:
            shutil.rmtree(temp, ignore_errors=True)
            raise


def _publish_as_next(
    model_folder: Path, temp: Path, manifest: Manifest, pages: Callable[[Manifest], Mapping[str, bytes]]
) -> Manifest:
    while True:
        manifest = manifest.model_copy(update={"version": max(taken_numbers(model_folder), default=0) + 1})
        for name, data in {**pages(manifest), MANIFEST_FILE: manifest.to_json().encode()}.items():
            _write(temp / name, data)
        for folder in (*(p for p in temp.rglob("*") if p.is_dir()), temp):
            sync(folder)
        try:
            temp.rename(model_folder / str(manifest.version))
        except OSError as exc:  # another publisher took this number: try the next
            if exc.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            continue
        sync(model_folder)
        return manifest


def remove_version(root: Path | str, name: str, version: int) -> None:
    """Delete a version completely or not at all: it is renamed to a name that is not listed before its files go.

    Raises:
        StorageError: the models folder cannot be written.
    """
    model_folder = Path(root) / name
    with writing(model_folder):
        _remove(model_folder / str(version), model_folder / f"{_REMOVED}{version}")


def remove_model(root: Path | str, name: str) -> None:
    """Delete all versions of a model, its policy and its folder completely or not at all.

    Raises:
        StorageError: the models folder cannot be written.
    """
    with writing(Path(root) / name):
        _remove(Path(root) / name, Path(root) / f"{_REMOVED}{name}")


def _remove(folder: Path, hidden: Path) -> None:
    if hidden.exists():  # an earlier removal was interrupted
        shutil.rmtree(hidden)
    folder.rename(hidden)
    sync(hidden.parent)
    shutil.rmtree(hidden)


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sync(path: Path) -> None:
    """Sync a file's content, or the entries of a folder, to disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
