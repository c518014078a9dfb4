"""Makes the array of the graphs from lines of CSV or NDJSON, with the ids of rows and the reasons of invalid ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaekit.bundle.input_spec import Column, ImageSpec, VectorSpec
from vaekit.bundle.window import SeriesWindow
from vaekit.client.wire import RowId
from vaekit.errors import InputError
from vaekit.tabular.checked_rows import CheckedRows, InvalidRow, RowChecker
from vaekit.tabular.columns import NOTHING_IGNORED, Ignored, model_order, refuse_duplicate_names
from vaekit.tabular.encode import check_columns
from vaekit.tabular.pixels import encode_images
from vaekit.tabular.series import Steps
from vaekit.tabular.text_rows import CsvRows, JsonRows, UnreadableLine, in_one_form
from vaekit.tabular.windows import check_beside, is_of_steps, steps_of
from vaekit_service.codecs.image.files import read_each
from vaekit_service.codecs.lines.dialect import Dialect
from vaekit_service.codecs.lines.numbers import csv_numbers, json_numbers
from vaekit_service.codecs.row_ids import checked_ids

IMAGE, LATENTS = "image", "latents"  # keys of an object that is one row
_NO_IMAGE: NDArray[np.uint8] = np.empty(0, dtype=np.uint8)
_NO_COLUMN = "id_column: {} has no column {!r}"


@dataclass(frozen=True)
class Numbered:
    """Rows that follow others, with their ids; invalid rows have their number among all."""

    x: NDArray[Any]  # (n, ...), the valid rows
    invalid: Sequence[InvalidRow] = ()
    ids: list[RowId] | None = None  # (n,), of the valid rows; None: there is no column of ids
    ignored: Ignored = NOTHING_IGNORED
    sizes: NDArray[np.int64] | None = None  # (n, 2), width and height of image files
    steps: Steps | None = None  # the valid rows as time steps; None: each is scored by itself

    @property
    def n(self) -> int:
        return len(self.x)


@lru_cache
def latent_spec(z: int) -> VectorSpec:
    """Latent vectors as columns, with the names that replies in CSV give them."""
    return VectorSpec(columns=tuple(Column(name=f"{LATENTS}.{i}") for i in range(z)))


class _TableRows:
    """Rows of a table. Subclasses say how lines are read, and where the ids are."""

    def __init__(self, spec: VectorSpec, column: str | None, *, strict: bool, most_missing: int, written: bool) -> None:
        is_latents = spec is latent_spec(spec.dim)
        self._spec, self._id_column, self._strict, self._is_latents = spec, column, strict, is_latents
        self._taken = spec if strict or is_latents else spec.lenient
        self._checker = RowChecker(
            spec, strict=strict, takes_novel=not is_latents, most_missing=most_missing, written=written
        )
        self._ignored = NOTHING_IGNORED
        self.window: SeriesWindow | None = None  # if rows are time steps

    def _use_steps(self, window: SeriesWindow, *, most_missing: int | None, written: bool) -> None:
        """Read time steps from now on, not windows."""
        self.window, self._spec = window, self._spec.step
        self._taken = self._spec if self._strict else self._spec.lenient
        self._checker = RowChecker(self._spec, strict=self._strict, most_missing=most_missing, written=written)

    def _with_steps(self, found: Numbered, beside: Mapping[str, Any], start: int) -> Numbered:
        """The rows with the cells of the columns of series and times, by name; unchanged if they are no time steps."""
        if self.window is None or found.invalid:
            return found
        return replace(found, steps=steps_of(found.x, self.window, beside, start))

    def _directly(self, x: NDArray[np.float64] | None) -> Numbered | None:
        """Numbers that were read without a Python object for each, if all are valid."""
        if x is None:
            return None
        try:
            return Numbered(check_columns(x, self._taken))
        except InputError:
            return None  # the rows are read again, to name all that are invalid

    def _numbered(self, found: CheckedRows, ids: list[Any] | None, start: int) -> Numbered:
        """The rows with their ids; a row whose id is none is invalid."""
        if ids is None:
            return Numbered(found.x, found.numbered_from(start).invalid, None, found.ignored)
        faults = {one.row: one for one in found.invalid}
        checked = checked_ids(ids, self._id_column, faults)
        valid = [i for i, row in enumerate(found.valid) if row not in faults]
        x = found.x if len(valid) == len(found.x) else found.x[valid]
        invalid = [replace(faults[row], row=row + start, id=checked[row]) for row in sorted(faults)]
        return Numbered(x, invalid, [checked[found.valid[i]] for i in valid], found.ignored)


class RowsOfCsv(_TableRows):
    """Rows of CSV. The header, if there is one, is in the first lines."""

    def __init__(
        self,
        lines: CsvRows,
        dialect: Dialect,
        spec: VectorSpec,
        column: str | None,
        *,
        strict: bool,
        most_missing: int,
    ) -> None:
        super().__init__(spec, column, strict=strict, most_missing=most_missing, written=True)
        self._lines, self._dialect = lines, dialect
        self._at: list[int | None] | None = None  # the index in a row of each column of the model
        self._id_at: int | None = None
        self._beside_at: dict[str, int] = {}  # of the columns of series and times
        self._in_order = False  # whether rows have the model's columns alone, in its order

    def read(self, lines: Sequence[bytes], start: int, *, report: bool) -> Numbered:  # noqa: ARG002 - as RowsOfImages
        """Rows of lines; `start` is the number of the first."""
        directly = self._in_order and self._dialect.is_plain
        if directly and (found := self._directly(csv_numbers(lines, self._spec))) is not None:
            return self._with_steps(replace(found, ignored=self._ignored), {}, start)
        rows = self._lines.read(lines)
        if self._at is None:
            self._find(self._lines.names)
        assert self._at is not None
        ids = None
        if self._id_at is not None:
            ids = [None if isinstance(row, UnreadableLine) else row[self._id_at] or None for row in rows]
        self._dialect.make_plain(rows, self._at, self._spec.columns)
        numbered = self._numbered(self._checker.columns(rows, self._at, self._ignored), ids, start)
        if self.window is None or numbered.invalid:
            return numbered
        whole = [row for row in rows if not isinstance(row, UnreadableLine)]  # all rows: none is invalid
        beside = {name: _objects([row[at] for row in whole]) for name, at in self._beside_at.items()}
        return self._with_steps(numbered, beside, start)

    def _find(self, names: list[str] | None) -> None:
        """Match the header with the model's columns."""
        if names is None:
            if self._id_column is not None:
                raise InputError("id_column: rows without a header have no column names; send their ids as ids")
            self._at, self._in_order = list(range(self._spec.dim)), True
            return
        refuse_duplicate_names(names)
        self._dialect.check_header(names, self._spec.dim)
        if self._id_column is not None:
            if self._id_column not in names:
                raise InputError(_NO_COLUMN.format("the header", self._id_column[:64]))
            self._id_at = names.index(self._id_column)
        window = self._spec.window
        if window is not None and is_of_steps(names, window):
            check_beside(names, window)
            self._use_steps(window, most_missing=None, written=True)
            self._beside_at = {name: names.index(name) for name in window.beside}
        others = [i for i in range(len(names)) if i != self._id_at and i not in self._beside_at.values()]
        at, self._ignored = model_order([names[i] for i in others], self._spec, strict=self._strict)
        self._at = [None if i is None else others[i] for i in at]
        self._in_order = self._at == list(range(len(names)))


