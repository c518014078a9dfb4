"""Which cells of an explanation are reasons: the page decides by the same table of cases."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.conftest import ROOT
from vaekit.tabular.explained_cells import is_odd

SHARED = json.loads((ROOT / "tests/page/node/odd_cells.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("kind", "changes", "odd"), [case[1:] for case in SHARED["cases"]], ids=[case[0] for case in SHARED["cases"]]
)
def test_a_cell_unlike_what_is_expected_is_a_reason(kind: str, changes: dict[str, Any], odd: bool) -> None:
    assert is_odd(SHARED[kind] | changes) is odd
