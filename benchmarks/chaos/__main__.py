"""Disturbs a running service and counts what its callers notice, in one command.

    python -m benchmarks.chaos [--quick] [--only PART ...] --out build/benchmarks/chaos.json

Everything runs on this machine, on the loopback interface: the service on one core, the load generator on another.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.chaos import containers, fuzz, hostile, kills, soak, stops, swaps
from benchmarks.plan import Plan, in_temporary_folder
from benchmarks.report import Figure, Measured, measure_parts, publish

PARTS: dict[str, Callable[[Plan], Measured]] = {
    "swaps": swaps.measure,
    "kills": kills.measure,
    "fuzz": fuzz.measure,
    "soak": soak.measure,
    "hostile": hostile.measure,
    "stops": stops.measure,
    "containers": containers.measure,
}
PACKAGES = ["fastapi", "starlette", "uvicorn", "onnxruntime", "numpy"]


def main(arguments: Sequence[str]) -> None:
    """Measure part by part, write, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.chaos", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer disturbances")
    parser.add_argument("--only", nargs="+", choices=PARTS, metavar="PART", help=f"of: {', '.join(PARTS)}")
    parser.add_argument("--out", type=Path, default=Path("build/benchmarks/chaos.json"))
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as work:
        plan = Plan(options.quick, Path(work), None)
        measure_parts(
            {name: partial(in_temporary_folder, PARTS[name], plan) for name in options.only or PARTS},
            partial(_publish, options.out, plan),
        )


def _publish(out: Path, plan: Plan, figures: list[Figure], facts: dict[str, Any]) -> None:
    publish(out, "A disturbed service", figures, PACKAGES, quick=plan.quick, **facts)


if __name__ == "__main__":
    main(sys.argv[1:])
