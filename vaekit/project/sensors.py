"""Simulated sensors of three pumps: rows of normal operation, and new rows with known faults. N rows."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import datetime, timedelta
from io import StringIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

NORMAL_ROWS, NEW_ROWS = 1200, 200
ROWS_PER_DAY = 96  # one row per quarter of an hour
START = datetime(2026, 1, 5)  # by the clock of the plant
DECIMALS = {
    "load": 3,
    "speed_rpm": 0,
    "pressure_bar": 2,
    "flow_m3_h": 2,
    "temperature_c": 1,
    "current_a": 2,
    "vibration_mm_s": 2,
}
# row of the new data: name of the fault, column, factor, shift. Every value stays in the range of normal rows: only
# beside the other columns it is wrong.
FAULTS = {
    9: ("blocked filter", "flow_m3_h", 0.88, 0.0),
    17: ("worn bearing", "vibration_mm_s", 1.5, 0.0),
    41: ("overheating", "temperature_c", 1.0, 8.0),
    42: ("overheating", "temperature_c", 1.0, 9.0),
    88: ("slipping belt", "speed_rpm", 1.0, -70.0),
    101: ("leak", "pressure_bar", 0.85, 0.0),
    102: ("leak", "pressure_bar", 0.82, 0.0),
    106: ("worn bearing", "vibration_mm_s", 1.8, 0.0),
    151: ("overheating", "temperature_c", 1.0, 10.0),
    163: ("blocked filter", "flow_m3_h", 0.86, 0.0),
    190: ("short circuit", "current_a", 1.0, 3.0),
}


def normal_csv() -> str:
    """Rows of normal operation, with a header."""
    rows = _rows(NORMAL_ROWS, seed=0, first=0)
    return _csv(rows)


def new_csv() -> str:
    """Later rows, with a header; column `fault` says what is wrong with a row, and is empty for the others."""
    rows = _rows(NEW_ROWS, seed=1, first=NORMAL_ROWS)
    faults = [""] * NEW_ROWS
    for row, (fault, column, factor, shift) in FAULTS.items():
        faults[row] = fault
        rows[column][row] = rows[column][row] * factor + shift
    return _csv({**rows, "fault": faults})


def _rows(n: int, *, seed: int, first: int) -> dict[str, Any]:
    """Columns (N,) by name; the load follows the time of the day, and the other columns follow the load."""
    random = np.random.default_rng(seed)
    times = [START + timedelta(days=1) * (row / ROWS_PER_DAY) for row in range(first, first + n)]
    pump = random.integers(0, 3, n)
    of_day = 2 * np.pi * np.arange(first, first + n) / ROWS_PER_DAY
    load = np.clip(0.55 + 0.3 * np.sin(of_day) + random.normal(0, 0.08, n), 0.05, 1.0)
    speed = 900 + 600 * load + np.array([0, -20, 15])[pump] + random.normal(0, 8, n)
    pressure = 1.5 + 4.5 * (speed / 1500) ** 2 + np.array([0, 0.3, -0.2])[pump] + random.normal(0, 0.05, n)
    return {
        "time": [time.isoformat(sep=" ", timespec="minutes") for time in times],
        "pump": [f"pump-{number + 1}" for number in pump],
        "load": load,
        "speed_rpm": speed,
        "pressure_bar": pressure,
        "flow_m3_h": 0.026 * speed * (1 - 0.03 * (pressure - 4)) + random.normal(0, 0.4, n),
        "temperature_c": 34 + 26 * load + np.array([0, 2, 4])[pump] + random.normal(0, 0.8, n),
        "current_a": 4 + 17 * load + random.normal(0, 0.3, n),
        "vibration_mm_s": np.exp(0.2 + 0.5 * (speed / 1500) ** 2 + random.normal(0, 0.12, n)),
    }


def _csv(columns: dict[str, Any]) -> str:
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*(_cells(name, values) for name, values in columns.items()), strict=True))
    return text.getvalue()


def _cells(name: str, values: NDArray[np.float64] | list[str]) -> Iterator[str]:
    if name not in DECIMALS:
        return iter(map(str, values))
    return (f"{value:.{DECIMALS[name]}f}" for value in values)
