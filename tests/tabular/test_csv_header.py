"""What the header of a .csv file is refused for."""

from __future__ import annotations

import io

import pytest

from vaekit.errors import InputError
from vaekit.tabular.csv_text import header


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("a,é\n1,x\n".encode("latin-1"), "rows.csv: the header is not UTF-8 text"),
        ("a,b\n1,x\n2,é\n".encode("latin-1"), "rows.csv: line 3 is not UTF-8 text"),
        ("a,b\n1,2\n".encode("utf-16"), "rows.csv: the header is not UTF-8 text"),
        (b"PK\x03\x04\x14\x00\xff\xfe", "rows.csv: an Excel workbook: save it as CSV (UTF-8)"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "rows.csv: an Excel workbook: save it as CSV (UTF-8)"),
    ],
)
def test_bytes_that_are_not_utf8_are_named_by_their_line(content: bytes, said: str) -> None:
    with pytest.raises(InputError) as caught:
        header(lambda: io.BytesIO(content), "rows.csv")
    assert str(caught.value).startswith(said)
