"""Converts the cells of a training column to numbers, and learns its kind and levels.

`vaekit.tabular.cells` decides what a single cell means.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal, NoReturn

import numpy as np
from numpy.typing import NDArray

from vaekit.bundle.input_spec import Column, Kind
from vaekit.errors import InputError
from vaekit.tabular import cells as rule
from vaekit.tabular.frames import unmasked
from vaekit.tabular.levels import exact_number_in, finite_number_in, is_finite, level_text
from vaekit_training.data.kinds import hint, kinds_of
from vaekit_training.sections import DataConfig, LikelihoodConfig

MOST_LEVELS = 1000
EXACT = 2.0**53  # the largest whole number up to which float64 represents all whole numbers
EXCLUDE = "data.exclude leaves out columns"
TEXT = f"likelihood.name = 'mixed' reads text as categories; {EXCLUDE}"
COUNTS = "not a whole number from 0 to 2**53"


class Cells:
    """Converts a column chunk by chunk; remembers its levels and whether any cell was missing.

    `take` numbers the levels of a category in the order in which they first appear; `ranks` maps these numbers to
    indices in the sorted `levels`.
    """

    def __init__(
        self,
        name: str,
        kind: Kind | None,
        missing: Literal["refuse", "marginalise"] = "refuse",
        source: str = "",
        hint: str = "",
        *,
        written: bool = False,
        missing_values: tuple[float | str, ...] = (),
    ) -> None:
        """
        Args:
            name: the column's name.
            kind: the column's kind. None: text is a category, booleans and columns of 0 and 1 are binary, anything
                else is real.
            missing: whether a missing cell is refused or allowed.
            source: where the column comes from, for error messages.
            hint: how to fix a cell that is not of this kind, for error messages.
            written: whether numbers may be written as text, as in a CSV file.
            missing_values: numbers and texts that stand for a missing cell.
        """
        self.name, self.source, self._hint = name, source, f"; {hint}" if hint else ""
        self.is_inferred = kind is None
        self.may_be_missing, self.is_empty = False, True  # so far
        self._kind, self._missing, self._written = kind, missing, written
        self._missing_values = missing_values
        self._known: dict[Any, int] = {}  # cell value -> index of its level in _texts
        self._texts: dict[str, int] = {}
        self._normal: set[int] | None = None  # indices of the levels that normal rows have; None: no rows are labelled
        self._only_two, self._seen = kind is None, np.zeros(2, dtype=bool)  # only 0 and 1 so far, and which of them

    @property
    def kind(self) -> Kind:
        """The given kind, or the one inferred from the cells so far."""
        return self._kind or ("binary" if self._only_two and self._seen.all() else "real")

    @property
    def levels(self) -> tuple[str, ...] | None:
        """Sorted levels of a category, by value if all are numbers; None for other kinds."""
        if self.kind != "category":
            return None
        known = [text for text, code in self._texts.items() if not self._normal or code in self._normal]
        order: Any = exact_number_in if all(map(reads_as_number, known)) else str
        return tuple(sorted(known, key=order))

    @property
    def ranks(self) -> NDArray[np.float64]:
        """Index in `levels` of each level, (number of levels,), in the order of first appearance.

        For a level that only labelled anomalies have it is the index after the last, as for any unseen level.
        """
        levels = self.levels or ()
        places = {text: float(rank) for rank, text in enumerate(levels)}
        return np.array([places.get(text, float(len(levels))) for text in self._texts], dtype=np.float64)

    def note_normal(self, x: NDArray[np.float64]) -> None:
        """Note the levels of normal rows, (n,) as `take` returned them; levels of anomalies alone are then unseen."""
        if self.kind == "category":
            self._normal = (self._normal or set()) | set(x[~np.isnan(x)].astype(int).tolist())

    def take(self, values: NDArray[Any], start: int = 0) -> NDArray[np.float64]:
        """Convert n more cells to numbers, (n,) float64, NaN for missing ones; start: the row number of the first cell.

        Raises:
            InputError: a cell is not of the column's kind; the message names source, row, feature and value.
        """
        values = emptied(_plain(values), self._missing_values)
        missing = is_missing(values)
        if (row := unknown(values, missing)) is not None:
            what = f"a cell of type {type(values[row]).__name__}: {values[row]!r}"
            self._refuse(start + row, f"{what}; expected a number, a boolean or text ({EXCLUDE})")
        if self._kind is None and values.dtype.kind in "bO":
            self._kind = _kind(values[~missing].tolist())
        if self._written and self._kind != "category" and values.dtype.kind == "O":
            missing |= np.array([isinstance(v, str) and rule.spells_missing(v) for v in values.tolist()])
        if missing.any():
            if self._missing == "refuse":
                self._refuse(start + int(missing.argmax()), self._missing_text(int(missing.sum())))
            self.may_be_missing = True
        self.is_empty = self.is_empty and bool(missing.all())
        if self._kind == "category":
            return self._codes(values, missing, start)
        x = self._numbers(values, start)
        self._check(x, missing, start)
        return x

    def _numbers(self, values: NDArray[Any], start: int) -> NDArray[np.float64]:
        if values.dtype.kind in "iuf":
            return values.astype(np.float64)
        cells = values.tolist()
        column = Column(name="column", kind=self._kind or "real", may_be_missing=True)
        x, fault = rule.read_column(cells, column, written=self._written)
        if fault is not None:
            row, what = fault
            if what == rule.NOT_A_NUMBER and isinstance(cells[row], str):
                text = [i for i, cell in enumerate(cells) if isinstance(cell, str) and cell.strip()] or [row]
                row = next((i for i in text if not reads_as_number(cells[i])), row)
            said = f" ({TEXT})" if what == rule.NOT_A_NUMBER else ""
            self._refuse(start + row, f"{what}: {rule.show(cells[row])}{said}")
        return x

    def _check(self, x: NDArray[np.float64], missing: NDArray[np.bool_], start: int) -> None:
        for bad, what in _faults(x, self._kind or "real"):
            row = int(bad.argmax())
            hint = f"; empty them if the values are missing, or {EXCLUDE}" if what == rule.NOT_FINITE else self._hint
            cells = f"{int(bad.sum())} such cells in this column{hint}"
            self._refuse(start + row, f"{what}: {x[row]:.17g} ({cells})")
        if self._only_two:
            self._seen |= np.array([(x == 0).any(), (x == 1).any()])
            self._only_two = bool(((x == 0) | (x == 1) | missing).all())

    def _codes(self, values: NDArray[Any], missing: NDArray[np.bool_], start: int) -> NDArray[np.float64]:
        cells = [_key(cell) for cell in values.tolist()]
        codes = np.array([self._known.get(cell, -1) for cell in cells], dtype=np.float64)  # (n,)
        for row in np.flatnonzero((codes < 0) & ~missing):
            codes[row] = self._learn(cells[row], start + int(row))
        codes[missing] = np.nan
        return codes

    def _learn(self, cell: Any, row: int) -> int:
        if cell in self._known:
            return self._known[cell]
        if not isinstance(cell, str) and not is_finite(cell):
            self._refuse(row, f"{rule.NOT_FINITE}: {rule.show(cell)}")
        code = self._known[cell] = self._texts.setdefault(level_text(cell), len(self._texts))
        if len(self._texts) > MOST_LEVELS:
            self._refuse(row, f"more than {MOST_LEVELS} levels; this cell, {cell!r}, adds one more ({EXCLUDE})")
        return code

    def _missing_text(self, count: int) -> str:
        return f"missing value ({count} such cells in this column; data.missing = 'marginalise' allows them)"

    def _refuse(self, row: int, what: str) -> NoReturn:
        where = f"{self.source}: " if self.source else ""
        raise InputError(f"{where}row {row}, feature {self.name!r}: {what}")


def cells_of(
    columns: Sequence[str], config: DataConfig, likelihood: LikelihoodConfig, source: str = "", *, written: bool = False
) -> list[Cells]:
    """A converter for each column, with the kind that config and likelihood define.

    Args:
        columns: names of the columns.
        config: kinds by column, and whether missing cells are allowed.
        likelihood: defines the kind of columns without an entry in config.kinds.
        source: where the columns come from, for error messages.
        written: whether numbers may be written as text, as in a CSV file.

    Raises:
        InputError, ConfigError: see kinds_of.
    """
    kinds = kinds_of(columns, config, likelihood)
    return [
        Cells(
            name,
            kind,
            config.missing,
            source,
            hint(name, config, likelihood),
            written=written,
            missing_values=config.missing_values,
        )
        for name, kind in zip(columns, kinds, strict=True)
    ]


def indexed(x: NDArray[np.float64], cells: Sequence[Cells]) -> NDArray[np.float64]:
    """x (n, D) from `Cells.take` with categories converted, in place, to indices of their sorted levels; NaN stays."""
    for d, c in enumerate(cells):
        if c.kind == "category":
            there = ~np.isnan(x[:, d])
            x[there, d] = c.ranks[x[there, d].astype(np.intp)]
    return x


def refuse_empty_rows(x: NDArray[np.float64], source: str = "", start: int = 0) -> None:
    """Refuse a row of x (n, D) whose cells are all missing; start: the row number of the first row."""
    empty = np.isnan(x).all(axis=1)
    if empty.any():
        where = f"{source}: " if source else ""
        raise InputError(f"{where}row {start + int(empty.argmax())}: every cell is missing")


def refuse_empty_columns(cells: Sequence[Cells], source: str = "") -> None:
    """Refuse a column whose cells are all missing."""
    for c in cells:
        if c.is_empty:
            where = f"{source}: " if source else ""
            raise InputError(f"{where}feature {c.name!r}: every cell is missing; leave it out by data.exclude")


def _plain(values: NDArray[Any]) -> NDArray[Any]:
    """The cells as numbers, booleans or objects; dates become text, and missing dates None."""
    if values.dtype.kind in "Mm":
        text = values.astype(str).astype(object)
        text[np.isnat(values)] = None
        return text
    return values if values.dtype.kind in "biufO" else values.astype(object)


def is_missing(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Which cells are missing, (n,): NaN, None, or text that is empty or blank."""
    if values.dtype.kind in "fMm":
        return np.isnan(values) if values.dtype.kind == "f" else np.isnat(values)
    if values.dtype.kind not in "OU":
        return np.zeros(len(values), dtype=bool)
    return np.array([_is_missing(cell) for cell in values.tolist()], dtype=bool)


