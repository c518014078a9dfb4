"""Measures what keys cost, and whether the time of a refusal tells which key was nearly right."""

from __future__ import annotations

import http.client
import statistics
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np
from scipy.stats import mannwhitneyu

from benchmarks.report import Figure, Measured, run_rounds
from benchmarks.serving import models
from benchmarks.serving.contenders import check, ours, require_all_answered
from benchmarks.serving.models import SMALL
from benchmarks.serving.plan import Plan
from benchmarks.serving.servers import Running, Server, started
from vaekit_service.keys.key import entry, line, new_key

CONNECTIONS = 32
OTHERS = 9  # keys beside that of the caller
TARGET = 0.95  # requests per CPU second with ten keys over those without keys
EXPIRED = datetime(2020, 1, 1, tzinfo=UTC)


def measure(plan: Plan) -> Measured:
    """Single rows of JSON without keys, with ten keys, and with a rate limit; then refusals over one connection."""
    key, expired = new_key(), new_key()
    own = line("own", entry(key, ["infer"])) + line("expired", entry(expired, ["infer"], EXPIRED))
    text = own + "".join(line(f"other-{i}", entry(new_key(), ["infer"])) for i in range(OTHERS - 1))
    open_server = ours(plan, SMALL)
    keyed = _with_keys(plan, open_server, "keys", text, key)
    limited = _with_keys(plan, open_server, "rate", text.replace("] }\n", '], rate = "1000000/second" }\n'), key)
    contenders = {
        name: partial(_rate, plan, server)
        for name, server in (("no keys", open_server), ("10 keys", keyed), ("10 keys, rate limit", limited))
    }
    found = run_rounds(contenders, plan.rounds)
    with started(keyed) as running:
        seconds = _refusals(running, key, expired, int(plan.pick(4_000, 1_000)))
    return Measured([*_costs(found), *_differences(seconds)], {"refusal_p50_us": _medians(seconds)})


def _with_keys(plan: Plan, server: Server, name: str, text: str, key: str) -> Server:
    file = plan.work / f"{name}.toml"
    file.write_text(text)
    return replace(
        server,
        command=(*server.command, "--keys-file", str(file)),
        ask=lambda x: replace(server.ask(x), key=key),
    )


def _rate(plan: Plan, server: Server) -> float:
    """Requests per CPU second of the server."""
    x = models.rows(SMALL)[:1]
    with started(server) as running:
        request = server.ask(x)
        check(running, request, plan.elbo(SMALL, x))
        found = running.load_per_cpu_second(request, CONNECTIONS, plan.seconds)
        return float(require_all_answered(running, found)["requests_per_cpu_second"])


def _costs(found: Mapping[str, list[float]]) -> list[Figure]:
    label, base = "D = 30, one row of JSON", found["no keys"]
    figures = []
    for name, rates in found.items():
        figures.append(Figure.of(f"{label}: {name}", rates, "requests/CPU s"))
        if rates is not base:
            shares = [a / b for a, b in zip(rates, base, strict=True)]
            target = TARGET if name == "10 keys" else None
            figures.append(Figure.of(f"{label}: {name} / no keys", shares, "times", target=target, better="higher"))
    return figures


def _refusals(running: Running, key: str, expired: str, times: int) -> dict[str, list[float]]:
    """Seconds of requests with each kind of refused key, in turn, over one connection."""
    last = "A" if key[-1] != "A" else "B"
    keys = {"unknown": new_key(), "all but its last letter": key[:-1] + last, "expired": expired}
    found: dict[str, list[float]] = {name: [] for name in keys}
    connection = http.client.HTTPConnection("127.0.0.1", running.port)
    for number in range(times):
        for name in list(keys)[number % 3 :] + list(keys)[: number % 3]:
            start = perf_counter()
            connection.request("GET", "/models/d30", headers={"authorization": f"Bearer {keys[name]}"})
            reply = connection.getresponse()
            reply.read()
            found[name].append(perf_counter() - start)
            assert reply.status == 401
    connection.close()
    return found


def _differences(seconds: Mapping[str, list[float]]) -> list[Figure]:
    """For each kind of key, the difference of its median from that of an unknown one, and the p-value of the ranks."""
    unknown, figures = seconds["unknown"], []
    for name, values in seconds.items():
        if values is not unknown:
            difference = 1e6 * (statistics.median(values) - statistics.median(unknown))
            p = float(mannwhitneyu(np.array(values), np.array(unknown)).pvalue)
            figures.append(Figure(f"401: {name}, p50 minus that of an unknown key", difference, "us"))
            figures.append(
                Figure(f"401: {name}, p-value of the same distribution", p, "", target=0.001, better="higher")
            )
    return figures


def _medians(seconds: Mapping[str, list[float]]) -> dict[str, Any]:
    return {name: round(1e6 * statistics.median(values), 1) for name, values in seconds.items()}