class RowsOfJson(_TableRows):
    """Rows of NDJSON: objects by column name, or lists in column order."""

    def __init__(
        self, lines: JsonRows, spec: VectorSpec, column: str | None, *, strict: bool, most_missing: int
    ) -> None:
        super().__init__(spec, column, strict=strict, most_missing=most_missing, written=False)
        self._lines = lines
        self._is_known = spec.window is None  # whether rows are windows or time steps
        self._named: bool | None = None  # whether time steps are objects; None: objects and lists mean the same

    def read(self, lines: Sequence[bytes], start: int, *, report: bool) -> Numbered:  # noqa: ARG002 - as RowsOfImages
        """Rows of lines; `start` is the number of the first."""
        lists = self.window is None or not self.window.beside
        if lists and self._id_column is None and (found := self._directly(json_numbers(lines, self._spec))) is not None:
            self._is_known = True
            return self._with_steps(found, {}, start)
        rows: list[Any] = self._lines.read(lines)
        ids = None
        if not self._is_known and self._spec.window is not None:
            self._find(rows, self._spec.window)
        if self._named is not None:
            rows = in_one_form(rows, named=self._named)
        beside = {} if self.window is None else self._beside(rows, self.window, start)
        if self._id_column is not None:
            ids = beside.get(self._id_column) or _taken(rows, self._id_column, start)
        if self._is_latents:
            rows = [row[LATENTS] if isinstance(row, Mapping) and LATENTS in row else row for row in rows]
        numbered = self._numbered(self._checker.rows(rows), ids, start)
        return self._with_steps(numbered, {name: _objects(cells) for name, cells in beside.items()}, start)

    def _find(self, rows: Sequence[Any], window: SeriesWindow) -> None:
        """Decide by the first readable row whether rows are time steps or windows."""
        first = next((row for row in rows if not isinstance(row, UnreadableLine)), None)
        self._is_known, named = first is not None, isinstance(first, Mapping)
        width = len(first) if isinstance(first, list) else None
        if not (is_of_steps(list(first), window) if isinstance(first, Mapping) else width == window.dim):
            return
        self._use_steps(window, most_missing=None, written=False)
        if window.beside:
            self._named = named
        if not named:
            self.window = window.in_order

    def _beside(self, rows: list[Any], window: SeriesWindow, start: int) -> dict[str, list[Any]]:
        """The cells of the columns of series and times, by name, which are taken out of the rows."""
        for row, given in enumerate(rows):
            try:
                check_beside(list(given) if isinstance(given, dict) else window.beside, window)
            except InputError as exc:
                raise InputError(f"row {start + row}: {exc}") from None
        return {name: [row.pop(name) if isinstance(row, dict) else None for row in rows] for name in window.beside}


