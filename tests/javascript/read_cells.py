"""Writes what Python makes of many cells and of the base draws, for the tests of the JavaScript scorer."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from vaekit.bundle import default_eps
from vaekit.bundle.draws import DrawsRule
from vaekit.bundle.input_spec import Column, Kind, LenientColumn
from vaekit.tabular.cells import read_cell

KINDS: tuple[Kind, ...] = ("real", "positive", "count", "fraction", "binary", "category")
LONG = ("9007199254740996", "9007199254740993", "red")  # whole numbers, of which float64 does not hold the second
SHORT = ("9007199254740996", "red")
LEVELS = ("1", "2.5", "9007199254740993", "red", "true", "2024-01-01T09:00:00", "12:30:00", "2024-05-01", "1e-7", "007")
TEXTS = """
NA nan NaN NAN null NULL None N/A - inf -Infinity 1e999 0x1F 1_0 \u0661 1,5 true True TRUE tRUE false yes -0 +1 1. .5
01 1e0 2.50 2024-01-01 2024-01-01T10:00:00+01:00 2024-02-31 red Red x 9007199254740993 9007199254740992 0.0000001 7
2024-01-01T09 2024-01-01T09:00 2024-01-01T09:00:00Z 2024-01-01T09:00:00.0 2024-01-01T08:30:00-0030 2024-05-01T00:00:00
0001-01-01T00:30:00+01 9999-12-31T23:30:00-01 2024-06-31T09:00:00+01 2024-01-01T25:00:00+01 12:30:00.000 12:30
-999 -999.0
"""
CELLS: list[Any] = [
    *("", " ", "2024-01-01 09:00:00", "1" * 400, *TEXTS.split(), *(f"\t {text}\u00a0" for text in TEXTS.split())),
    *(None, True, False, 0, 1, 7, -0.0, 0.5, 1.0, 2.5, -1.5, 1e-7, 1e300, -999, -999.5, np.nan, np.inf, -np.inf),
    *("9007199254740997", 2**53 + 5, 2**53 + 1, 2**53, -(2**63), 10**400, float(np.float32(-999.9))),
]
MISSING_VALUES: tuple[tuple[float | str, ...], ...] = ((), (-999.0, "x", -999.9))
# rule, K, Z: fewer draws than dimensions, as many, and more
DRAWS: tuple[tuple[DrawsRule, int, int], ...] = (
    ("first-k-centred-unit-moment", 16, 8),
    ("first-k-whitened", 4, 8),
    ("first-k-whitened", 8, 8),
    ("first-k-whitened", 64, 30),
)


def columns() -> list[Column]:
    found = []
    for kind, may, values in product(KINDS, (False, True), MISSING_VALUES):
        for levels in (LEVELS, LONG, SHORT) if kind == "category" else (None,):
            found.append(Column(name="a", kind=kind, levels=levels, may_be_missing=may, missing_values=values))
    return found


def write_cells(file: Path) -> None:
    """Write each column, the cells, and what each cell is to the column: a number, null if missing, or 'refused'."""
    cases = []
    for column in columns():
        for strict, own in ((True, column), (False, LenientColumn(**dict(column)))):
            read = [_read(cell, own) for cell in CELLS]
            cases.append({"column": column.model_dump(mode="json"), "strict": strict, "read": read})
    file.write_text(json.dumps({"cells": [_written(cell) for cell in CELLS], "cases": cases}), encoding="utf-8")


def _read(cell: Any, column: Column) -> float | str | None:
    found = read_cell(cell, column)
    return "refused" if isinstance(found, str) else None if found != found else found


def _written(cell: Any) -> Any:
    """A cell as JSON, with the numbers that JSON or JavaScript's numbers do not have as {"bigint": text} and so on."""
    if isinstance(cell, int) and not isinstance(cell, bool) and abs(cell) > 2**53:
        return {"bigint": str(cell)}
    return {"number": str(cell)} if isinstance(cell, float) and not np.isfinite(cell) else cell


def write_draws(file: Path) -> None:
    """Write base draws, and the default draws that follow from them by each rule."""
    cases = []
    for rule, k, z in DRAWS:
        base = np.random.default_rng(k + z).standard_normal((k + 3, z))
        eps = default_eps(base, k, rule).astype(np.float32)
        cases.append({"rule": rule, "k": k, "z": z, "base": base.ravel().tolist(), "eps": eps.ravel().tolist()})
    file.write_text(json.dumps(cases), encoding="utf-8")
