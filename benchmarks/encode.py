"""Measures the time to convert rows to an array: vaekit.tabular.encode against two simple implementations.

python -m benchmarks.encode [--quick] --out build/benchmarks/encode.json
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, FiniteFloat, TypeAdapter

from benchmarks.report import Figure, interleave, publish
from vaekit.bundle import VectorSpec
from vaekit.bundle.input_spec import Column
from vaekit.tabular import encode

N, D = 10_000, 30
TARGET_MS = 50.0
_STRICT = ConfigDict(strict=True)
_LISTS = TypeAdapter(list[list[FiniteFloat]], config=_STRICT)
_OBJECTS = TypeAdapter(list[dict[str, FiniteFloat]], config=_STRICT)


def cell_by_cell_lists(rows: list[list[float]], names: tuple[str, ...]) -> NDArray[np.float64]:
    """Check and copy cell by cell, (N, D)."""
    x = np.empty((len(rows), len(names)))
    for i, row in enumerate(rows):
        if len(row) != len(names):
            raise ValueError(f"row {i}: {len(row)} values")
        for d, value in enumerate(row):
            x[i, d] = _finite(value, i, names[d])
    return x


def cell_by_cell_objects(rows: list[dict[str, float]], names: tuple[str, ...]) -> NDArray[np.float64]:
    """Like the function for lists, but for objects by column name, (N, D)."""
    x = np.empty((len(rows), len(names)))
    for i, row in enumerate(rows):
        if len(row) != len(names):
            raise ValueError(f"row {i}: {len(row)} values")
        for d, name in enumerate(names):
            x[i, d] = _finite(row[name], i, name)
    return x


def _finite(value: float, row: int, name: str) -> float:
    if type(value) not in (int, float) or not math.isfinite(value):
        raise ValueError(f"row {row}, feature {name!r}: {value!r}")
    return value


def pydantic_lists(rows: list[list[float]], names: tuple[str, ...]) -> NDArray[np.float64]:
    """pydantic checks, numpy copies, (N, D)."""
    x = np.array(_LISTS.validate_python(rows))
    if x.shape[1:] != (len(names),):
        raise ValueError(f"shape {x.shape}")
    return x


def pydantic_objects(rows: list[dict[str, float]], names: tuple[str, ...]) -> NDArray[np.float64]:
    """Like the function for lists, but for objects by column name, (N, D)."""
    return np.array([[row[name] for name in names] for row in _OBJECTS.validate_python(rows)])


def contenders() -> dict[str, Callable[[], NDArray[Any]]]:
    """Each implementation by name, called on the same 10,000 x 30 rows."""
    spec = VectorSpec(columns=tuple(Column(name=f"sensor {d}") for d in range(D)))
    array = np.random.default_rng(0).normal(size=(N, D)) * np.logspace(-3, 6, D)  # (N, D)
    lists = array.tolist()
    objects = [dict(zip(spec.names, row, strict=True)) for row in lists]
    return {
        "array, vaekit": lambda: encode(array, spec),
        "lists, vaekit": lambda: encode(lists, spec),
        "lists, pydantic + np.array": lambda: pydantic_lists(lists, spec.names),
        "lists, cell by cell": lambda: cell_by_cell_lists(lists, spec.names),
        "objects, vaekit": lambda: encode(objects, spec),
        "objects, pydantic + np.array": lambda: pydantic_objects(objects, spec.names),
        "objects, cell by cell": lambda: cell_by_cell_objects(objects, spec.names),
    }


def check_equal(implementations: dict[str, Callable[[], NDArray[Any]]]) -> None:
    """Stop unless all implementations return the same array, bit for bit."""
    want = implementations["array, vaekit"]()
    for name, run in implementations.items():
        if not np.array_equal(run(), want):
            raise SystemExit(f"{name} returns another array than vaekit")


def measure(rounds: int) -> list[Figure]:
    """Milliseconds of each implementation, then the ratios of the simple ones to vaekit, round by round."""
    implementations = contenders()
    check_equal(implementations)
    seconds = interleave(implementations, rounds)
    times = [
        Figure.of(name, [1e3 * s for s in taken], "ms", target=TARGET_MS if "vaekit" in name else None)
        for name, taken in seconds.items()
    ]
    ratios = []
    for name, taken in seconds.items():
        kind, implementation = name.split(", ")
        if implementation != "vaekit":
            pairs = zip(taken, seconds[f"{kind}, vaekit"], strict=True)
            ratios.append(
                Figure.of(f"{kind}: {implementation} / vaekit", [plain / ours for plain, ours in pairs], "times")
            )
    return times + ratios


def main(arguments: list[str]) -> None:
    """Measure, write, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.encode", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="3 rounds instead of 15")
    parser.add_argument("--out", type=Path, default=Path("build/benchmarks/encode.json"))
    options = parser.parse_args(arguments)
    rounds = 3 if options.quick else 15
    figures = measure(rounds)
    publish(options.out, f"{N:,} x {D} rows to float64, {rounds} rounds", figures, ["numpy", "pydantic"], rounds=rounds)


if __name__ == "__main__":
    main(sys.argv[1:])
