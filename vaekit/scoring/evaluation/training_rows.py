"""Refuses to calibrate a model on the rows that it was trained on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from vaekit.bundle import Manifest
from vaekit.errors import InputError
from vaekit.runtime import Model
from vaekit.tabular.folders import files_below


def refuse_training_rows(model: Model, data: Path) -> None:
    """Raise if the rows are the training data of the model: the same file, or the same folder or a part of it.

    The manifest has the path of the training data. It is looked up in the working folder and in the one that holds the
    folder of models. A file that was changed after the training counts as new rows.

    Raises:
        InputError: a file of the training data is among the rows.
    """
    path, first = Path(data), _first_version(model)
    source = first.provenance.data
    if source is None or not path.exists():  # rows of a store have a URL
        return
    rows, beside = path.resolve(), model.bundle.source.resolve().parents[2]
    for trained_on in {Path(source).resolve(), (beside / source).resolve()}:
        if not trained_on.exists():
            continue
        shared = rows if rows.is_relative_to(trained_on) else trained_on if trained_on.is_relative_to(rows) else None
        if shared is not None and _is_older(shared, first.created.timestamp()):
            same = "is the data" if rows == trained_on else "shares files with the data"
            raise InputError(
                f"{data}: {same} that {first.name}@{first.version} was trained on ({source}), so its p-values "
                "would be wrong; give normal rows that it has not seen"
            )


def _first_version(model: Model) -> Manifest:
    """The manifest of the version that was trained, from which the others differ in the calibration alone."""
    manifest, folder = model.manifest, model.bundle.source.resolve().parent
    for _ in range(manifest.version):
        parent = manifest.provenance.parent or ""
        name, _, version = parent.partition("@")
        path = folder / version / "manifest.json"
        if name != manifest.name or not version or not path.is_file():
            break
        manifest = Manifest.model_validate_json(path.read_bytes())
    return manifest


def _is_older(path: Path, trained: float) -> bool:
    """Whether the file, or any file of the folder, was last changed before the training ended."""
    return any(one.stat().st_mtime <= trained for one in _files(path))


def _files(path: Path) -> Iterator[Path]:
    if path.is_dir():
        yield from (path / name for name in files_below(path))
    else:
        yield path
