"""How a body of CSV separates cells and writes numbers: the query parameters `delimiter` and `decimal`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from vaekit.bundle.input_spec import Column
from vaekit.errors import InputError
from vaekit.tabular.csv_lines import other_delimiter
from vaekit.tabular.text_rows import UnreadableLine

DELIMITER, DECIMAL = "delimiter", "decimal"
DELIMITERS = {",": ",", ";": ";", "\t": "\t", "tab": "\t", "|": "|"}  # by what the parameter may say
DECIMALS = (".", ",")
_NUMBER = re.compile(r"\s*[-+]?(?:[0-9]+(?:,[0-9]*)?|,[0-9]+)(?:[eE][-+]?[0-9]+)?\s*")
_OF_POINTS = re.compile(r"\s*[-+]?[0-9]*\.[0-9.]*\s*")  # another number, or none, where the comma is decimal


@dataclass(frozen=True)
class Dialect:
    """How cells are separated and numbers written."""

    delimiter: str = ","
    has_decimal_commas: bool = False

    @property
    def is_plain(self) -> bool:
        """Whether lines may be read as JSON."""
        return self.delimiter == "," and not self.has_decimal_commas

    def check_header(self, names: Sequence[str], columns: int) -> None:
        """Refuse a header that shows another delimiter.

        Raises:
            InputError: the header is one cell with another delimiter in it, and the model has several columns.
        """
        if columns > 1 and (other := other_delimiter(names, self.delimiter)):
            raise InputError(
                f"line 1: one column, {names[0][:64]!r}; ?{DELIMITER}={quote(other)} separates cells by {other!r}"
            )

    def make_plain(self, rows: Sequence[Any], at: Sequence[int | None], columns: Sequence[Column]) -> None:
        """Write the numbers of rows with a decimal point, in place.

        Args:
            rows: lists of text, or UnreadableLine.
            at: the index in a row of each column.
            columns: of the model.
        """
        if not self.has_decimal_commas:
            return
        for row in rows:
            if not isinstance(row, UnreadableLine):
                for i, column in zip(at, columns, strict=True):
                    if i is not None and row[i] not in (column.levels or ()):
                        row[i] = with_point(row[i])


PLAIN = Dialect()


def with_point(cell: str) -> str:
    """A number with a decimal comma as one with a point; a number with points gets a remark, so that it is refused.

    The same rule as CsvDialect.plain, which reads whole columns with pyarrow; the service may run without it. A test
    compares the two.
    """
    if _NUMBER.fullmatch(cell):
        return cell.replace(",", ".")
    return f"{cell} (decimal separator ',')" if _OF_POINTS.fullmatch(cell) else cell


def take_dialect(query: Mapping[str, str]) -> tuple[dict[str, str], Dialect]:
    """The options of a request without those of the dialect, and the dialect.

    Raises:
        InputError: the value of one of the two is not accepted.
    """
    rest = dict(query)
    delimiter, decimal = rest.pop(DELIMITER, ","), rest.pop(DECIMAL, ".")
    if delimiter not in DELIMITERS:
        raise InputError(f"query parameter {DELIMITER}: {delimiter[:64]!r}, expected one of ; | tab and the comma")
    if decimal not in DECIMALS:
        raise InputError(f"query parameter {DECIMAL}: {decimal[:64]!r}, expected . or ,")
    if DELIMITERS[delimiter] == decimal:
        raise InputError(f"query parameters {DELIMITER} and {DECIMAL}: both are {decimal!r}; expected different ones")
    return rest, Dialect(DELIMITERS[delimiter], decimal == ",")
