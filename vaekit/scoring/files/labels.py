"""Which rows are anomalies: a column of the input, or a .npy file beside it. Knows values, not models."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vaekit.errors import InputError
from vaekit.scoring.files.fragments import Chunk
from vaekit.scoring.files.npy_file import mapped


class Labels(ABC):
    """Tells the anomalies among rows."""

    def __init__(self, label: str, anomalies: Sequence[str]) -> None:
        self._label, self._anomalies = label, anomalies
        self._wanted = {_plain(value) for value in anomalies}
        self._seen: set[str] = set()  # the values that there were

    @abstractmethod
    def take(self, piece: Chunk) -> NDArray[np.bool_]:
        """(n,), True for anomalies.

        Raises:
            InputError: a row without a label.
        """

    @abstractmethod
    def close(self, rows: int) -> None:
        """The input has ended after so many rows.

        Raises:
            InputError: there are more labels.
        """

    def unlike(self, which: str, so: str) -> InputError:
        """What is wrong where no row, or every row, is an anomaly; what there is instead."""
        known, wanted = ", ".join(map(repr, sorted(self._seen)[:10])), " or ".join(map(repr, self._anomalies))
        return InputError(f"label {self._label!r}: {which} is {wanted}, {so}; there is {known}")


def open_labels(label: str, anomalies: Sequence[str], schema: pa.Schema) -> Labels:
    """Labels from the column of that name, or, where it ends in .npy, from that file.

    Args:
        label: the column, or the file.
        anomalies: values that mean anomaly; `1`, `1.0` and `true` mean what they say, whatever the column's type.
        schema: of the input.

    Raises:
        InputError: no such column or file, or a file that is not of one label a row.
    """
    if label.endswith(".npy"):
        return _FileLabels(Path(label), anomalies)
    if label not in schema.names:
        raise InputError(f"label: no column {label!r}; there are {', '.join(map(repr, schema.names))}")
    return _ColumnLabels(label, anomalies)


class _ColumnLabels(Labels):
    def take(self, piece: Chunk) -> NDArray[np.bool_]:
        column = piece.table.column(self._label)
        cells = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
        values = [_plain(value) for value in cells.dictionary.to_pylist()]
        at: NDArray[np.int64] = cells.indices.fill_null(-1).to_numpy(zero_copy_only=False)
        empty = (at < 0) | np.isin(at, [i for i, value in enumerate(values) if value == ""])
        if empty.any():
            raise InputError(f"row {piece.start + int(empty.argmax())}, label {self._label!r}: missing")
        self._seen |= {values[i] for i in np.unique(at)}
        return _among(values, self._wanted)[at]

    def close(self, rows: int) -> None:
        """A column ends where its table does."""


class _FileLabels(Labels):
    def __init__(self, path: Path, anomalies: Sequence[str]) -> None:
        super().__init__(str(path), anomalies)
        if not path.is_file():
            raise InputError(f"label: {path}: no such file")
        self._array = mapped(path)
        if self._array.ndim != 1:
            raise InputError(f"label: {path}: shape {self._array.shape}, expected one label a row")

    def take(self, piece: Chunk) -> NDArray[np.bool_]:
        end = piece.start + piece.table.num_rows
        self._check(end <= len(self._array), f"at least {end}")
        found, at = np.unique(self._array[piece.start : end], return_inverse=True)
        values = [_plain(value) for value in found.tolist()]
        if "" in values:
            row = int((at == values.index("")).argmax())
            raise InputError(f"row {piece.start + row}, label {self._label!r}: missing")
        self._seen |= set(values)
        return _among(values, self._wanted)[at]

    def close(self, rows: int) -> None:
        self._check(rows == len(self._array), str(rows))

    def _check(self, fits: bool, rows: str) -> None:
        if not fits:
            raise InputError(f"label: {self._label}: {len(self._array)} labels, but the input has {rows} rows")


def _among(values: list[str], wanted: set[str]) -> NDArray[np.bool_]:
    return np.array([value in wanted for value in values], dtype=np.bool_)


def _plain(value: Any) -> str:
    """One spelling for what is one value: 1, 1.0 and "1"; True and "true"."""
    if value is None or (isinstance(value, float) and value != value):
        return ""
    text = str(value).strip()
    if isinstance(value, bool) or text.lower() in ("true", "false"):
        return text.lower()
    try:
        number = float(text)
    except ValueError:
        return text
    return str(int(number)) if number.is_integer() else str(number)
