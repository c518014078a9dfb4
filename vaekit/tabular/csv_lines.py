"""The lines of CSV text: where rows end, and what a header names. No pyarrow here."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

from vaekit.errors import InputError
from vaekit.tabular.number_texts import options_reading

BLOCK = 2**20  # bytes; the maximum size of a row
OTHERS = ";\t|,"  # delimiters that a header may show
SHOWN_ROWS = 20  # lines below a header that show how its file writes numbers
_PLAIN = re.compile(r"\s*[-+]?\d+(?:\.\d*)?\s*")


def other_delimiter(names: Sequence[str], delimiter: str) -> str | None:
    """The delimiter that a header of one column shows, in place of its own; None if it shows none."""
    found = (one for one in OTHERS if one in names[0] and one != delimiter) if len(names) == 1 else iter(())
    return next(found, None)


def reading(delimiter: str, lines: Iterable[str] = ()) -> str:
    """What a header with another delimiter means, and the options that read its file.

    Args:
        delimiter: the other delimiter.
        lines: the first lines below the header, if they are known: they show how numbers are written.
    """
    cells = [cell for row in csv.reader(lines, delimiter=delimiter) for cell in row]
    found = (options_reading([cell]) for cell in cells if not _PLAIN.fullmatch(cell))
    numbers = max(filter(None, found), key=len, default="")
    shown = repr(delimiter)  # of a tab '\\t', which the option takes
    return f"cells seem to be separated by {shown}: use --delimiter {shown}{numbers and f' {numbers}'}"


@lru_cache
def fields_of_line(delimiter: str) -> re.Pattern[str]:
    """Matches the fields of a line: quoted, plain or empty."""
    no = re.escape(delimiter)
    field = rf'(?:"[^"]*+(?:""[^"]*+)*+"|[^"{no}\r\n][^{no}\r\n]*+)?+'
    return re.compile(rf"(?:{field}{no})*+{field}[\r\n]*+")


def line_of_open_quote(where: object, number: int, line: str, opened: int, fields_of: re.Pattern[str]) -> int:
    """The number of the line where the quote that is still open after this line begins; 0 if no quote is open.

    Args:
        where: the path, for messages.
        number: the number of this line.
        line: this line.
        opened: the result for the line before.
        fields_of: matches the fields of a line.

    Raises:
        InputError: text after a closing quote.
    """
    fields = '"' + line if opened else line.removeprefix("\xef\xbb\xbf")  # the byte order mark
    found = fields_of.match(fields)
    assert found is not None  # it matches the empty text
    at = found.end()
    if at == len(fields):
        return 0
    if fields[at] != '"':
        raise InputError(f"{where}: line {number}: text after a closing quote; double the quotes in a quoted value")
    return opened if opened and at == 0 else number


def column_names(names: Sequence[str], where: object) -> list[str]:
    """The names of columns as a header has them.

    The second column without a name, and later ones, are called as pandas does: 'Unnamed: 1'.

    Args:
        names: the cells of the header line.
        where: the path, for messages.

    Raises:
        InputError: there is no header line, or it is one for Excel alone.
    """
    if not names:
        raise InputError(f"{where}: no header line")
    if names[0].lower().startswith("sep=") and not any(names[1:]):
        raise InputError(f"{where}: line 1, {names[0]!r}, is for Excel alone: delete it; set the delimiter")
    first = names.index("") if "" in names else -1
    return [name or ("" if d == first else f"Unnamed: {d}") for d, name in enumerate(names)]
