"""Compares the service with torch, eager and compiled, on one device.

python -m benchmarks.serving --only torch --device cuda
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from benchmarks.report import Measured, run_rounds
from benchmarks.serving.contenders import ours, plain
from benchmarks.serving.models import LARGE
from benchmarks.serving.peer_comparison import ROW, ROWS, Found, compared, measure_server
from benchmarks.serving.plan import Plan


def measure(plan: Plan) -> Measured:
    """D = 784 over 32 connections, with one and eight rows per request; on a GPU also its utilisation."""
    contending = [ours(plan, LARGE), plain(plan, LARGE), plain(plan, LARGE, compiled=True)]
    contenders: dict[str, Callable[[], Found]] = {
        server.name: partial(measure_server, plan, LARGE, server, [ROW, ROWS]) for server in contending
    }
    found = run_rounds(contenders, plan.rounds)
    return Measured([*compared(LARGE, ROW, found), *compared(LARGE, ROWS, found)], {"device": plan.device})
