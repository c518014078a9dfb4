"""Decides which columns are modelled and which rows are anomalies."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaekit.errors import InputError
from vaekit.tabular.cells import is_missing
from vaekit.tabular.columns import is_index_name, no_column
from vaekit.tabular.csv_lines import other_delimiter
from vaekit.tabular.labels import AnomalyLabels
from vaekit_training.sections import DataConfig


def index_columns(names: Iterable[str], config: DataConfig, in_metadata: Sequence[str] = ()) -> tuple[str, ...]:
    """The columns that hold the index of a pandas frame, which is not modelled unless data.kinds names it.

    Args:
        names: names of all columns.
        config: its label, split column and excluded columns are not listed.
        in_metadata: the index columns according to the file's metadata.
    """
    named = {*special_columns(config), *config.exclude, *config.kinds}
    return tuple(name for name in names if (name in in_metadata or is_index_name(name)) and name not in named)


def columns_of(table: Mapping[str, Any], config: DataConfig, index: Sequence[str] = ()) -> tuple[str, ...]:
    """The columns to model: all except the label, the index, excluded columns and those of split, series and time.

    Args:
        table: the columns by name.
        config: names the label, the split column and excluded columns.
        index: the index columns according to the file's metadata.

    Raises:
        InputError: a column named in the config does not exist, a column has no name, or two have the same name.
    """
    check_named(table, config)
    without = {*special_columns(config), *config.exclude, *index_columns(table, config, index)}
    columns = tuple(name for name in table if name not in without)
    check_names(columns)
    return columns


def check_named(names: Collection[str], config: DataConfig) -> None:
    """Check that the columns of the label, the split, the series, the time, exclude and kinds exist.

    Raises:
        InputError: the message names the column that was probably meant.
    """
    from vaekit.tabular.csv_text import one_column

    path = Path(config.source)
    settings = [(f"data.{key}", getattr(config, key)) for key in ("label", "series_column", "time")]
    settings += [("data.split", config.split.partition(":")[2]), *(("data.exclude", name) for name in config.exclude)]
    settings += [("data.kinds", name) for name in config.kinds]
    for setting, name in settings:
        if name and name not in names:
            other = other_delimiter(list(names), config.delimiter) if config.source.lower().endswith(".csv") else None
            hint = "" if other is None else f": {one_column(next(iter(names)), other, lambda: path.open('rb'))}"
            raise InputError(f"data {config.source!r}: {setting}: {no_column(name, list(names))}{hint}")


def special_columns(config: DataConfig) -> tuple[str, ...]:
    """The columns of the config that are not modelled: the label, and those of id, split, series and time."""
    found = (config.label, config.id, config.split.partition(":")[2], config.series_column, config.time)
    return tuple(dict.fromkeys(name for name in found if name))


def check_names(columns: tuple[str, ...]) -> None:
    """Refuse columns without a name, and two columns with the same name."""
    for d, name in enumerate(columns):
        if not name:
            raise InputError(f"column {d} has no name; name it, or leave it out by data.exclude = ['']")
        if name in columns[:d]:
            raise InputError(f"two columns of one name: {name!r}")


def refuse_missing(where: str, name: str, values: NDArray[Any]) -> None:
    """Refuse a missing cell in the column that splits the rows; where: the source."""
    _refuse(where, name, np.array([is_missing(cell) for cell in values.tolist()], dtype=bool), "that splits the rows")


def _refuse(where: str, name: str, bad: NDArray[np.bool_], which: str, start: int = 0) -> None:
    if bad.any():
        row = start + int(bad.argmax())
        raise InputError(f"{where}: row {row}, feature {name!r}: missing value in the column {which}")


def anomalies(table: Mapping[str, NDArray[Any]], config: DataConfig, n: int) -> NDArray[np.bool_]:
    """Which of the n rows the config's label marks as anomalies, (n,) bool; none if there is no label.

    Raises:
        InputError: a label is missing, or no label has a value of data.anomalies.
    """
    if config.label is None:
        return np.zeros(n, dtype=bool)
    labels = TrainingLabels(config)
    anomaly = labels.take(table[config.label])
    labels.check()
    return anomaly


class TrainingLabels:
    """Reads the label column chunk by chunk, and remembers its values."""

    def __init__(self, config: DataConfig) -> None:
        self._name, self._where = config.label or "", f"data {config.source!r}"
        self._marks = AnomalyLabels(config.anomalies)
        self._found = False

    def take(self, values: NDArray[Any], start: int = 0, where: str = "") -> NDArray[np.bool_]:
        """Which of these n rows are anomalies, (n,) bool.

        Raises:
            InputError: a label is missing.
        """
        cells = values.tolist()
        different = {cell: i for i, cell in enumerate(dict.fromkeys(cells))}
        at = np.array([different[cell] for cell in cells], dtype=np.intp)
        marked, missing = self._marks.of(list(different))
        _refuse(where or self._where, self._name, missing[at], "of labels", start)
        self._found = self._found or bool(marked[at].any())
        return marked[at]

    def check(self) -> None:
        """Refuse a label column without any anomaly, once all rows have been read."""
        if not self._found:
            seen = ", ".join(sorted(self._marks.seen)[:5])
            raise InputError(
                f"label {self._name!r}: no row has a value of data.anomalies {self._marks.anomalies}; seen: {seen}; "
                "name some with data.anomalies (vae train --anomaly)"
            )
