"""Reads what `infer` inspects of a source: all of it, or the first rows of data that stay on disk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaekit.errors import InputError
from vaekit_training.data.cells import is_missing
from vaekit_training.data.load import mapped, read
from vaekit_training.data.parquet import folder
from vaekit_training.data.pictures import FOLDER
from vaekit_training.data.rows import CELLS
from vaekit_training.sections import DataConfig

FIRST = 2**20  # cells that are inspected, of data that stay on disk


@dataclass(frozen=True)
class Glance:
    """The columns to model by name, or images (N, H, W, C); only the first rows of data that stay on disk."""

    columns: dict[str, NDArray[Any]]
    gaps: frozenset[str] = frozenset()  # columns with missing cells, in any row
    filled: frozenset[str] = frozenset()  # columns that may have values
    first: int = 0  # rows that were inspected
    rows: int = 0  # rows in total
    pictures: NDArray[np.uint8] | None = None
    classes: tuple[str, ...] = ()  # the subfolders of images


def glance(data: DataConfig) -> Glance:
    """The columns except label, key and excluded ones: all rows, or the first ones of data that stay on disk.

    Raises:
        InputError: the source is unknown or unreadable.
    """
    if data.read == "stream":
        return _streamed(data)
    source = mapped(data.source) if data.read == "map" else read(data.source, data.resize)
    if source.pictures is not None:
        names = {str(name) for name in source.columns.get(FOLDER, ()) if name is not None}
        return Glance({}, pictures=source.pictures, classes=tuple(sorted(names)))
    columns = {name: source.columns[name] for name in _modelled(source.columns, data)}
    rows = len(next(iter(columns.values()), ()))
    if source.stored is not None:
        return _mapped(source.stored, columns)
    missing = {name: is_missing(values) for name, values in columns.items()}
    gaps = frozenset(name for name in columns if missing[name].any())
    return Glance(columns, gaps, frozenset(name for name in columns if not missing[name].all()), rows, rows)


def _modelled(names: Any, data: DataConfig) -> list[str]:
    without = {data.label, data.split.partition(":")[2], *data.exclude}
    return [name for name in names if name not in without]


def _mapped(stored: NDArray[Any], columns: dict[str, NDArray[Any]]) -> Glance:
    """The first rows of an array; the other rows are only searched for missing cells."""
    rows, width = stored.shape
    index = {name: int(name[1:]) for name in columns}
    any_missing, all_missing = np.zeros(width, dtype=bool), np.ones(width, dtype=bool)
    size = max(1, CELLS // max(1, width))
    for start in range(0, rows, size):
        piece = np.asarray(stored[start : start + size])
        missing = np.isnan(piece) if piece.dtype.kind == "f" else np.zeros(piece.shape, dtype=bool)
        any_missing |= missing.any(axis=0)
        all_missing &= missing.all(axis=0)
    first = min(rows, max(1, FIRST // max(1, width)))
    return Glance(
        {name: np.array(values[:first]) for name, values in columns.items()},
        frozenset(name for name in columns if any_missing[index[name]]),
        frozenset(name for name in columns if not all_missing[index[name]]),
        first,
        rows,
    )


def _streamed(data: DataConfig) -> Glance:
    """The first chunk of a Parquet folder; footers give the missing cells of the rest, except NaN."""
    source = folder(data.source)
    if not source.rows:
        raise InputError(f"data {data.source!r}: no rows")
    names = _modelled(source.columns, data)
    _, columns = next(source.read(source.groups[0], names, max(64, FIRST // max(1, len(names)))))
    here = frozenset(name for name in names if is_missing(columns[name]).any())
    told = frozenset(name for name in names if source.nulls.get(name))
    filled = frozenset(name for name in names if source.nulls.get(name) != source.rows)
    first = len(next(iter(columns.values()), ()))
    return Glance(columns, here | told, filled, first, source.rows)
