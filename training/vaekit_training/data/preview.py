"""Reads the rows from which a config is inferred: the whole source, or the first rows of data that stay on disk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaekit.errors import InputError
from vaekit.tabular.cells import missing_numbers
from vaekit_training.data.cells import emptied, is_missing
from vaekit_training.data.image_folder import FOLDER
from vaekit_training.data.labels import check_named, index_columns, special_columns
from vaekit_training.data.load import mapped, read
from vaekit_training.data.parquet import Folder, folder
from vaekit_training.data.rows import CHUNK_CELLS
from vaekit_training.sections import DataConfig

MOST_CELLS = 2**20  # largest number of cells read from data that stay on disk


@dataclass(frozen=True)
class Preview:
    """The columns to model by name, or images; of data that stay on disk only the first rows."""

    columns: dict[str, NDArray[Any]]
    with_missing: frozenset[str] = frozenset()  # columns with missing cells, in any row
    with_values: frozenset[str] = frozenset()  # columns that may have values
    rows_read: int = 0  # number of rows in `columns`
    total_rows: int = 0  # number of rows of the source
    index: tuple[str, ...] = ()  # columns that hold a file's index and are not modelled
    images: NDArray[np.uint8] | None = None  # (N, H, W, C)
    classes: tuple[str, ...] = ()  # the subfolders of images


def preview(data: DataConfig) -> Preview:
    """The columns without label, split column, index and excluded ones: all rows, or the first ones of data on disk.

    Raises:
        InputError: the source is unknown or unreadable, or a column that the settings name does not exist.
    """
    if data.read == "stream":
        return _streamed(data)
    source = mapped(data.source) if data.read == "map" else read(data.source, data)
    if source.images is not None:
        names = {str(name) for name in source.columns.get(FOLDER, ()) if name is not None}
        return Preview({}, images=source.images, classes=tuple(sorted(names)))
    check_named(source.columns, data)
    index = index_columns(source.columns, data, source.index)
    columns = {name: source.columns[name] for name in _modelled(source.columns, data, index)}
    if source.stored is not None:
        return _mapped(source.stored, columns, data.missing_values)
    return of_columns(columns, index, data.missing_values)


def of_columns(
    columns: dict[str, NDArray[Any]], index: tuple[str, ...] = (), missing_values: tuple[float | str, ...] = ()
) -> Preview:
    """All rows of columns in memory; missing_values: see data.missing_values."""
    columns = {name: emptied(values, missing_values) for name, values in columns.items()}
    rows = len(next(iter(columns.values()), ()))
    missing = {name: is_missing(values) for name, values in columns.items()}
    with_missing = frozenset(name for name in columns if missing[name].any())
    with_values = frozenset(name for name in columns if not missing[name].all())
    return Preview(columns, with_missing, with_values, rows, rows, index)


def _modelled(names: Any, data: DataConfig, index: tuple[str, ...]) -> list[str]:
    without = {*special_columns(data), *data.exclude, *index}
    return [name for name in names if name not in without]


def _mapped(stored: NDArray[Any], columns: dict[str, NDArray[Any]], missing_values: tuple[float | str, ...]) -> Preview:
    """The first rows of an array; the remaining rows are only searched for missing cells."""
    rows, width = stored.shape
    index = {name: int(name[1:]) for name in columns}
    any_missing, all_missing = np.zeros(width, dtype=bool), np.ones(width, dtype=bool)
    size = max(1, CHUNK_CELLS // max(1, width))
    for start in range(0, rows, size):
        chunk = np.asarray(stored[start : start + size])
        missing = np.isnan(chunk) if chunk.dtype.kind == "f" else np.zeros(chunk.shape, dtype=bool)
        missing |= np.isin(chunk, missing_numbers(missing_values))
        any_missing |= missing.any(axis=0)
        all_missing &= missing.all(axis=0)
    first = min(rows, max(1, MOST_CELLS // max(1, width)))
    return Preview(
        {name: emptied(np.array(values[:first]), missing_values) for name, values in columns.items()},
        frozenset(name for name in columns if any_missing[index[name]]),
        frozenset(name for name in columns if not all_missing[index[name]]),
        first,
        rows,
    )


def _streamed(data: DataConfig) -> Preview:
    """The first chunk of a Parquet folder; missing cells of the other rows are read from footers, which omit NaN."""
    source = folder(data.source)
    if not source.rows:
        raise InputError(f"data {data.source!r}: no rows, expected at least 1")
    check_named(source.columns, data)
    index = index_columns(source.columns, data, source.index)
    names = _modelled(source.columns, data, index)
    _, columns = next(source.read(source.groups[0], names, max(64, MOST_CELLS // max(1, len(names)))))
    columns = {name: emptied(values, data.missing_values) for name, values in columns.items()}
    here = frozenset(name for name in names if is_missing(columns[name]).any())
    in_footers = frozenset(name for name in names if source.nulls.get(name))
    unsure = [name for name in names if source.nulls.get(name) is None and is_missing(columns[name]).all()]
    empty = {name for name in names if source.nulls.get(name) == source.rows} | _empty(source, unsure)
    with_values = frozenset(names) - empty
    first = len(next(iter(columns.values()), ()))
    return Preview(columns, here | in_footers, with_values, first, source.rows, index)


def _empty(source: Folder, names: list[str]) -> set[str]:
    """The columns without a value in any row, of columns whose footers do not count missing cells."""
    empty = set(names)
    for group in source.groups if names else ():
        for _, columns in source.read(group, sorted(empty), CHUNK_CELLS // len(names)):
            empty = {name for name in empty if is_missing(columns[name]).all()}
        if not empty:
            break
    return empty
