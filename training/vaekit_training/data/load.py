"""Loads the rows of a source and checks them by the kinds of their columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaekit.errors import InputError
from vaekit.tabular import cells as rule
from vaekit.tabular.times import in_time
from vaekit_training.data.cells import Cells, cells_of, indexed, refuse_empty_columns, refuse_empty_rows
from vaekit_training.data.image_folder import FOLDER
from vaekit_training.data.labels import anomalies, check_names, columns_of, index_columns, refuse_missing
from vaekit_training.data.rows import CHUNK_CELLS, Mapped, Rows
from vaekit_training.data.sources import Source, from_array, read
from vaekit_training.data.stream import stream
from vaekit_training.data.windows import rows_of_windows
from vaekit_training.sections import DataConfig, LikelihoodConfig

__all__ = ["Rows", "load", "of_array", "read"]


def load(config: DataConfig, likelihood: LikelihoodConfig | None = None, seed: int = 0) -> Rows:
    """Rows of a source, with every cell checked against its column's kind, and labels checked.

    Args:
        config: the source, its columns and their kinds.
        likelihood: defines the kind of columns without an entry in config.kinds; None: gaussian.
        seed: seed of the split, for streamed rows.

    Raises:
        InputError: the source is unknown or unreadable, a column does not exist, or a cell is missing or not of
            its column's kind; the message names source, row, feature and value.
        ConfigError: the likelihood does not accept a kind.
    """
    likelihood = likelihood or LikelihoodConfig()
    if config.read == "stream":
        return stream(config, likelihood, seed)
    source = mapped(config.source) if config.read == "map" else read(config.source, config)
    where, table = f"data {config.source!r}", source.columns
    if not len(next(iter(table.values()))) if table else source.images is None:
        raise InputError(f"{where}: no rows, expected at least 1")
    if source.images is not None and config.missing_values:
        raise InputError(f"{where}: data.missing_values is for columns, but these are images: leave it out")
    if source.images is not None and config.label == FOLDER and FOLDER not in table:
        raise InputError(f"{where}: data.label = {FOLDER!r} is the subfolder of an image, and there are no subfolders")
    if FOLDER in table and source.images is not None and config.label not in (None, *table):
        raise InputError(
            f"{where}: data.label = {config.label!r}: images have no such column; their label is the first "
            f"subfolder of the path: --label-folder (data.label = {FOLDER!r})"
        )
    if source.images is not None and config.window is not None:
        raise InputError(f"{where}: data.window is for time steps with columns, but these are images: leave it out")
    columns = columns_of(table, config, source.index)
    split_key = _split_key(table, config, where)
    if source.images is not None:
        anomaly = anomalies(table, config, len(source.images))
        return Rows(source.images, (), anomaly, split_key, remarks=source.remarks, ids=source.files)
    cells = cells_of(columns, config, likelihood, where, written=source.written)
    anomaly = anomalies(table, config, len(next(iter(table.values()))))
    if config.window is not None:
        found = _of_steps(table, cells, anomaly, config, where)
        return replace(found, index=index_columns(table, config, source.index), ids=table.get(config.id or ""))
    if source.stored is not None:
        x: Any = _checked_in_place(source.stored, cells, where, config.missing_values)
    else:
        x = _together([c.take(table[c.name]) for c in cells], cells, anomaly, where)
    rows = _rows(x, cells, anomaly, split_key)
    return replace(rows, index=index_columns(table, config, source.index), ids=table.get(config.id or ""))


def of_array(
    x: NDArray[Any],
    names: Sequence[str] | None = None,
    anomaly: NDArray[np.bool_] | None = None,
    *,
    config: DataConfig | None = None,
    likelihood: LikelihoodConfig | None = None,
) -> Rows:
    """Rows of an array (N, D), or images (N, H, W[, C]) uint8, checked like those of a file.

    Args:
        x: numbers, or Python objects if some columns hold text.
        names: names of the columns; None: x0, x1, ...
        anomaly: which rows are anomalies, (N,) bool; None: no row is.
        config: kinds of columns, columns to exclude, and whether missing cells are allowed; its source is not read.
        likelihood: as in load.

    Raises:
        InputError: the array has another shape, or a cell is refused.
        ConfigError: the likelihood does not accept a kind.
    """
    config, source = config or DataConfig(source="memory"), from_array(x)
    anomaly = np.zeros(len(x), dtype=bool) if anomaly is None else anomaly
    if source.images is not None:
        return Rows(source.images, (), anomaly)
    columns = tuple(names or source.columns)
    check_names(columns)
    return of_columns(
        dict(zip(columns, x.T, strict=True)), anomaly, config=config, likelihood=likelihood or LikelihoodConfig()
    )


def of_columns(
    columns: dict[str, NDArray[Any]],
    anomaly: NDArray[np.bool_],
    *,
    config: DataConfig,
    likelihood: LikelihoodConfig,
) -> Rows:
    """Rows of columns by name, (N,) each; arguments and errors as in `of_array`."""
    cells = cells_of(columns_of(columns, config), config, likelihood)
    if config.window is not None:
        return _of_steps({name: _typed(column) for name, column in columns.items()}, cells, anomaly, config)
    x = _together([c.take(_typed(columns[c.name])) for c in cells], cells, anomaly)
    return _rows(x, cells, anomaly, _split_key(columns, config, "data"))


def _split_key(table: Mapping[str, NDArray[Any]], config: DataConfig, where: str) -> NDArray[Any] | None:
    """The times or groups by which rows are split, (N,); None: at random, or windows, which have places in series."""
    key = config.split.partition(":")[2]
    if not key or config.window is not None:
        return None
    refuse_missing(where, key, table[key])
    return in_time(where, key, table[key]) if config.split.startswith("time:") else table[key]


def mapped(source: str) -> Source:
    """A .npy file as a memory-mapped array.

    Raises:
        InputError: the source is not a .npy file, or the file is unreadable.
    """
    path = Path(source)
    if path.suffix.lower() != ".npy":
        raise InputError(f"data {source!r}: data.read = 'map' takes a .npy file; set data.read = 'memory'")
    try:
        stored = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as exc:
        raise InputError(f"data {source!r}: {getattr(exc, 'strerror', None) or exc}") from exc
    found = from_array(stored)
    return found if found.images is not None else Source(found.columns, stored=stored)


def _of_steps(
    table: Mapping[str, NDArray[Any]],
    cells: Sequence[Cells],
    anomaly: NDArray[np.bool_],
    config: DataConfig,
    where: str = "",
) -> Rows:
    """The windows of the time steps in the columns of a table."""
    taken = [c.take(table[c.name]) for c in cells]
    beside = {name: table[name] for name in (config.series_column, config.time) if name is not None}
    return rows_of_windows(_together(taken, cells, anomaly, where, whole=False), cells, anomaly, beside, config, where)


def _rows(x: Any, cells: Sequence[Cells], anomaly: NDArray[np.bool_], split_key: NDArray[Any] | None = None) -> Rows:
    """Rows of x with the names, kinds and levels found by `cells`."""
    return Rows(
        x,
        tuple(c.name for c in cells),
        anomaly,
        split_key,
        kinds=tuple(c.kind for c in cells),
        levels=tuple(c.levels for c in cells),
        may_be_missing=tuple(c.may_be_missing for c in cells),
        inferred=tuple(c.is_inferred for c in cells),
    )


def _together(
    taken: Sequence[NDArray[np.float64]],
    cells: Sequence[Cells],
    anomaly: NDArray[np.bool_],
    where: str = "",
    *,
    whole: bool = True,
) -> NDArray[np.float64]:
    """The columns as x (N, D), with categories as indices of their levels; whole: whether these are all cells of a row.

    A time step may be empty, because it is only a part of its windows.
    """
    refuse_empty_columns(cells, where)
    x = np.stack(taken, axis=1)
    if whole:
        refuse_empty_rows(x, where)
    if anomaly.any():
        for d, c in enumerate(cells):
            c.note_normal(x[~anomaly, d])
    return indexed(x, cells)


def _checked_in_place(
    stored: NDArray[Any], cells: Sequence[Cells], where: str, missing_values: tuple[float | str, ...]
) -> Mapped:
    """The mapped array, after every cell has been checked."""
    x = Mapped(stored, [int(c.name[1:]) for c in cells], rule.missing_numbers(missing_values))
    size = max(1, CHUNK_CELLS // x.shape[1])
    for start in range(0, len(x), size):
        chunk = x[start : start + size]
        refuse_empty_rows(np.stack([c.take(chunk[:, d], start) for d, c in enumerate(cells)], axis=1), where, start)
    refuse_empty_columns(cells, where)
    for c in cells:
        if c.levels is not None and c.levels != tuple(map(str, range(len(c.levels)))):
            raise InputError(
                f"{where}: feature {c.name!r}: data.read = 'map' does not convert values, so its categories must be "
                f"0, 1, 2, ..., not {c.levels[0]!r} to {c.levels[-1]!r}; set data.read = 'memory'"
            )
    return x


def _typed(column: NDArray[Any]) -> NDArray[Any]:
    """A column of objects as plain Python values instead of numpy and pandas scalars."""
    if column.dtype.kind != "O":
        return column
    plain = np.empty(len(column), dtype=object)
    plain[:] = [rule.plain(cell) for cell in column.tolist()]
    return plain
