"""Writes a version's folder whole or not at all, and the files that a manifest signs."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaekit.bundle.entries import arrays_of, entry_of
from vaekit.bundle.folds import AnyCalibration
from vaekit.bundle.manifest import CALIBRATION_FILE, MANIFEST_FILE, CalibrationFile, Manifest, Precision
from vaekit.bundle.models_folder import taken_numbers

_WRITING = ".writing-"  # never listed: a name starts with a letter or digit, a version is a number


def digest(data: bytes) -> str:
    """sha256 as the manifest writes it."""
    return hashlib.sha256(data).hexdigest()


def npz(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """The arrays as the content of a compressed .npz file."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def calibration_file(
    held_out: Mapping[tuple[int, Precision], AnyCalibration], assumption: str
) -> tuple[CalibrationFile, bytes]:
    """Calibrations on default draws as the manifest signs them, and the content of their file.

    Args:
        held_out: scores by K and precision.
        assumption: what must hold between calibration rows and scored rows.
    """
    entries = [entry_of(*way, found) for way, found in held_out.items()]
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
    """Write a new version, all of it or none; never over an old one.

    The folder is written beside its target under a name that is not listed, synced to disk, and renamed. Several
    publishers at once get different versions.

    Args:
        root: the models folder.
        manifest: its version is replaced by the one the bundle gets.
        files: content by path relative to the bundle, manifest.json not among them; every file that the manifest
            signs, and any others (report/...).
        pages: more of those others, which tell the version: what they hold once it is known.

    Returns:
        The manifest as written.
    """
    for part in manifest.files:
        assert digest(files[part.file]) == part.sha256, part.file
    home = Path(root) / manifest.name
    home.mkdir(parents=True, exist_ok=True)
    temp = Path(tempfile.mkdtemp(prefix=_WRITING, dir=home))
    try:
        temp.chmod(0o755)
        for name, data in files.items():
            _write(temp / name, data)
        return _publish_as_next(home, temp, manifest, pages)
    except BaseException:
        shutil.rmtree(temp, ignore_errors=True)
        raise


def _publish_as_next(
    home: Path, temp: Path, manifest: Manifest, pages: Callable[[Manifest], Mapping[str, bytes]]
) -> Manifest:
    while True:
        manifest = manifest.model_copy(update={"version": max(taken_numbers(home), default=0) + 1})
        for name, data in {**pages(manifest), MANIFEST_FILE: manifest.to_json().encode()}.items():
            _write(temp / name, data)
        for folder in (*(p for p in temp.rglob("*") if p.is_dir()), temp):
            sync(folder)
        try:
            temp.rename(home / str(manifest.version))
        except OSError as exc:  # somebody else took this number: try the next
            if exc.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            continue
        sync(home)
        return manifest


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sync(path: Path) -> None:
    """What was written of a file, or which names a folder holds, is on disk when this returns."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
