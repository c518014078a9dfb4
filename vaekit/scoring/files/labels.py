"""Which rows are anomalies: by a column of the input, or by a .npy file beside it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vaekit.errors import InputError
from vaekit.scoring.files.fragments import Chunk
from vaekit.scoring.files.npy_file import mapped
from vaekit.tabular.labels import Marks


class Labels(ABC):
    """Tells the anomalies among rows."""

    def __init__(self, label: str, anomalies: Sequence[str]) -> None:
        self._label, self._marks = label, Marks(anomalies)

    @abstractmethod
    def take(self, chunk: Chunk) -> NDArray[np.bool_]:
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

    def _told(self, different: list[Any], at: NDArray[np.int64], start: int) -> NDArray[np.bool_]:
        """Which rows are anomalies, by the place of each one's label among the different ones."""
        odd, missing = self._marks.of(different)
        if missing[at].any():
            raise InputError(f"row {start + int(missing[at].argmax())}, label {self._label!r}: missing")
        return odd[at]

    def unlike(self, which: str, so: str) -> InputError:
        """What is wrong where no row, or every row, is an anomaly; what there is instead."""
        known, wanted = sorted(self._marks.seen)[:10], " or ".join(map(repr, self._marks.anomalies))
        return InputError(f"label {self._label!r}: {which} is {wanted}, {so}; there is {', '.join(map(repr, known))}")


def open_labels(label: str, anomalies: Sequence[str], schema: pa.Schema) -> Labels:
    """Labels from the column of that name, or, where it ends in .npy, from that file.

    Args:
        label: the column, or the file.
        anomalies: values that mean anomaly; `1`, `1.0` and `true` are one value, whatever the column's type.
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
    def take(self, chunk: Chunk) -> NDArray[np.bool_]:
        column = chunk.table.column(self._label)
        cells = column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
        different = cells.unique()
        at: NDArray[np.int64] = pc.index_in(cells, value_set=different).to_numpy(zero_copy_only=False)
        return self._told(different.to_pylist(), at, chunk.start)

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

    def take(self, chunk: Chunk) -> NDArray[np.bool_]:
        end = chunk.start + chunk.table.num_rows
        self._check(end <= len(self._array), f"at least {end}")
        found, at = np.unique(self._array[chunk.start : end], return_inverse=True)
        return self._told(found.tolist(), at, chunk.start)

    def close(self, rows: int) -> None:
        self._check(rows == len(self._array), str(rows))

    def _check(self, fits: bool, rows: str) -> None:
        if not fits:
            raise InputError(f"label: {self._label}: {len(self._array)} labels, but the input has {rows} rows")
