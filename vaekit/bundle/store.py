"""models/<name>/<version>/: written once and whole, read as a verified private copy. Knows files, not graphs."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import re
import shutil
import tempfile
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from vaekit.bundle.arrays import read_archive, read_array
from vaekit.bundle.entries import arrays_of, calibration_of, check_folds, entry_of
from vaekit.bundle.folds import AnyCalibration
from vaekit.bundle.heldout import Surprises
from vaekit.bundle.manifest import (
    CALIBRATION_FILE,
    MANIFEST_FILE,
    CalibrationEntry,
    CalibrationFile,
    File,
    Half,
    Manifest,
    Name,
    Operation,
    Precision,
)
from vaekit.bundle.onnxfile import check_graph
from vaekit.errors import BundleError, FormatError, InputError, IntegrityError, UnknownModel

_VERSION = re.compile(r"[1-9][0-9]{0,8}")
_NAME = TypeAdapter(Name)
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


def check_name(name: str) -> str:
    """The name itself.

    Raises:
        UnknownModel: not a name that a model can have, so no model has it.
    """
    try:
        return _NAME.validate_python(name)
    except ValidationError:
        raise UnknownModel(f"no model {name!r}: names match ^[a-z0-9][a-z0-9_-]{{0,63}}$") from None


def models(root: Path | str) -> list[str]:
    """Names under root that have at least one whole version, sorted."""
    folder = Path(root)
    if not folder.is_dir():
        return []
    names = (entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    return sorted(name for name in names if versions(folder, name))


def versions(root: Path | str, name: str) -> list[int]:
    """Whole versions of a model, ascending; empty where there is no such model."""
    try:
        home = Path(root) / check_name(name)
    except UnknownModel:
        return []
    if not home.is_dir():
        return []
    numbers = (entry.name for entry in home.iterdir() if _VERSION.fullmatch(entry.name))
    return sorted(int(number) for number in numbers if (home / number / MANIFEST_FILE).is_file())


def find(root: Path | str, name: str, version: int | None = None) -> Path:
    """The folder of a version, the latest one by default.

    Raises:
        UnknownModel: no such model or version; the message lists those there are.
    """
    known = versions(root, check_name(name))
    if not known:
        raise UnknownModel(f"no model {name!r}; there are: {', '.join(models(root)) or 'none'}")
    if version is None:
        version = known[-1]
    if version not in known:
        raise UnknownModel(f"no version {version} of {name!r}; there are: {', '.join(map(str, known))}")
    return Path(root) / name / str(version)


def read_manifest(folder: Path | str) -> Manifest:
    """The manifest of one version's folder.

    Raises:
        FormatError: no manifest, one that is no manifest, or one of a newer major format.
    """
    path = Path(folder) / MANIFEST_FILE
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except OSError as exc:
        raise FormatError(f"{folder}: no {MANIFEST_FILE}") from exc
    except ValidationError as exc:
        first = exc.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise FormatError(f"{path}: {where}: {first['msg']}") from exc


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
        taken = [int(entry.name) for entry in home.iterdir() if _VERSION.fullmatch(entry.name)]  # whole or not
        manifest = manifest.model_copy(update={"version": max(taken, default=0) + 1})
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


@dataclass(eq=False)
class Bundle:
    """A verified private copy of one version; the copy goes when it is closed, or when nobody holds it any more."""

    manifest: Manifest
    source: Path
    copy: Path = field(repr=False)

    def __post_init__(self) -> None:
        self.close = weakref.finalize(self, shutil.rmtree, self.copy, ignore_errors=True)

    def path(self, file: str) -> Path:
        """A verified file by its name in the manifest."""
        return self.copy / file

    def half(self, precision: Precision) -> Half | None:
        """The float16 graphs where they are asked for.

        Raises:
            InputError: another precision than float32 and float16.
            BundleError: float16, of a bundle without such graphs.
        """
        if precision not in get_args(Precision):
            raise InputError(f"precision: {precision!r} is not one of {', '.join(get_args(Precision))}")
        if precision == "float16" and self.manifest.half is None:
            raise BundleError(
                f"{self.source}: no float16 graphs; a run writes them with export.half = true (vae train --set "
                "export.half=true)"
            )
        return self.manifest.half if precision == "float16" else None

    def graphs(self, precision: Precision = "float32") -> dict[Operation, Path]:
        """The graph of each operation; where float16 is asked for its twin, if it has one.

        Raises:
            InputError, BundleError: see half.
        """
        half = self.half(precision)
        twins = half.operations if half else {}
        return {op: self.path(twins.get(op, graph).file) for op, graph in self.manifest.operations.items()}

    def noise(self) -> NDArray[np.float64]:
        """Base draws, (K_max, Z).

        Raises:
            FormatError: not arrays of numbers, or of another shape.
        """
        base = read_array(self.path(self.manifest.draws.file))
        expected = (self.manifest.draws.maximum, self.manifest.latent_dim)
        if base.shape != expected:
            raise FormatError(f"{self.manifest.draws.file}: shape {base.shape}, expected {expected}")
        return np.asarray(base, dtype=np.float64)

    def golden(self, signed: File | None = None) -> dict[str, NDArray[np.generic]]:
        """Golden inputs and outputs by name, of the float32 graphs or of another golden file of the manifest.

        Raises:
            FormatError: not arrays of numbers.
        """
        return read_archive(self.path((signed or self.manifest.golden).file))

    def calibrations(self) -> dict[CalibrationEntry, AnyCalibration]:
        """Calibration of each way of scoring that has one.

        Raises:
            FormatError: not arrays of numbers, one that is missing, or held-out scores that can be none.
        """
        if self.manifest.calibration is None:
            return {}
        file = self.manifest.calibration.file
        arrays = read_archive(self.path(file))
        try:
            for entry in self.manifest.calibration.entries:
                check_folds(entry, self.manifest.operations)
            return {entry: calibration_of(entry, arrays) for entry in self.manifest.calibration.entries}
        except KeyError as exc:
            raise FormatError(f"{file}: no array {exc}") from exc
        except InputError as exc:
            raise FormatError(f"{file}: {exc}") from exc

    def surprises(self) -> Surprises | None:
        """What cells compare with; None where the bundle has nothing.

        Raises:
            FormatError: not arrays of numbers, or not those of this many features.
        """
        signed = self.manifest.surprise
        if signed is None:
            return None
        try:
            return Surprises.read(read_archive(self.path(signed.file)), self.manifest.input.dim)
        except FormatError as exc:
            raise FormatError(f"{signed.file}: {exc}") from exc

    def __enter__(self) -> Bundle:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


def open_bundle(folder: Path | str) -> Bundle:
    """Copy a version into a private folder (0700), verify the copy, and refuse what a bundle may not hold.

    Raises:
        FormatError: see read_manifest.
        IntegrityError: a file is missing, or differs from what the manifest signed.
        ForbiddenGraph: external data or operators of an unknown domain.
    """
    source = Path(folder)
    manifest = read_manifest(source)
    bundle = Bundle(manifest, source, Path(tempfile.mkdtemp(prefix="vaekit-")))
    try:
        for part in manifest.files:
            _copy_verified(source / part.file, bundle.path(part.file), part.sha256)
        for file in manifest.graph_files:
            check_graph(bundle.path(file))
    except BaseException:
        bundle.close()
        raise
    return bundle


def _copy_verified(source: Path, target: Path, sha256: str) -> None:
    try:
        shutil.copyfile(source, target)
    except OSError as exc:
        raise IntegrityError(f"{source}: {exc.strerror}") from exc
    with target.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        raise IntegrityError(f"{source}: sha256 {found[:12]}... is not the manifest's {sha256[:12]}...")
