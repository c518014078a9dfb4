"""Measures batch scoring in one command.

    python -m benchmarks.scoring [--quick] [--rows N] [--only PART ...] --out build/benchmarks/scoring.json

PyOD is installed by pip into its own environment; --no-peers leaves it out. --rows is the number of rows of the part
`scale`, whose output needs about 60 bytes of disk per row. `--only card` needs a CUDA device.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.plan import Plan, in_temporary_folder
from benchmarks.report import Measured, measure_parts, publish
from benchmarks.scoring import card, cluster, kill, scale, throughput

PARTS: dict[str, Callable[[Plan], Measured]] = {
    "throughput": throughput.measure,
    "scale": scale.measure,
    "kill": kill.measure,
    "cluster": cluster.measure,
    "card": card.measure,
}
DEFAULT_PARTS = [name for name in PARTS if name != "card"]  # "card" needs a GPU
PACKAGES = ["onnxruntime", "numpy", "pyarrow", "ray"]


def main(arguments: list[str]) -> None:
    """Measure part by part, write, print; results are written even if a later part fails."""
    options = _parser().parse_args(arguments)
    parts: dict[str, Callable[[Plan], Measured]] = {**PARTS, "scale": partial(scale.measure, n=options.rows)}
    plan = Plan(options.quick, options.work, None if options.no_peers else options.peers)
    measure_parts(
        {name: partial(in_temporary_folder, parts[name], plan) for name in options.only},
        lambda figures, facts: publish(options.out, "Batch scoring", figures, PACKAGES, quick=options.quick, **facts),
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scoring", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="smaller sizes; takes minutes")
    parser.add_argument("--rows", type=int, help="rows of `scale` (default 10^8, with --quick 200,000)")
    known = ", ".join(PARTS)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=DEFAULT_PARTS, metavar="PART", help=f"of: {known}")
    parser.add_argument("--out", type=Path, default=Path("build/benchmarks/scoring.json"))
    parser.add_argument("--work", type=Path, default=Path("build/benchmarks"), help="folder for generated data")
    parser.add_argument("--peers", type=Path, default=Path("build/benchmarks/peers"), help="the peers' environments")
    parser.add_argument("--no-peers", action="store_true", help="leave PyOD out")
    return parser


if __name__ == "__main__":
    main(sys.argv[1:])
