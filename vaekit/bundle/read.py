"""Reads the folder of one version of a model into a verified private copy."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import weakref
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from vaekit.bundle.arrays import read_archive, read_array
from vaekit.bundle.disk import UNWRITABLE, full
from vaekit.bundle.entries import calibration_of, check_folds
from vaekit.bundle.exemplars import Exemplars
from vaekit.bundle.grouped import AnyCalibration
from vaekit.bundle.heldout import Surprises
from vaekit.bundle.manifest import (
    MANIFEST_FILE,
    CalibrationEntry,
    Float16Graphs,
    Manifest,
    Operation,
    Precision,
    SignedFile,
)
from vaekit.bundle.onnxfile import check_graph
from vaekit.bundle.private_copies import new_private_copy
from vaekit.errors import BundleError, FormatError, InputError, IntegrityError


def read_manifest(folder: Path | str) -> Manifest:
    """The manifest of one version's folder.

    Raises:
        FormatError: no manifest, an invalid one, or one of a newer major format.
    """
    path = Path(folder) / MANIFEST_FILE
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # reading a pipe would wait for ever
            raise FormatError(f"{path}: not a file")
        return Manifest.model_validate_json(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError) as exc:
        raise FormatError(f"{folder}: no {MANIFEST_FILE}; expected the folder of one version of a model") from exc
    except OSError as exc:
        raise FormatError(f"{path}: cannot be read: {exc.strerror}") from exc
    except ValidationError as exc:
        first = exc.errors()[0]
        if first["loc"] == ("format",):
            raise FormatError(
                f"{path}: format: {first['input']!r}; this version reads formats 1.0 to 1.x: upgrade vaekit, or train "
                "the model again"
            ) from exc
        where = ".".join(map(str, first["loc"]))
        raise FormatError(f"{path}: {where}: {first['msg']}") from exc


@dataclass(eq=False)
class Bundle:
    """A verified private copy of one version. The copy is deleted on close, or when the object is garbage-collected.

    Only the process that made the copy deletes it: a forked child that ends or closes the bundle leaves it there.
    """

    manifest: Manifest
    source: Path
    copy: Path = field(repr=False)

    def __post_init__(self) -> None:
        self.close = weakref.finalize(self, _delete, self.copy, os.getpid())

    def path(self, file: str) -> Path:
        """The path of a verified file by its name in the manifest."""
        return self.copy / file

    def float16_graphs(self, precision: Precision) -> Float16Graphs | None:
        """The float16 graphs if the precision is float16, else None.

        Raises:
            InputError: a precision other than float32 and float16.
            BundleError: float16, but the bundle has no float16 graphs.
        """
        if precision not in get_args(Precision):
            raise InputError(f"precision: {precision!r} is not one of {', '.join(get_args(Precision))}")
        if precision == "float16" and self.manifest.half is None:
            raise BundleError(
                f"{self.source}: no float16 graphs; to export them, train with vae train --set export.half=true"
            )
        return self.manifest.half if precision == "float16" else None

    def graphs(self, precision: Precision = "float32") -> dict[Operation, Path]:
        """The path of each operation's graph. With float16, it is the float16 graph if the operation has one.

        Raises:
            InputError, BundleError: see float16_graphs.
        """
        half = self.float16_graphs(precision)
        half_files = half.operations if half else {}
        return {op: self.path(half_files.get(op, graph).file) for op, graph in self.manifest.operations.items()}

    def base_draws(self) -> NDArray[np.float64]:
        """The base draws, (K_max, Z).

        Raises:
            FormatError: the file is not an array of finite numbers, or has another shape.
        """
        base = read_array(self.path(self.manifest.draws.file))
        expected = (self.manifest.draws.maximum, self.manifest.latent_dim)
        if base.shape != expected:
            raise FormatError(f"{self.manifest.draws.file}: shape {base.shape}, expected {expected}")
        if not np.isfinite(base).all():
            raise FormatError(f"{self.manifest.draws.file}: a draw is not finite")
        return np.asarray(base, dtype=np.float64)

    def golden(self, signed: SignedFile | None = None) -> dict[str, NDArray[np.generic]]:
        """Golden inputs and outputs by name.

        Args:
            signed: the manifest entry of the golden file; None: the golden file of the float32 graphs.

        Raises:
            FormatError: the file does not hold arrays of numbers.
        """
        return read_archive(self.path((signed or self.manifest.golden).file))

    def calibrations(self) -> dict[CalibrationEntry, AnyCalibration]:
        """The calibrations of the bundle by their manifest entry.

        Raises:
            FormatError: the file does not hold arrays of numbers, an array is missing, or held-out scores are invalid.
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
        """The held-out surprises that explanations compare cells with; None if the bundle has none.

        Raises:
            FormatError: the file does not hold arrays of numbers, or they are for another number of features.
        """
        signed = self.manifest.surprise
        if signed is None:
            return None
        try:
            return Surprises.read(read_archive(self.path(signed.file)), self.manifest.input.dim)
        except FormatError as exc:
            raise FormatError(f"{signed.file}: {exc}") from exc

    def exemplars(self) -> Exemplars | None:
        """The training rows of the prior, to show those most similar to a row; None if the bundle has none.

        Raises:
            FormatError: the file does not hold arrays of numbers, or they have other shapes.
        """
        signed = self.manifest.exemplars
        if signed is None:
            return None
        try:
            count = self.manifest.prior.components or 0
            return Exemplars.read(read_archive(self.path(signed.file)), count, self.manifest.input.dim)
        except FormatError as exc:
            raise FormatError(f"{signed.file}: {exc}") from exc

    def __enter__(self) -> Bundle:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


def open_bundle(folder: Path | str) -> Bundle:
    """Copy a version into a private folder (0700), verify the copy, and check its graphs.

    Raises:
        FormatError: see read_manifest.
        IntegrityError: a file is missing, or its sha256 differs from the manifest's.
        ForbiddenGraph: a graph with external data or operators of an unknown domain.
        StorageError: the temporary folder cannot be written.
    """
    source = Path(folder)
    manifest = read_manifest(source)
    bundle = Bundle(manifest, source, new_private_copy())
    try:
        for part in manifest.files:
            _copy_verified(source / part.file, bundle.path(part.file), part.sha256)
        for file in manifest.graph_files:
            check_graph(bundle.path(file))
    except BaseException:
        bundle.close()
        raise
    return bundle


def _delete(copy: Path, owner: int) -> None:
    """Delete a private copy, if this is the process that made it."""
    if os.getpid() == owner:
        shutil.rmtree(copy, ignore_errors=True)


def _copy_verified(source: Path, target: Path, sha256: str) -> None:
    try:
        shutil.copyfile(source, target)
    except OSError as exc:
        if exc.errno in UNWRITABLE:
            raise full(target.parent, exc) from exc
        raise IntegrityError(f"{source}: {exc.strerror or 'not a file'}") from exc
    with target.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        raise IntegrityError(
            f"{source}: sha256 is {found[:12]}..., the manifest has {sha256[:12]}...; the file has changed since "
            "it was published: restore it, or publish the model again"
        )
