"""Checks that hang-ups of some callers do not affect others, and leave no request or row behind in the service."""

from __future__ import annotations

import json
import re
import time
from typing import Any

from benchmarks.report import Figure, Measured
from benchmarks.serving import models, servers
from benchmarks.serving.contenders import json_request, npy_request, ours
from benchmarks.serving.models import SMALL, K
from benchmarks.serving.plan import Plan
from benchmarks.serving.servers import Request, Running, started

CONNECTIONS = 32
SINGLES, BULK_ROWS = 15, 512  # number of requests of one row, and rows of the one large request between them
# Values of an idle service; the scrape itself is a request in flight.
GAUGES = {"vae_http_requests_in_flight": 1.0, "vae_queue_rows": 0.0}
SETTLE_SECONDS = 5.0  # until the gauges must be idle


def measure(plan: Plan) -> Measured:
    """Run the callers. The ELBO of every case is known, so that a reply sent to the wrong caller is detected."""
    requests = plan.pick(50_000, 5_000)
    source = plan.work / "cases.json"
    source.write_text(json.dumps(_cases(plan)))
    with started(ours(plan, SMALL)) as running:
        arguments = [str(running.port), str(source), str(CONNECTIONS), str(requests)]
        found = servers.run_pinned("serving.hang_ups", arguments, core=servers.LOAD_CORE)
        del found["seconds"]
        gauges_left = _settled_gauges(running)
    return Measured(_figures(found, gauges_left), {"outcomes": found, "gauges_afterwards": gauges_left})


def _cases(plan: Plan) -> list[dict[str, Any]]:
    rows = models.rows(SMALL)
    want = plan.elbo(SMALL, rows[: SINGLES + BULK_ROWS])
    cases = [_case(json_request(rows[i : i + 1], num_samples=K), want[i : i + 1].tolist()) for i in range(SINGLES)]
    bulk = slice(SINGLES, SINGLES + BULK_ROWS)
    return [*cases, _case(npy_request(rows[bulk], "application/json"), want[bulk].tolist())]


def _case(request: Request, elbo: list[float]) -> dict[str, Any]:
    return {"request": request.wire().decode("latin-1"), "elbo": elbo}


def _settled_gauges(running: Running) -> dict[str, float]:
    """The gauges once they are idle, at the latest after SETTLE_SECONDS. /readyz must return 200."""
    end = time.monotonic() + SETTLE_SECONDS
    while (found := gauges(running.get("/metrics").decode())) != GAUGES and time.monotonic() < end:
        time.sleep(0.1)
    running.get("/readyz")
    return found


def gauges(text: str) -> dict[str, float]:
    """The values of GAUGES in a scrape."""
    return {name: float(re.findall(rf"^{name} (\S+)$", text, re.MULTILINE)[0]) for name in GAUGES}


def _figures(found: dict[str, int], left: dict[str, float]) -> list[Figure]:
    cut = sum(count for outcome, count in found.items() if outcome.startswith("cut"))
    hung, right = found.get("hung", 0), found.get("right", 0)
    wrong = sum(found.values()) - cut - hung - right
    rest = sum(abs(left[name] - at_rest) for name, at_rest in GAUGES.items())
    return [
        Figure("hang-ups: requests of others that hung", hung, "requests", target=0.0),
        Figure("hang-ups: requests of others lost, refused or answered wrongly", wrong, "requests", target=0.0),
        Figure("hang-ups: requests and rows still held afterwards", rest, "held", target=0.0),
        Figure("hang-ups: requests hung up on", cut, "requests"),
        Figure("hang-ups: requests answered", right, "requests"),
    ]
