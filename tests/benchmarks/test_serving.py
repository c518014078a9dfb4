"""The serving benchmark: contenders return the same results, and a contender with other results is not measured."""

from __future__ import annotations

import ast
import io
import json
import shutil
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.processes import ROOT
from benchmarks.report import Figure, Measured
from benchmarks.serving import __main__ as serving
from benchmarks.serving import commits, contenders, disconnects, models, overload, peer_comparison, sweep
from benchmarks.serving.arms import graph
from benchmarks.serving.arms.plain import Vae
from benchmarks.serving.gpu import gpu_utilisation
from benchmarks.serving.models import K
from benchmarks.serving.plan import Plan
from benchmarks.serving.servers import Running, Server, children, started
from vaekit._version import __version__
from vaekit.runtime import Model

TINY = models.Shape(5, 8, 3)


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    folder = tmp_path_factory.mktemp("serving")
    plan = Plan(True, folder)
    plan.__dict__["bundles"] = {TINY: models.make(TINY, folder)}
    return plan


def test_the_plain_server_and_the_graph_return_the_elbo_of_the_service(plan: Plan) -> None:
    x = models.rows(TINY, 20)
    with Model.load(plan.bundles[TINY], device="cpu") as model:
        want = model.elbo(x, num_samples=K)
    plain = Vae(str(plan.work / "d5.npz")).elbo(x.tolist())
    alone = graph.Graph(*plan.files(TINY))(x)
    for name in graph.OUTPUTS:
        np.testing.assert_allclose(alone[name], getattr(want, name), rtol=1e-6)
    for name, values in plain.items():
        np.testing.assert_allclose(values, getattr(want, name), rtol=1e-4, atol=1e-3)


def test_requests_that_are_run_together_get_their_own_results(plan: Plan) -> None:
    x = models.rows(TINY, 6)
    alone = graph.Graph(*plan.files(TINY))
    for part, found in zip((x[:1], x[1:4], x[4:]), alone.each([x[:1], x[1:4], x[4:]]), strict=True):
        assert json.loads(json.dumps(found)) == found
        np.testing.assert_allclose(found["elbo"], alone(part)["elbo"], rtol=1e-6)


