"""Text cut anywhere gives the same rows as the whole, and a broken row takes no other with it."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaekit.errors import InputError
from vaekit.tabular import text_lines
from vaekit.tabular.csv_lines import line_of_open_quote
from vaekit.tabular.text_lines import CsvSplitter, LineSplitter
from vaekit.tabular.text_rows import CsvRows, JsonRows, UnreadableLine

CELLS = st.text(st.sampled_from('ab"\n, \r1'), max_size=6)
TABLES = st.lists(st.lists(CELLS, min_size=2, max_size=2), min_size=1, max_size=8)


def rows_of(splitter: LineSplitter, pieces: Sequence[bytes]) -> list[bytes]:
    return [row for piece in pieces for row in splitter.feed(piece)] + splitter.end()


def said(splitter: LineSplitter, pieces: Sequence[bytes]) -> list[bytes] | str:
    """The rows, or the message of the error."""
    try:
        return rows_of(splitter, pieces)
    except InputError as exc:
        return str(exc)


def pieces_of(text: bytes, cuts: Sequence[int]) -> list[bytes]:
    at = sorted({0, len(text), *(cut % (len(text) + 1) for cut in cuts)})
    return [text[a:b] for a, b in pairwise(at)]


@given(TABLES, st.lists(st.integers(0, 10**6), max_size=6), st.sampled_from(["\n", "\r\n"]))
def test_csv_cut_anywhere_has_the_rows_that_were_written(table: list[list[str]], cuts: list[int], end: str) -> None:
    file = io.StringIO()
    csv.writer(file, lineterminator=end, quoting=csv.QUOTE_ALL).writerows(table)
    lines = rows_of(CsvSplitter(), pieces_of(file.getvalue().encode(), cuts))
    assert CsvRows(width=2).read(lines) == table


@given(st.binary(max_size=60), st.lists(st.integers(0, 60), max_size=5))
def test_any_bytes_cut_anywhere_give_the_same_rows(text: bytes, cuts: list[int]) -> None:
    for kind in (LineSplitter, CsvSplitter):
        assert said(kind(), pieces_of(text, cuts)) == said(kind(), [text])


@given(st.lists(st.binary(max_size=30), max_size=6))
def test_any_line_is_a_row_or_an_unreadable_line(lines: list[bytes]) -> None:
    lines = [line.replace(b"\n", b"") for line in lines]
    for row in CsvRows(width=3).read(lines):
        assert isinstance(row, UnreadableLine) or len(row) == 3
    assert len(JsonRows().read(lines)) == sum(bool(line) and not line.isspace() for line in lines)


def test_a_quote_that_is_never_closed_takes_no_other_row_with_it() -> None:
    lines = rows_of(CsvSplitter(), [b'1,2\n3,"4\n5,6\n7,8'])
    assert lines == [b"1,2", b'3,"4', b"5,6", b"7,8"]
    first, broken, *others = CsvRows(width=2).read(lines)
    assert isinstance(broken, UnreadableLine)
    assert (broken.reason, first, others) == ("a quote is not closed", ["1", "2"], [["5", "6"], ["7", "8"]])


def test_a_quoted_value_of_more_than_the_longest_row_is_given_up() -> None:
    lines = rows_of(CsvSplitter(longest=50), [b'a,"b\n', *[b"1,2\n"] * 20, b'"c,3\n'])
    assert len(lines) == 22
    assert lines[0] == b'a,"b'


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'1,"a"b', "text after a closing quote; double the quotes in a quoted value"),
        (b'1,"a', "a quote is not closed"),
        (b"1", "1 values, expected 2"),
        (b"1,2,3", "3 values, expected 2"),
        (b"1,\xff", "not UTF-8"),
        (b"1,2\r3", "a line end that is not in quotes"),
    ],
)
def test_a_broken_line_of_csv_has_a_reason_of_its_own(line: bytes, reason: str) -> None:
    first, broken, last = CsvRows(width=2).read([b"1,2", line, b"3,4"])
    assert isinstance(broken, UnreadableLine)
    assert (broken.reason, first, last) == (reason, ["1", "2"], ["3", "4"])


def test_empty_lines_are_skipped_but_in_one_column_they_are_cells() -> None:
    assert CsvRows(width=2).read([b"", b"1,2", b""]) == [["1", "2"]]
    assert CsvRows().read([b"a", b"1", b"", b"2"]) == [["1"], [""], ["2"]]


def test_a_byte_order_mark_is_no_part_of_the_first_row() -> None:
    for pieces in ([b"\xef\xbb\xbfa\n1"], [b"\xef", b"\xbb\xbf", b"a\n1"]):
        assert rows_of(LineSplitter(), pieces) == [b"a", b"1"]
    with pytest.raises(InputError, match=r"^line 1: begins with the byte order mark \(BOM\) of UTF-16 or UTF-32"):
        LineSplitter().feed("a\n".encode("utf-16"))


def test_a_row_that_is_too_long_is_refused_before_it_ends() -> None:
    splitter = LineSplitter(longest=10)
    splitter.feed(b"1\n2\n")
    with pytest.raises(InputError, match=r"^line 3: a row is longer than 10 bytes$"):
        splitter.feed(b"x" * 11)


def test_json_that_is_not_plain_is_an_unreadable_line() -> None:
    assert JsonRows().read([b"[1, null]", b" ", b'{"a": 1}', b"12345678901234567890123"]) == [
        [1, None],
        {"a": 1},
        12345678901234567890123,
    ]
    for line in (b"[NaN]", b"[1", b"[1]]", b"\xff", b"[" * 1000):
        [row] = JsonRows().read([line])
        assert isinstance(row, UnreadableLine)
        assert row.reason.startswith("not JSON: ")


def test_lines_of_a_quote_that_is_never_closed_are_looked_at_twice_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []

    def look(*given: Any) -> int:
        looks.append(given[2])
        return line_of_open_quote(*given)

    monkeypatch.setattr(text_lines, "line_of_open_quote", look)
    lines = [b'%d","b' % i for i in range(2000)]  # each leaves a quote open, whether one was open before or not
    splitter = CsvSplitter(longest=10_000)
    found = splitter.feed(b"\n".join(lines) + b"\n")
    assert splitter.held <= 10_000
    assert found + splitter.end() == lines
    assert len(looks) <= 2 * len(lines)
