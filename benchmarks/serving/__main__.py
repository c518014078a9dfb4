"""Compares the service with other servers and with the graph alone, in one command.

    python -m benchmarks.serving [--quick] [--only PART ...] --out build/benchmarks/serving.json

The server runs on one core and the load generator on another. All contenders serve the same weights with two draws per
row, in interleaved rounds. Before a contender is measured, it must return the same ELBO as the graph. Peers are
installed by pip into their own environments.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.report import Figure, Measured, measure_parts, publish
from benchmarks.serving import (
    baselines,
    commits,
    disconnects,
    hostile,
    keys,
    overload,
    peer_comparison,
    score_log,
    stream,
    sweep,
    torch_comparison,
    v2,
)
from benchmarks.serving.models import K
from benchmarks.serving.plan import Plan

PARTS: dict[str, Callable[[Plan], Measured]] = {
    "peers": peer_comparison.measure,
    "v2": v2.measure,
    "torch": torch_comparison.measure,
    "bulk": baselines.bulk,
    "latency": baselines.latency,
    "open": overload.measure,
    "stream": stream.measure,
    "disconnects": disconnects.measure,
    "idle": baselines.idle,
    "keys": keys.measure,
    "observability": commits.observability,
    "commits": commits.commits,
    "score-log": score_log.measure,
    "protocols": hostile.protocols,
    "hostile": hostile.measure,
}
PACKAGES = ["fastapi", "starlette", "uvicorn", "torch", "onnxruntime", "numpy"]


def main(arguments: Sequence[str]) -> None:
    """Measure part by part, write, print; results are written even if a later part fails."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.device != "cpu" and options.only != ["torch"]:
        parser.error("--device: only the part 'torch' runs on a GPU; add --only torch")
    parts = options.only or [name for name in PARTS if name != "commits" or options.before]
    if "commits" in parts and options.before is None:
        parser.error("--only commits: add --before COMMIT")
    with tempfile.TemporaryDirectory() as work:
        peers = None if options.no_peers else options.peers
        plan = Plan(options.quick, Path(work), peers, options.before, options.device)
        measure_parts({name: partial(PARTS[name], plan) for name in parts}, partial(_publish, options.out, plan))


def _publish(out: Path, plan: Plan, figures: list[Figure], facts: dict[str, Any]) -> None:
    publish(out, "The service", figures, PACKAGES, quick=plan.quick, num_samples=K, **facts)
    if "peers" in facts:
        points = [sweep.Point(**point) for point in facts["peers"]["sweep"]]
        plot = out.with_name(f"{out.stem}-connections.png")
        sweep.publish(plot, "One row of JSON per request, 784 columns, one core", points)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds, fewer loads")
    parser.add_argument("--only", nargs="+", choices=PARTS, metavar="PART", help=f"of: {', '.join(PARTS)}")
    parser.add_argument("--out", type=Path, default=Path("build/benchmarks/serving.json"))
    parser.add_argument("--peers", type=Path, default=Path("build/benchmarks/peers"), help="the peers' environments")
    parser.add_argument(
        "--device", default="cpu", help="cpu or cuda[:index] for the part 'torch'; the others run on a CPU"
    )
    parser.add_argument("--before", metavar="COMMIT", help="the commit that the part 'commits' compares with")
    parser.add_argument("--no-peers", action="store_true", help="leave LitServe, MLServer, BentoML and Ray Serve out")
    return parser


if __name__ == "__main__":
    main(sys.argv[1:])
