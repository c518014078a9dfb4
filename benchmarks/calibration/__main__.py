"""Tests p-values on labelled sets: mean false-alarm rates, distributions of counts, and the effect of row order.

    python -m benchmarks.calibration --data DIR [--quick] [--jobs N] --out build/benchmarks/calibration.json

DIR holds NAME.npz with X (n, D) and y (n,), 0 for normal rows. Half of a set's normal rows train the default recipe for
a few hundred steps; more are not needed, because the distributions hold for every model. laws.py describes the tests.
"""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from rich.progress import track

from benchmarks.calibration.arm import TAIL_LEVEL, TAIL_ROWS
from benchmarks.calibration.laws import LEVEL
from benchmarks.calibration.plot import draw
from benchmarks.calibration.set_result import SetResult, figures, tail_figures
from benchmarks.detection.sets import names
from benchmarks.processes import run_arm
from benchmarks.report import Figure, publish

PACKAGES = ["torch", "numpy", "scipy"]
QUICK_SETS, QUICK = 3, {"steps": 40, "models": 2, "resplits": 20}


def main(arguments: list[str]) -> None:
    """Measure every set, write and print the results. Failed sets are named and counted."""
    options = _parser().parse_args(arguments)
    chosen = options.sets or names(options.data)[: QUICK_SETS if options.quick else None]
    amounts = QUICK if options.quick else {name: getattr(options, name) for name in QUICK}
    settings = [word for name, value in amounts.items() for word in (f"--{name}", str(value))]
    one = partial(_measure, options.data, [*settings, "--most-rows", str(options.most_rows)])
    with ThreadPoolExecutor(options.jobs) as pool:
        done = list(track(pool.map(one, chosen), "sets", len(chosen)))
    found = [one for one in done if isinstance(one, SetResult)]
    failed = {name: one for name, one in zip(chosen, done, strict=True) if isinstance(one, str)}
    made = [*figures(found), *tail_figures(found, f"p_value_tail <= {TAIL_LEVEL:g} from {TAIL_ROWS} rows")]
    made.append(Figure("failed", len(failed), f"sets of {len(chosen)}", target=0))
    facts = {"quick": options.quick, **amounts, "most_rows": options.most_rows, "level": LEVEL, "failed": failed}
    publish(options.out, "False alarms", made, PACKAGES, **facts, sets=[one.facts() for one in found])
    if found:
        print(f"Written: {draw(options.out.with_name(f'{options.out.stem}-order.png'), found)}")


def _measure(folder: Path, settings: list[str], name: str) -> SetResult | str:
    """The result of a set, or the error message if it failed."""
    try:
        return SetResult.of(name, run_arm("calibration.arm", [str(folder), name, *settings]))
    except SystemExit as exc:
        return str(exc)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.calibration", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of NAME.npz with X and y")
    parser.add_argument("--sets", nargs="+", metavar="NAME", help="only these sets")
    parser.add_argument("--quick", action="store_true", help=f"the {QUICK_SETS} smallest sets, {QUICK}")
    parser.add_argument(
        "--jobs", type=int, default=1, help="number of sets measured at the same time, each in its own process"
    )
    parser.add_argument("--steps", type=int, default=300, help="training steps")
    parser.add_argument("--models", type=int, default=3, help="models per set, each with a new random split")
    parser.add_argument("--resplits", type=int, default=100, help="resplits of the first model's held-out rows")
    parser.add_argument(
        "--most-rows", type=int, default=10_000, help="largest number of normal rows; larger sets are sampled"
    )
    parser.add_argument("--out", type=Path, default=Path("build/benchmarks/calibration.json"))
    return parser


if __name__ == "__main__":
    main(sys.argv[1:])
