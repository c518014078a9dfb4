"""V2 requests count like all others: metrics, statistics, model health, score log, audit, refusals below the app."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.service.keyed import KEYS, TEXT, bearer
from tests.service.v2.cases import X
from tests.service.v2.talk_v2 import BREAST, ROW, infer, outputs, packed, refused, rows, tensor
from tests.talk import serving as raw_serving
from vaekit_service.codecs.v2 import json_head, tensors

pytestmark = pytest.mark.anyio


async def statistics(running: Any, model: str = "breast-cancer") -> dict[str, Any]:
    [found] = (await running.http.get(f"/v2/models/{model}/stats")).json()["model_stats"]
    return dict(found)


async def test_statistics_count_requests_rows_and_batches_of_all_routes(start: Any, models_dir: Path) -> None:
    async with start(models_dir, default_model="breast-cancer") as running:
        before = await statistics(running)
        assert (before["last_inference"], before["inference_count"], before["batch_stats"]) == (0, 0, [])
        await infer(running.http, BREAST, rows(np.ones((3, 30))))
        await running.post("/elbo", {"inputs": [ROW]})
        await infer(running.http, BREAST, rows(np.ones((3, 29))))
        await running.post("/elbo", {"inputs": [ROW[1:]]})
        await running.post("/encode", {"inputs": [ROW]})
        found = await statistics(running)
        encoded = await statistics(running, "breast-cancer.encode")
        listed = (await running.http.get("/v2/models/stats")).json()["model_stats"]
    assert (found["inference_count"], found["execution_count"]) == (4, 2)
    assert {one["batch_size"]: one["compute_infer"]["count"] for one in found["batch_stats"]} == {1: 1, 3: 1}
    counts = {name: one["count"] for name, one in found["inference_stats"].items()}
    assert counts == {
        **dict.fromkeys(("success", "fail", "queue", "compute_input", "compute_infer", "compute_output"), 2),
        **dict.fromkeys(("cache_hit", "cache_miss"), 0),
    }
    times = {name: one["ns"] for name, one in found["inference_stats"].items()}
    parts = ("queue", "compute_input", "compute_infer", "compute_output")
    assert 0 < sum(times[name] for name in parts) <= times["success"]
    assert times["fail"] > 0
    assert found["last_inference"] > 1.7e12  # milliseconds
    assert encoded["inference_count"] == 1
    assert len(listed) == 8


async def test_metrics_log_and_model_health_have_v2_requests(start: Any, models_dir: Path) -> None:
    async with start(models_dir, health_seconds=3600.0) as running:
        await infer(running.http, BREAST, rows(np.ones((5, 30))))
        refused(await infer(running.http, BREAST, rows(np.ones((5, 29)))), 400)
        text = (await running.http.get("/metrics")).text
        line = next(one for one in running.lines() if one.get("route") == "/v2/models/{model}/infer")
        await running.components.health.update()
        health = (await running.http.get("/models/breast-cancer/health")).json()
    route = 'route="/v2/models/{model}/infer"'
    assert f'vae_http_requests_total{{method="POST",{route},status="200"}} 1.0' in text
    assert f'vae_http_requests_total{{method="POST",{route},status="400"}} 1.0' in text
    assert 'vae_rows_total{model="breast-cancer",operation="elbo",version="1"} 5.0' in text
    assert 'vae_invalid_rows_total{model="breast-cancer",version="1"} 1.0' in text
    assert (line["model"], line["rows"], line["status"]) == ("breast-cancer@1", 5, 200)
    assert health["rows"] == 5


async def test_the_score_log_has_the_rows_and_ids_of_v2_requests(start: Any, models_dir: Path, tmp_path: Path) -> None:
    async with start(models_dir, score_log=tmp_path / "log") as running:
        await infer(running.http, BREAST, rows(np.ones((2, 30))), parameters={"ids": ["a", 7]})
        await infer(running.http, BREAST, rows(X), parameters={"ids": '["b"]'})
    files = list((tmp_path / "log").rglob("*.parquet"))
    found = [row for file in files for row in pq.read_table(file).to_pylist()]
    assert sorted(str(row["id"]) for row in found) == ["7", "a", "b"]
    assert {row["model"] for row in found} == {"breast-cancer"}


async def test_an_input_may_have_the_ids(start: Any, mixed: Any, tmp_path: Path) -> None:
    columns = {"load": [1.0, 2.0], "size": [1.0, 1.0], "stops": [1.0, 1.0], "on": [1.0, 0.0], "key": [5, 6]}
    inputs = [tensor(name, [2], cells, "INT64" if name == "key" else "FP64") for name, cells in columns.items()]
    colour = tensor("colour", [2], ["red", "blue"], "BYTES")
    async with start(mixed.root, score_log=tmp_path / "log") as running:
        path = "/v2/models/mixed/infer"
        reply = await infer(running.http, path, *inputs, colour, parameters={"id_column": "key"})
        assert "ignored_columns" not in reply.json()["parameters"]
        message = refused(await infer(running.http, path, *inputs, colour, parameters={"id_column": "no"}), 400)
        assert "no input has the name 'no'" in message
    found = [row for file in (tmp_path / "log").rglob("*.parquet") for row in pq.read_table(file).to_pylist()]
    assert sorted(str(row["id"]) for row in found) == ["5", "6"]


async def test_calls_of_load_and_unload_leave_an_audit_line(start: Any, copied: Path) -> None:
    async with start(copied, keys=TEXT, admin=True) as running:
        path = "/v2/repository/models/breast-cancer/load"
        for key, status in (("read", 403), ("all", 200)):
            assert (await running.http.post(path, headers=bearer(KEYS[key]))).status_code == status
        audits = [one for one in running.lines() if one["event"] == "audit"]
    assert [(one["key"], one["status"]) for one in audits] == [("read", 403), ("all", 200)]
    assert audits[1]["parameters"] == {"model": "breast-cancer"}


async def test_without_admin_models_cannot_be_loaded_and_the_server_says_so(service: Any) -> None:
    refused(await service.http.post("/v2/repository/models/breast-cancer/load"), 404)
    assert "model_repository" not in (await service.http.get("/v2")).json()["extensions"]


async def test_large_json_is_read_and_written_as_small_json_is(service: Any) -> None:
    """Numbers beyond 1 MiB and values that need Python objects beyond 64 KiB are read in the process."""
    x = np.random.default_rng(0).standard_normal((3000, 30))
    large = json.dumps({"id": "a", "inputs": [rows(x)], "outputs": [{"name": "elbo"}]}).encode()
    assert len(large) > 2**20
    reply = await service.http.post(BREAST, content=large)
    assert reply.json()["id"] == "a"
    alone = outputs(await infer(service.http, BREAST, rows(x[:3])))["elbo"]
    np.testing.assert_allclose(outputs(reply)["elbo"][:3], alone, rtol=1e-9)
    assert service.components.worker.pid is not None
    with_null = json.dumps({"inputs": [tensor("inputs", [900, 30], [None, *x[:900].ravel().tolist()[1:]])]}).encode()
    assert 64 * 1024 < len(with_null) < 2**20
    assert outputs(await service.http.post(BREAST, content=with_null))["p_value"].shape == (900,)
    sampled = await infer(service.http, "/v2/models/breast-cancer.sample/infer", parameters={"n": 9000, "seed": 1})
    assert outputs(sampled)["samples"].shape == (9000, 30)
    bad = large.replace(b'"id": "a"', b'"id": 1')
    assert "id: 1 is not text" in refused(await service.http.post(BREAST, content=bad), 400)
    assert service.components.memory.held == 0


async def test_more_values_than_a_request_may_have_are_refused_before_they_are_parsed(
    service: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_head, "parse", lambda _: pytest.fail("was parsed"))
    many = b'{"inputs": [{"name": "inputs", "shape": [1, 30], "datatype": "FP64", "data": [%s]}]}'
    values = b",".join([b"1"] * 400_000)
    message = refused(await service.http.post(BREAST, content=many % values), 413)
    assert "too many values" in message


async def test_more_rows_than_a_request_may_have_are_refused(service: Any) -> None:
    body, headers = packed({"inputs": ("FP64", [10_001, 30], np.ones((10_001, 30)).tobytes())})
    assert "may have at most 10000" in refused(await service.http.post(BREAST, content=body, headers=headers), 413)


@pytest.mark.parametrize("spare", range(8))
async def test_bytes_may_begin_anywhere(service: Any, spare: int) -> None:
    """An array that is not aligned is copied."""
    body, headers = packed({"inputs": ("FP64", [1, 30], X.tobytes())}, parameters={"a": "x" * spare})
    reply = await service.http.post(BREAST, content=body, headers=headers)
    assert outputs(reply)["elbo"] == outputs(await infer(service.http, BREAST, rows(X)))["elbo"]
    found = tensors.from_bytes("x", memoryview(b" " * spare + X.tobytes())[spare:], "FP64", 30)
    assert found.flags.aligned


async def test_the_timeout_header_works_as_on_the_other_routes(service: Any) -> None:
    content = json.dumps({"inputs": [rows(X)]})
    reply = await service.http.post(BREAST, content=content, headers={"vae-timeout": "soon"})
    assert "vae-timeout" in refused(reply, 400)
    reply = await service.http.post(BREAST, content=content, headers={"vae-timeout": "1e-9"})
    assert "no answer within" in refused(reply, 504)


REFUSED = {
    "a head without a host": (b"POST %b HTTP/1.1\r\n\r\n", 400),
    "two lengths": (b"POST %b HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n", 400),
    "too many headers": (b"POST %b HTTP/1.1\r\nhost: x\r\n" + b"a: b\r\n" * 200 + b"\r\n", 431),
    "a long path": (b"POST %b?" + b"x" * 10_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n", 414),
    "a transfer coding": (b"POST %b HTTP/1.1\r\nhost: x\r\ntransfer-encoding: gzip, chunked\r\n\r\n", 501),
    "no chunks": (b"POST %b HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n", 400),
}


@pytest.mark.parametrize("what", REFUSED)
@pytest.mark.parametrize("path", ["/v2/models/a/infer", "/elbo"])
async def test_refusals_before_the_app_have_the_form_of_the_path(what: str, path: str) -> None:
    request, status = REFUSED[what]
    async with raw_serving(slow_app) as served:
        said = await served.said(request.replace(b"%b", path.encode()))
    head, _, content = said.partition(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ".encode())
    is_v2 = path.startswith("/v2")
    kind = b"application/json" if is_v2 else b"application/problem+json"
    assert b"\r\ncontent-type: %b\r\n" % kind in head
    assert (list(json.loads(content)) == ["error"]) == is_v2


async def slow_app(scope: Any, receive: Callable[[], Any], send: Any) -> None:  # noqa: ARG001  it never answers
    while (await receive())["type"] != "http.disconnect":
        pass
