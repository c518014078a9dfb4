"""Reads which rows are anomalies from a column of the input or from a .npy file."""

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
from vaekit.scoring.files.image_folder import LABEL as FOLDER
from vaekit.scoring.files.npy_file import mapped
from vaekit.tabular.columns import no_column
from vaekit.tabular.labels import AnomalyLabels


class Labels(ABC):
    """Labels of the rows of an input."""

    def __init__(self, label: str, anomalies: Sequence[str]) -> None:
        self._label, self._marks = label, AnomalyLabels(anomalies)

    @abstractmethod
    def take(self, chunk: Chunk) -> NDArray[np.bool_]:
        """(n,), True for anomalies.

        Raises:
            InputError: a row has no label.
        """

    @abstractmethod
    def close(self, rows: int) -> None:
        """Check that there are as many labels as the input has rows.

        Raises:
            InputError: there are more labels than rows.
        """

    def _marked(self, distinct: list[Any], at: NDArray[np.int64], start: int) -> NDArray[np.bool_]:
        """Which rows are anomalies; `at` is the index of each row's label in `distinct`."""
        anomalous, missing = self._marks.of(distinct)
        if missing[at].any():
            raise InputError(
                f"row {start + int(missing[at].argmax())}, label {self._label!r}: missing, expected a label"
            )
        return anomalous[at]

    def one_class_error(self, which: str, consequence: str) -> InputError:
        """The error to raise if no row or every row is an anomaly. Its message lists the labels that occur."""
        known, wanted = sorted(self._marks.seen)[:10], " or ".join(map(repr, self._marks.anomalies))
        return InputError(
            f"label {self._label!r}: {which} is {wanted}, {consequence}; the labels are {', '.join(map(repr, known))}"
        )


def open_labels(label: str, anomalies: Sequence[str], schema: pa.Schema) -> Labels:
    """Open the labels in the column `label`, or in the file `label` if the name ends in .npy.

    Args:
        label: name of a column, or path of a .npy file.
        anomalies: values that mean anomaly; `1`, `1.0` and `true` are the same value in every type of column.
        schema: schema of the input.

    Raises:
        InputError: no such column or file, or the file does not have one label per row.
    """
    if label.endswith(".npy"):
        return _FileLabels(Path(label), anomalies)
    if label not in schema.names:
        of_images = {"row", "file"} <= set(schema.names) <= {"row", "file", FOLDER}
        hint = "; --label-folder takes the first subfolder of an image as its label" if of_images else ""
        raise InputError(f"label: {no_column(label, schema.names)}{hint}")
    return _ColumnLabels(label, anomalies)


class _ColumnLabels(Labels):
    def take(self, chunk: Chunk) -> NDArray[np.bool_]:
        column = chunk.table.column(self._label)
        cells = column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
        distinct = cells.unique()
        at: NDArray[np.int64] = pc.index_in(cells, value_set=distinct).to_numpy(zero_copy_only=False)
        return self._marked(distinct.to_pylist(), at, chunk.start)

    def close(self, rows: int) -> None:
        """Nothing to check: a column has one label per row."""


class _FileLabels(Labels):
    def __init__(self, path: Path, anomalies: Sequence[str]) -> None:
        super().__init__(str(path), anomalies)
        if not path.is_file():
            raise InputError(f"label: {path}: no such file")
        self._array = mapped(path)
        if self._array.ndim != 1:
            raise InputError(f"label: {path}: shape {self._array.shape}, expected one label per row, (N,)")

    def take(self, chunk: Chunk) -> NDArray[np.bool_]:
        end = chunk.start + chunk.table.num_rows
        self._check(end <= len(self._array), f"at least {end}")
        found, at = np.unique(self._array[chunk.start : end], return_inverse=True)
        return self._marked(found.tolist(), at, chunk.start)

    def close(self, rows: int) -> None:
        self._check(rows == len(self._array), str(rows))

    def _check(self, fits: bool, rows: str) -> None:
        if not fits:
            raise InputError(f"label: {self._label}: {len(self._array)} labels, but the input has {rows} rows")