def emptied(values: NDArray[Any], missing_values: tuple[float | str, ...]) -> NDArray[Any]:
    """Cells (n,) with those that stand for a missing value as NaN or None; see data.missing_values."""
    if not missing_values or values.dtype.kind not in "iufOU":
        return values
    if values.dtype.kind in "iuf":
        at = np.isin(values, rule.missing_numbers(missing_values))
    else:
        cells = map(rule.plain, values.tolist())
        at = np.array([rule.stands_for_missing(cell, missing_values) for cell in cells], dtype=bool)
    return unmasked(np.ma.array(values.astype(object) if values.dtype.kind == "U" else values, mask=at))


def unknown(values: NDArray[Any], missing: NDArray[np.bool_]) -> int | None:
    """Index of the first cell that is not a number, boolean or text; None if there is none."""
    if values.dtype.kind in "biufU" or missing.all():
        return None
    if values.dtype.kind != "O":
        return int(missing.argmin())
    cells = values.tolist()
    return next((i for i in np.flatnonzero(~missing).tolist() if not rule.is_known(cells[i])), None)


def _is_missing(cell: Any) -> bool:
    if type(cell) is str:
        return not cell or cell.isspace()
    return rule.is_missing(cell)


def _key(cell: Any) -> Any:
    """The dict key of a category's cell: True differs from 1."""
    cell = rule.plain(cell)
    return level_text(cell) if isinstance(cell, bool) else cell


def _kind(cells: list[Any]) -> Kind | None:
    """The kind of a column of Python objects; None if the objects are numbers, or if there are no cells."""
    if any(isinstance(cell, str) for cell in cells):
        return "category"
    return "binary" if any(isinstance(cell, bool) for cell in cells) else None


def reads_as_number(cell: Any) -> bool:
    """Whether a cell is a finite number or the text of one."""
    if isinstance(cell, str):
        return finite_number_in(cell) is not None
    cell = rule.plain(cell)
    return isinstance(cell, int | float) and not isinstance(cell, bool) and is_finite(cell)


def _faults(x: NDArray[np.float64], kind: Kind) -> Iterator[tuple[NDArray[np.bool_], str]]:
    """Masks (n,) of invalid cells, with reasons: the rules of `vaekit.tabular.cells`, and counts above 2**53."""
    column = Column(name="column", kind=kind, may_be_missing=True)  # missing cells are handled elsewhere
    for bad, what in rule.faults_of(x, column):
        yield bad, COUNTS if kind == "count" and what != rule.NOT_FINITE else what
    if kind == "count" and (x > EXACT).any():
        yield x > EXACT, COUNTS
