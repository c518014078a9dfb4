"""Invalid rows: the table that says why, and how many of them a run allows."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from vaekit.errors import InputError
from vaekit.scoring.rows import BadRows

WHY = pa.schema([("bad_row", pa.int64()), ("bad_column", pa.string()), ("bad_reason", pa.string())])
SURE = 10_000  # rows that must have been read before a share of them ends a run early


def quarantine_schema(schema: pa.Schema) -> pa.Schema:
    """WHY, and the input's columns as text.

    Raises:
        InputError: the input has a column of such a name.
    """
    clash = [name for name in WHY.names if name in set(schema.names)]
    if clash:
        raise InputError(f"the input has columns that a quarantine has too: {', '.join(map(repr, clash))}; rename them")
    return pa.schema([*WHY, *(pa.field(name, pa.string()) for name in schema.names)])


def quarantined(bad: BadRows, schema: pa.Schema) -> pa.RecordBatch:
    """A line for each bad row: its number, the first bad column and what is wrong there, and all cells as text."""
    why = [pa.array(bad.numbers), pa.array(bad.columns, pa.string()), pa.array(bad.reasons, pa.string())]
    return pa.RecordBatch.from_arrays([*why, *map(_as_text, bad.table.columns)], schema=schema)


def _as_text(cells: pa.Array) -> pa.Array:
    if pa.types.is_dictionary(cells.type):
        cells = cells.dictionary_decode()
    try:
        return pc.cast(cells, pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):  # bytes that are no text, nested cells
        return pa.array([_said(cell) for cell in cells], pa.string())


def _said(cell: pa.Scalar) -> str | None:
    value: Any = cell.as_py()
    return None if value is None else str(value)


@dataclass(frozen=True)
class Budget:
    """How many bad rows a run stands: so many, or such a share of the rows read; neither: any number."""

    rows: int | None = None
    share: float | None = None

    @classmethod
    def of(cls, text: str | None) -> Budget:
        """From `100` or `0.5%`.

        Raises:
            InputError: neither.
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
        raise InputError(f"max_bad: {text!r}, expected a number of rows or a percentage, as 100 or 0.5%")

    def check(self, reasons: Counter[str], rows: int, *, ended: bool) -> None:
        """Refuse more bad rows than that; of a share only after SURE rows, or when the run has ended.

        Args:
            reasons: how many rows are bad, by what is wrong with them.
            rows: that were read, bad ones among them.
            ended: whether these are all.

        Raises:
            InputError: there are more.
        """
        bad = reasons.total()
        too_many = self.rows is not None and bad > self.rows
        if self.share is not None and (ended or rows >= SURE):
            too_many = bad > self.share * rows
        if too_many:
            most, count = reasons.most_common(1)[0]
            allowed = f"{self.rows:,}" if self.rows is not None else f"{self.share:.6g} of them"
            raise InputError(
                f"{bad:,} of {rows:,} rows are bad, where max_bad allows {allowed}; most often ({count:,}): {most}"
            )
