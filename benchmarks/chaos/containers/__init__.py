"""Disturbs the service in containers of a real Docker engine."""

from __future__ import annotations

import sys

from benchmarks.chaos.containers import rolling, single, sizing
from benchmarks.chaos.containers.stack import build_all, has_engine
from benchmarks.plan import Plan
from benchmarks.report import Measured

PARTS = (rolling.measure, single.kills, single.stops, single.many_models, sizing.measure)


def measure(plan: Plan) -> Measured:
    """All parts with containers; without a Docker engine no figures, and a line that says so."""
    if not has_engine():
        sys.stderr.write("containers: skipped, because no Docker engine answers or docker-compose is missing\n")
        return Measured([], {"skipped": "no Docker engine"})
    build_all()
    measured = [part(plan) for part in PARTS]
    facts = {name: fact for one in measured for name, fact in one.facts.items()}
    return Measured([figure for one in measured for figure in one.figures], facts)
