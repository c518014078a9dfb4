"""Compares the trainer with other trainers and with targets, in one command.

    python -m benchmarks.training [--quick] [--data DIR] [--only PART ...] --out build/benchmarks/training.json

Peers are installed by pip into their own environments. DIR holds mnist_train.npz and mnist_test.npz with arrays of
images, (n, 28, 28) uint8; without --data the part `density` is left out.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.plan import Plan, in_temporary_folder
from benchmarks.report import Measured, measure_parts, publish
from benchmarks.training import density, memory, quadrature, ranks, rescaling, resume, throughput

PARTS: dict[str, Callable[[Plan], Measured]] = {
    "quadrature": quadrature.measure,
    "rescaling": rescaling.measure,
    "ranks": ranks.measure,
    "resume": resume.measure,
    "throughput": throughput.measure,
    "ensemble": throughput.ensemble,
    "memory": memory.measure,
    "density": density.measure,
}
PACKAGES = ["torch", "onnxruntime", "numpy", "pyarrow"]


def main(arguments: list[str]) -> None:
    """Measure part by part, write, print; results are written even if a later part fails."""
    options = _parser().parse_args(arguments)
    plan = Plan(options.quick, options.work, None if options.no_peers else options.peers, options.data)
    measure_parts(
        {name: partial(in_temporary_folder, PARTS[name], plan) for name in options.only or PARTS},
        lambda figures, facts: publish(options.out, "The trainer", figures, PACKAGES, quick=options.quick, **facts),
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="smaller sizes with other targets; takes minutes")
    parser.add_argument("--data", type=Path, help="folder with mnist_train.npz and mnist_test.npz")
    parser.add_argument("--only", nargs="+", choices=PARTS, metavar="PART", help=f"of: {', '.join(PARTS)}")
    parser.add_argument("--out", type=Path, default=Path("build/benchmarks/training.json"))
    parser.add_argument("--work", type=Path, default=Path("build/benchmarks"), help="folder for generated data")
    parser.add_argument("--peers", type=Path, default=Path("build/benchmarks/peers"), help="the peers' environments")
    parser.add_argument("--no-peers", action="store_true", help="leave pythae and PyOD out")
    return parser


if __name__ == "__main__":
    main(sys.argv[1:])
