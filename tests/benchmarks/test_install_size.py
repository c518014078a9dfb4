"""The table of benchmarks/install_size.py, and the page that shows it."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from benchmarks.install_size import SETS, Install, bytes_below, table
from tests.conftest import ROOT


def test_the_table_has_a_row_for_each_install() -> None:
    one = Install("cpu,hub", 12, 34.4, 120.6, 3.2, "numpy 17, onnxruntime 16, rich 1")
    assert table([one]).splitlines()[2] == (
        "| `cpu,hub` | 12 | 34 MB | 121 MB | 3 s | numpy 17, onnxruntime 16, rich 1 |"
    )


def test_links_are_not_counted_twice(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1234")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    assert bytes_below(tmp_path) == 4


def test_every_extra_but_those_for_gpus_and_developers_is_measured_and_on_the_page() -> None:
    extras = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"])
    measured = {extra for one in SETS for extra in one.split(",")} - {""}
    assert measured == extras - {"dev", "docs", "gpu"}
    page = (ROOT / "docs" / "how-to" / "install.md").read_text()
    assert set(re.findall(r"^\| `?([\w,]+)`? \| \d+ \| \d+ MB \|", page, re.MULTILINE)) == {
        one or "none" for one in SETS
    }