class RowsOfImages:
    """Images in NDJSON: base64 of a file, lists of pixels, or an object with the key `image`."""

    window: SeriesWindow | None = None

    def __init__(self, spec: ImageSpec, column: str | None) -> None:
        self._spec, self._id_column, self._lines = spec, column, JsonRows()

    def read(self, lines: Sequence[bytes], start: int, *, report: bool) -> Numbered:
        """Images of lines; `start` is the number of the first. Without `report`, reading ends at the first fault."""
        rows = self._lines.read(lines)
        faults: dict[int, InvalidRow] = {}
        ids = None
        if self._id_column is not None:
            ids = checked_ids(_taken(rows, self._id_column, start), self._id_column, faults)
        found, sizes = [], []
        for row, image in enumerate(row[IMAGE] if isinstance(row, Mapping) and IMAGE in row else row for row in rows):
            try:
                one, size = self._image(image)
                found.append(one)
                sizes.append(size)
            except InputError as exc:
                found.append(_NO_IMAGE)
                sizes.append(np.zeros((1, 2), dtype=np.int64))
                faults.setdefault(row, InvalidRow(row, str(exc).removeprefix("inputs: ").removeprefix("row 0: ")))
                if not report:
                    break
        valid = [row for row in range(len(found)) if row not in faults]
        x = np.concatenate([found[row] for row in valid] or [np.empty((0, *self._spec.row_shape), dtype=np.uint8)])
        of_files = np.concatenate([sizes[row] for row in valid] or [np.empty((0, 2), dtype=np.int64)])
        if ids is None:
            invalid = [replace(faults[row], row=row + start) for row in sorted(faults)]
            return Numbered(x, invalid, sizes=of_files)
        invalid = [replace(faults[row], row=row + start, id=ids[row]) for row in sorted(faults)]
        return Numbered(x, invalid, [ids[row] for row in valid], sizes=of_files)

    def _image(self, image: Any) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """One image, (1, H, W, C), and width and height of its file, (1, 2).

        Raises:
            InputError: it cannot be read; the message may begin with row 0.
        """
        if isinstance(image, UnreadableLine):
            raise InputError(f"{image.reason}: {image.text!r}")
        if isinstance(image, str):
            read = read_each([image], self._spec, report=False)
            return read.x, read.sizes
        if not isinstance(image, list):
            raise InputError("expected base64 of an image file, lists of pixels, or an object with the key 'image'")
        return encode_images([image], self._spec), np.array([[self._spec.width, self._spec.height]])


def _objects(cells: Sequence[Any]) -> NDArray[Any]:
    found = np.empty(len(cells), dtype=object)
    found[:] = cells
    return found


def _taken(rows: list[Any], column: str, start: int) -> list[Any]:
    """The ids of rows, which are taken out of those that are objects.

    Raises:
        InputError: none of the first rows has the column.
    """
    ids = [row.pop(column, None) if isinstance(row, dict) else None for row in rows]
    if not start and rows and all(one is None for one in ids):
        raise InputError(_NO_COLUMN.format("the first row", column[:64]))
    return ids