@pytest.mark.slow
def test_the_compiled_plain_server_returns_the_results_of_the_eager_one(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the eager backend of torch.compile, because compiling to machine code takes half a minute."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    x = models.rows(TINY, 5).tolist()
    eager, compiled = (Vae(str(plan.work / "d5.npz"), "cpu", compiled=how).elbo(x) for how in (False, True))
    for name, values in eager.items():
        np.testing.assert_allclose(compiled[name], values, rtol=1e-5)


def test_the_torch_servers_use_the_requested_device(plan: Plan) -> None:
    on_a_card = replace(plan, device="cuda:1")
    on_a_card.__dict__["bundles"] = plan.bundles
    eager, compiled = (contenders.plain(on_a_card, TINY, compiled=how) for how in (False, True))
    assert eager.command[-2:] == ("PORT", "cuda:1")
    assert compiled.command[-2:] == ("cuda:1", "compiled")
    assert "cuda:1" in contenders.ours(on_a_card, TINY).command
    with pytest.raises(SystemExit):
        serving.main(["--device", "cuda", "--only", "bulk", "torch"])


def test_gpu_utilisation_is_the_median_of_nvidia_smi_and_empty_on_a_cpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    smi = tmp_path / "nvidia-smi"
    smi.write_text('#!/bin/sh\nprintf "10\\n70\\n90\\n[N/A]\\n"\necho "$@" > "$0.asked"\nexec sleep 60\n')
    smi.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with gpu_utilisation("cpu") as found:
        pass
    assert found == {}
    with gpu_utilisation("cuda:3") as found:
        while not (tmp_path / "nvidia-smi.asked").exists():
            time.sleep(0.01)
    assert found == {"busy": 70.0}
    assert "--id=3" in (tmp_path / "nvidia-smi.asked").read_text()


def test_a_server_with_different_results_is_not_measured(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    x = models.rows(TINY, 2)
    truth = plan.elbo(TINY, x).tolist()
    reply = SimpleNamespace(elbo=truth)
    running = Running(Server("x", (), contenders.json_request, contenders.by_name), 0, 0)
    monkeypatch.setattr(Running, "ask", lambda *_: json.dumps({"elbo": reply.elbo}).encode())
    contenders.check(running, contenders.json_request(x), np.array(truth))
    reply.elbo = [truth[0], truth[1] + 1.0]
    with pytest.raises(SystemExit, match="x returns"):
        contenders.check(running, contenders.json_request(x), np.array(truth))


def test_a_load_with_failed_requests_is_not_measured() -> None:
    running = Running(Server("x", (), contenders.json_request, contenders.by_name), 0, 0)
    with pytest.raises(SystemExit, match=r"x did not answer every request.*'503': 2"):
        contenders.require_all_answered(running, {"statuses": {"200": 5, "503": 2}})
    with pytest.raises(SystemExit, match="x did not answer every request"):
        contenders.require_all_answered(running, {"statuses": {}})


def test_every_contender_gets_the_same_rows_in_its_own_format() -> None:
    x = models.rows(TINY, 2)
    tensor = json.loads(contenders.v2_request(x).body)["inputs"][0]
    np.testing.assert_array_equal(np.reshape(tensor["data"], tensor["shape"]), x)
    np.testing.assert_array_equal(json.loads(contenders.json_request(x).body)["inputs"], x)
    np.testing.assert_array_equal(json.loads(contenders.argument_request(x).body)["x"], x)
    np.testing.assert_array_equal(np.load(io.BytesIO(contenders.npy_request(x).body)), x)


def test_the_elbo_is_parsed_from_the_reply_of_each_contender() -> None:
    records = io.BytesIO()
    np.save(records, np.array([(1.0, 2.0)], dtype=[("elbo", "f8"), ("kl", "f8")]))
    outputs = [{"name": "kl", "data": [2.0]}, {"name": "elbo", "data": [1.0]}]
    assert contenders.from_npy(records.getvalue()) == [1.0]
    assert contenders.by_name(b'{"elbo": [1.0], "kl": [2.0]}') == [1.0]
    assert contenders.from_tensors(json.dumps({"outputs": outputs}).encode()) == [1.0]
    assert contenders.first_column(b"[[1.0, 2.0], [3.0, 4.0]]") == [1.0, 3.0]


@pytest.mark.parametrize("name", contenders.PEERS)
def test_every_peer_arm_compiles_and_imports_its_pinned_package(name: str) -> None:
    package, arm, *_ = contenders.PEERS[name]
    tree = ast.parse((ROOT / "benchmarks" / "serving" / "arms" / f"{arm}.py").read_text())
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert package.name in {module.partition(".")[0] for module in imported}
    assert "benchmarks.serving.arms.graph" in imported
    assert all("==" in requirement for requirement in package.requirements)


PARENT = """
import subprocess, sys, time
from http.server import BaseHTTPRequestHandler, HTTPServer
detached = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
ours = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
HTTPServer(("127.0.0.1", int(sys.argv[1])), BaseHTTPRequestHandler).serve_forever()
"""


def test_remaining_workers_of_a_stopped_server_are_killed() -> None:
    server = Server("parent", (sys.executable, "-c", PARENT, "PORT"), contenders.json_request, contenders.by_name)
    with started(server) as running:
        workers = children(running.pid)
    end = time.monotonic() + 10
    while (left := [pid for pid in workers if _runs(pid)]) and time.monotonic() < end:
        time.sleep(0.05)
    assert len(workers) == 2
    assert not left


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_server_that_fails_to_start_is_an_error_with_its_output() -> None:
    failing = (sys.executable, "-c", "raise SystemExit('no model')")
    with (
        pytest.raises(SystemExit, match=r"(?s)broken does not answer.*no model"),
        started(Server("broken", failing, contenders.json_request, contenders.by_name)),
    ):
        pass


def _run(rate: float, p99: float) -> dict[peer_comparison.Load, dict[str, Any]]:
    return {peer_comparison.ROW: {"requests_per_second": rate, "p50": p99 / 2, "p99": p99}}


def test_ratios_compare_request_rates_and_p99_with_the_best_other() -> None:
    found = {
        contenders.OURS: [_run(600, 0.01)] * 2,
        contenders.PLAIN: [_run(100, 0.04)] * 2,
        "peer": [_run(300, 0.1), _run(200, 0.02)],
        peer_comparison.DEFAULT_K: [_run(1, 0.001)] * 2,
    }
    by_name = {figure.name: figure for figure in peer_comparison.compared(models.LARGE, peer_comparison.ROW, found)}
    label = "D = 784, 1 row, 32 connections"
    times, tail = by_name[f"{label}: vaekit / peer"], by_name[f"{label}: p99, vaekit / the best other"]
    assert by_name[f"{label}: vaekit / FastAPI + torch"].met
    assert (times.low, times.high, times.met) == (2.0, 3.0, False)
    assert (tail.low, tail.high) == (0.25, 0.5)
    assert f"{label}: vaekit / vaekit, its default K" not in by_name
    assert by_name[f"{label}: vaekit, its default K"].value == 1


def test_a_sweep_has_one_table_row_per_server_and_a_plot(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    points = [
        sweep.Point("a", 8, 2000.0, 1.0, 2.0),
        sweep.Point("a", 1, 1000.0, 0.5, 0.75),
        sweep.Point("b", 8, 1, 9, 9),
    ]
    sweep.publish(tmp_path / "s.png", "title", points)
    cells = [[cell.strip() for cell in line.split("│")] for line in capsys.readouterr().out.splitlines()]
    assert ["", "a", "1,000; 0.5, 0.75", "2,000; 1, 2", ""] in cells
    assert ["", "b", "", "1; 9, 9", ""] in cells
    assert (tmp_path / "s.png").read_bytes().startswith(b"\x89PNG")


def test_goodput_is_relative_to_the_peak_and_unexpected_statuses_are_counted() -> None:
    run = {
        "statuses": {"0": 1, "200": 90, "429": 108},
        "seconds": {"200": {"p99": 1.0}, "429": {"p99": 0.01}},
        "goodput_per_second": 45.0,
        "unanswered": 1,
    }
    by_name = {figure.name.rpartition(": ")[2]: figure for figure in overload._of_overload([run], [50.0])}
    assert by_name["200s per second / peak"].value == 0.9
    assert by_name["200s per second / peak"].met
    assert by_name["neither 200 nor 429"].value == pytest.approx(1.0)
    assert by_name["neither 200 nor 429"].met is False
    assert by_name["p99 of 429s"].value == 10.0


def test_hung_wrong_and_held_requests_miss_their_targets() -> None:
    fine = disconnects._figures({"right": 9, "cut in the body": 1}, dict(disconnects.GAUGES))
    assert [figure.met for figure in fine[:3]] == [True, True, True]
    found = {"right": 5, "hung": 1, "lost": 1, "wrong": 1, "status 500": 1, "cut in the body": 1}
    bad = disconnects._figures(found, {"vae_http_requests_in_flight": 2.0, "vae_queue_rows": 3.0})
    assert [figure.value for figure in bad] == [1, 3, 4.0, 1, 5]
    assert [figure.met for figure in bad[:3]] == [False, False, False]


def test_gauges_are_parsed_from_a_scrape() -> None:
    text = "# HELP vae_queue_rows x\nvae_queue_rows 3.0\nvae_http_requests_in_flight 1.0\nvae_queue_rows_other 9\n"
    assert disconnects.gauges(text) == {"vae_queue_rows": 3.0, "vae_http_requests_in_flight": 1.0}


def test_results_are_written_even_if_a_later_part_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Plan) -> None:
        raise SystemExit("no")

    point = {"server": "a", "connections": 8, "requests_per_second": 1.0, "p50": 2.0, "p99": 3.0}
    measured = Measured([Figure("a / b", 2.0, "times")], {"sweep": [point]})
    monkeypatch.setitem(serving.PARTS, "peers", lambda _: measured)
    monkeypatch.setitem(serving.PARTS, "bulk", fail)
    out = tmp_path / "results.json"
    with pytest.raises(SystemExit, match="no"):
        serving.main(["--only", "peers", "bulk", "--out", str(out)])
    found = json.loads(out.read_text())
    assert found["figures"][0]["value"] == 2.0
    assert found["settings"]["peers"]["sweep"] == [point]
    assert (tmp_path / "results-connections.png").exists()


def test_the_ratio_of_paired_rounds_has_an_interval() -> None:
    value, low, high = commits.ratio([1.9, 2.0, 2.1], [1.0, 1.0, 1.0])
    assert value == pytest.approx((1.9 * 2.0 * 2.1) ** (1 / 3))
    assert low < value < high
    assert commits.ratio([3.0, 6.0], [3.0, 6.0]) == (1.0, 1.0, 1.0)


def test_the_service_of_another_commit_runs_that_code(tmp_path: Path) -> None:
    tree = tmp_path / "before"
    shutil.copytree(ROOT / "vaekit", tree / "vaekit")
    shutil.copytree(ROOT / "service", tree / "service")
    (tree / "vaekit" / "_version.py").write_text('__version__ = "0.0.1"\n')
    for folder, version in ((tree, "0.0.1"), (ROOT, __version__)):
        with started(commits.server(folder, (), commits.Load(1, 1))) as running:
            assert json.loads(running.get("/openapi.json"))["info"]["version"] == version
