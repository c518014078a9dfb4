"""The quarantine table of invalid rows, and the limit on their number."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from vaekit.errors import InputError
from vaekit.scoring.rows import InvalidRows

REASON_COLUMNS = pa.schema([("bad_row", pa.int64()), ("bad_column", pa.string()), ("bad_reason", pa.string())])
MIN_ROWS_FOR_SHARE = 10_000  # number of rows after which a share is checked during the run


def quarantine_schema(schema: pa.Schema) -> pa.Schema:
    """REASON_COLUMNS, then the input columns as text.

    Raises:
        InputError: the input has a column with the name of one of REASON_COLUMNS.
    """
    clash = [name for name in REASON_COLUMNS.names if name in set(schema.names)]
    if clash:
        raise InputError(
            f"the input has columns with names of the quarantine file: {', '.join(map(repr, clash))}; rename them"
        )
    return pa.schema([*REASON_COLUMNS, *(pa.field(name, pa.string()) for name in schema.names)])


def quarantined(invalid: InvalidRows, schema: pa.Schema) -> pa.RecordBatch:
    """One row per invalid row: its number, its first invalid column, the reason, and all cells as text."""
    reasons = [
        pa.array(invalid.numbers),
        pa.array(invalid.columns, pa.string()),
        pa.array(invalid.reasons, pa.string()),
    ]
    return pa.RecordBatch.from_arrays([*reasons, *map(_as_text, invalid.table.columns)], schema=schema)


def _as_text(cells: pa.Array) -> pa.Array:
    if pa.types.is_dictionary(cells.type):
        cells = cells.dictionary_decode()
    try:
        return pc.cast(cells, pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):  # bytes that are not UTF-8, nested cells
        return pa.array([_text_of(cell) for cell in cells], pa.string())


def _text_of(cell: pa.Scalar) -> str | None:
    value: Any = cell.as_py()
    return None if value is None else str(value)


@dataclass(frozen=True)
class InvalidRowLimit:
    """Largest number or share of invalid rows in a run. If both are None, there is no limit."""

    rows: int | None = None
    share: float | None = None

    @classmethod
    def of(cls, text: str | None) -> InvalidRowLimit:
        """Parse a number of rows such as `100` or a percentage such as `0.5%`; None: no limit.

        Raises:
            InputError: the text is not a number of rows or a percentage.
        """
        if text is None:
            return cls()
        try:
            if text.strip().endswith("%"):
                share = float(text.strip()[:-1]) / 100.0
                if 0.0 <= share <= 1.0:
                    return cls(share=share)
            elif (rows := int(text)) >= 0:
                return cls(rows=rows)
        except ValueError:
            pass
        raise InputError(f"max_bad: {text!r}, expected a number of rows or a percentage, such as 100 or 0.5%")

    def check(self, reasons: Counter[str], rows: int, *, ended: bool) -> None:
        """Check the limit. A share is checked only after MIN_ROWS_FOR_SHARE rows, and at the end of the run.

        Args:
            reasons: number of invalid rows by reason.
            rows: number of rows read, valid and invalid.
            ended: whether all rows have been read.

        Raises:
            InputError: there are too many invalid rows.
        """
        bad = reasons.total()
        too_many = self.rows is not None and bad > self.rows
        if self.share is not None and (ended or rows >= MIN_ROWS_FOR_SHARE):
            too_many = bad > self.share * rows
        if too_many:
            most, count = reasons.most_common(1)[0]
            allowed = f"{self.rows:,}" if self.rows is not None else f"{self.share:.6g} of them"
            raise InputError(
                f"{bad:,} of {rows:,} rows are invalid, but max_bad allows {allowed}; most frequent ({count:,}): {most}"
            )
