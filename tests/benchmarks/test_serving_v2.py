"""The part of the serving benchmark about the Open Inference Protocol: all requests get the ELBO of the graph."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.serving import models, v2
from benchmarks.serving.contenders import check, npy_request
from benchmarks.serving.models import LARGE, K
from benchmarks.serving.plan import Plan
from benchmarks.serving.servers import Running, started

TINY = models.Shape(5, 8, 3)


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    folder = tmp_path_factory.mktemp("serving")
    plan = Plan(True, folder)
    plan.__dict__["bundles"] = {TINY: models.make(TINY, folder)}
    return plan


@pytest.mark.slow
def test_json_and_bytes_give_the_elbo_of_the_graph(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each load checks that by itself; here the loads are left out."""
    answered = {"requests_per_second": 1.0, "requests_per_cpu_second": 2.0, "statuses": {"200": 1}}
    monkeypatch.setattr(Running, "load_per_cpu_second", lambda *_: answered)
    monkeypatch.setattr(v2, "BINARY_ROWS", (1, 7))
    monkeypatch.setattr(v2, "JSON_ROWS", (1, 7))
    assert set(v2._binary(plan, TINY)) == {"V2 1", "npy 1", "V2 7", "npy 7"}
    assert set(v2._json(plan, TINY, v2.as_v2(plan, TINY))) == {"1", "7"}
    x = models.rows(TINY, 7)
    server = v2.as_v2(plan, TINY, binary=True)
    with started(server) as running, pytest.raises(SystemExit, match="returns"):
        check(running, server.ask(x), plan.elbo(TINY, x) + 1.0)


def test_the_requests_have_the_same_rows_and_number_of_draws() -> None:
    x = models.rows(TINY, 3)
    as_json, as_bytes = v2.json_request(x, model="m"), v2.binary_request(x, model="m")
    body = json.loads(as_json.body)
    np.testing.assert_array_equal(np.reshape(body["inputs"][0]["data"], (3, 5)), x)
    length = int(as_bytes.more[v2.LENGTH])
    head = json.loads(as_bytes.body[:length])
    np.testing.assert_array_equal(np.frombuffer(as_bytes.body[length:]).reshape(3, 5), x)
    np.testing.assert_array_equal(np.load(io.BytesIO(npy_request(x).body)), x)
    assert body["parameters"]["num_samples"] == head["parameters"]["num_samples"] == K
    assert as_json.path == as_bytes.path == "/v2/models/m/infer"


def found(rate: float) -> dict[str, Any]:
    one = {"requests_per_second": rate, "requests_per_cpu_second": 2 * rate}
    names = [str(n) for n in v2.JSON_ROWS] + [f"{name} {n}" for n in v2.BINARY_ROWS for name in ("V2", "npy")]
    return dict.fromkeys(names, one)


def test_figures_are_medians_of_the_ratios_of_each_round() -> None:
    runs = {"vaekit": [found(300.0), found(310.0)], v2.PEER: [found(100.0), found(100.0)]}
    ratio, per_cpu, ours, theirs, *_ = v2.json_figures(LARGE, runs)
    assert (ratio.name, ratio.value, ratio.met) == ("V2, JSON, D = 784, 1 row: vaekit / MLServer", 3.05, True)
    assert (per_cpu.value, ours.value, theirs.value) == (3.05, 305.0, 100.0)
    ratio = v2.binary_figures(LARGE, [found(5.0)])[0]
    assert (ratio.name, ratio.value, ratio.met) == ("V2, bytes, D = 784, 1 row: V2 / npy", 1.0, True)


def test_peers_are_left_out_if_they_are_not_wanted(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(v2, "_binary", lambda *_: found(1.0))
    assert all("MLServer" not in figure.name for figure in v2.measure(plan).figures)


def test_the_elbo_is_found_among_outputs_in_bytes() -> None:
    kl, elbo = np.array([1.0, 2.0]), np.array([3.0, 4.0])
    outputs = [{"name": name, "shape": [2], "parameters": {"binary_data_size": 16}} for name in ("kl", "elbo")]
    reply = json.dumps({"outputs": outputs}).encode() + kl.tobytes() + elbo.tobytes()
    assert v2.from_bytes(reply) == [3.0, 4.0]


def test_the_reference_names_the_part() -> None:
    page = Path(__file__).parents[2] / "docs" / "reference" / "benchmarks" / "serving.md"
    assert "| `v2` |" in page.read_text(encoding="utf-8")
