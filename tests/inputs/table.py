"""One table with every input that people have, in all its forms, and every entry point that takes it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

FIRST = 2**53  # shops have numbers that float64 does not tell apart
KINDS = {"shop": "category"}
SETTINGS = [
    *("training.steps=40", "network.latent_dim=2", "network.hidden=[8]", "draws.default=4", "draws.maximum=16"),
    "data.kinds.shop=category",
]


def columns(n: int = 160, seed: int = 0) -> dict[str, list[Any]]:
    """Cells as Python has them: None where one is missing."""
    rng = np.random.default_rng(seed)
    load = rng.standard_normal(n)
    found: dict[str, list[Any]] = {
        "load": load.tolist(),
        "door_open": (load > 0.3).tolist(),
        "shop": [FIRST + int(k) for k in rng.integers(0, 4, n)],
        "took": [timedelta(milliseconds=int(250 * x)) for x in np.exp(load).round(3) * 40],
        "zip": [int(k) for k in rng.integers(10, 14, n) * 1000],
        "band": [f"({k}, {k + 1}]" for k in np.floor(load).astype(int)],
        "when": [datetime(2026, 1, 1) + timedelta(hours=7 * k % 53) for k in range(n)],
        "day": [date(2026, 1, 1) + timedelta(days=5 * k % 31) for k in range(n)],
        "serial": list(range(1000, 1000 + n)),
    }
    for name, row in (("load", 3), ("shop", 5), ("zip", 11), ("took", 17)):
        found[name][row] = None
    return found


MODELLED = ("load", "door_open", "shop", "took", "zip", "band")


def in_pandas(cells: dict[str, list[Any]]) -> pd.DataFrame:
    """With pandas' own types: nullable integers, categories of integers and of intervals, timedeltas, an index."""
    frame = pd.DataFrame(cells, index=range(7, 7 + 3 * len(cells["load"]), 3))
    frame["shop"] = pd.array(cells["shop"], dtype="Int64")
    if "took" in cells:
        frame["took"] = pd.to_timedelta(frame["took"])
    frame["zip"] = pd.array(cells["zip"], dtype="Int64")
    frame["zip"] = frame["zip"].astype("category")
    return frame


def with_intervals(cells: dict[str, list[Any]]) -> pd.DataFrame:
    """As in_pandas, with the intervals of pandas.cut."""
    frame = in_pandas(cells)
    left = [int(cell[1 : cell.index(",")]) for cell in cells["band"]]
    frame["band"] = pd.cut(np.array(left) + 0.5, range(-6, 7))
    return frame


def in_polars(cells: dict[str, list[Any]]) -> pl.DataFrame:
    """With polars' categories."""
    frame = pl.DataFrame(cells)
    return frame.with_columns(
        pl.col("zip").cast(pl.String).cast(pl.Categorical), pl.col("band").cast(pl.Enum(sorted(set(cells["band"]))))
    )


def in_arrow(cells: dict[str, list[Any]]) -> pa.Table:
    """With a dictionary of integers."""
    return pa.table({**cells, "zip": pa.array(cells["zip"], pa.int64()).dictionary_encode()})


def as_records(cells: dict[str, list[Any]]) -> list[dict[str, Any]]:
    """As `frame.to_dict("records")`; a category's cells are text."""
    cells = {**cells, "zip": [None if cell is None else str(cell) for cell in cells["zip"]]}
    return [dict(zip(cells, row, strict=True)) for row in zip(*cells.values(), strict=True)]


def as_series(cells: dict[str, list[Any]]) -> list[pd.Series]:
    """As `frame.iterrows()` gives them."""
    frame = pd.DataFrame(as_records(cells), dtype=object)
    return [row for _, row in frame.iterrows()]


FRAMES: dict[str, Callable[[dict[str, list[Any]]], Any]] = {
    "pandas": in_pandas,
    "pandas with intervals": with_intervals,
    "polars": in_polars,
    "pyarrow": in_arrow,
    "records": as_records,
    "series": as_series,
}


def csv_file(cells: dict[str, list[Any]], path: Path, **dialect: str) -> Path:
    """With the frame's index as an unnamed first column, and durations in seconds."""
    frame = in_pandas(cells)
    frame["took"] = frame["took"].dt.total_seconds()
    frame.to_csv(path, **dialect)
    return path


def semicolon_file(cells: dict[str, list[Any]], path: Path) -> Path:
    """As European spreadsheets write it."""
    return csv_file(cells, path, sep=";", decimal=",")


def parquet_file(cells: dict[str, list[Any]], path: Path) -> Path:
    """With pandas' index, which is not a plain range once rows have been filtered."""
    frame = in_pandas(cells)
    frame.index = pd.Index(np.arange(len(frame)) ** 2 % 1009)
    frame.to_parquet(path)
    assert "__index_level_0__" in pq.read_schema(path).names
    return path


def interval_file(cells: dict[str, list[Any]], path: Path) -> Path:
    """With pandas' intervals, which Parquet stores as pairs of their ends."""
    frame = with_intervals(cells)
    frame["band"] = pd.Series(pd.arrays.IntervalArray(frame["band"]), index=frame.index)
    frame.index = pd.Index(np.arange(len(frame)) ** 2 % 1009)
    frame.to_parquet(path)
    return path


def arrow_file(cells: dict[str, list[Any]], path: Path) -> Path:
    table = in_arrow(cells)
    with pa.ipc.new_file(path, table.schema) as writer:
        writer.write_table(table)
    return path


FILES: dict[str, tuple[str, Callable[[dict[str, list[Any]], Path], Path]]] = {
    "parquet": (".parquet", parquet_file),
    "parquet of intervals": (".parquet", interval_file),
    "arrow": (".arrow", arrow_file),
    "csv": (".csv", csv_file),
    "csv with semicolons": (".csv", semicolon_file),
}
