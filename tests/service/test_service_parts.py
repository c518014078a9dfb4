"""Problem documents, memory limits, access log, metrics, request ids and imports of the service."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import vaekit.client.errors  # noqa: F401 - so that the walk below meets its classes
import vaekit_service.errors
from vaekit.errors import NotFinite, VaeError
from vaekit_service.engine import jobs
from vaekit_service.engine.limits import MemoryBudget
from vaekit_service.errors import Overloaded, TooLarge
from vaekit_service.http.problems import PROBLEM_KINDS, kind_of
from vaekit_service.http.request_context import effective_timeout

pytestmark = pytest.mark.anyio
ROW = [1.0] * 30


def subclasses(kind: type) -> Iterator[type]:
    for child in kind.__subclasses__():
        yield child
        yield from subclasses(child)


def test_every_error_class_has_a_status() -> None:
    for error in subclasses(VaeError):
        if error.__module__.startswith("vaekit.client") or error is vaekit_service.errors.ServiceError:
            continue  # errors of the client, and an abstract base class
        assert any(ancestor in PROBLEM_KINDS for ancestor in error.__mro__), f"{error.__name__} has no status"


def test_any_other_error_is_a_500_without_its_message() -> None:
    assert (kind_of(ZeroDivisionError).status, kind_of(ZeroDivisionError).is_public) == (500, False)


def test_importing_the_app_does_not_import_heavy_packages() -> None:
    walled = ["torch", "vaekit_training", "pandas", "matplotlib", "sklearn", "onnx", "onnxruntime", "pyarrow", "scipy"]
    code = f"import sys, vaekit_service.app; print([m for m in {walled!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_memory_of_bodies_is_limited_and_released() -> None:
    memory = MemoryBudget(max_body_bytes=10, max_inflight_bytes=15)
    with memory.reserve() as alone:
        alone.hold(16)  # allowed, because it could never fit otherwise
    assert memory.held == 0
    with memory.reserve() as first:
        first.hold(10)
        with memory.reserve() as second, pytest.raises(Overloaded, match="no room for 6 bytes: other requests hold 10"):
            second.hold(6)
        assert memory.held == 10
        with pytest.raises(TooLarge):
            memory.check_body(11)
    assert memory.held == 0


async def test_overload_is_a_429_with_retry_after_and_the_body_is_not_read(
    service: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service.components.engine._batcher, "rows", 10**9)

    async def unread() -> Any:
        raise AssertionError("the body was read")
        yield b""

    headers = {"content-type": "application/json", "content-length": "10000000"}
    reply = await service.http.post("/elbo", content=unread(), headers=headers)
    assert (reply.status_code, reply.headers["retry-after"], reply.headers["connection"]) == (429, "1", "close")


async def test_a_result_that_is_not_finite_is_a_500_with_its_reason_only_in_the_log(
    service: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> Any:
        raise NotFinite("encode: row 0: output mu is not finite")

    monkeypatch.setattr(jobs, "run", fail)
    reply = await service.post("/encode", {"inputs": [ROW]})
    assert (reply.status_code, reply.json()["title"]) == (500, "Internal error")
    assert "mu" not in reply.json()["detail"]
    assert service.lines()[-1]["error"] == "NotFinite: encode: row 0: output mu is not finite"


async def test_a_crash_is_a_500_problem_with_the_request_id(service: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> Any:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr(jobs, "run", fail)
    headers = {"content-type": "application/json", "x-request-id": "crash-1"}
    reply = await service.http.post("/encode", json={"inputs": [ROW]}, headers=headers)
    assert (reply.status_code, reply.headers["x-request-id"], reply.json()["instance"]) == (500, "crash-1", "crash-1")
    assert "secret" not in reply.text
    crash, request = service.lines()[-2:]
    assert (crash["event"], crash["request_id"]) == ("crash", "crash-1")
    assert crash["exception"].endswith("ZeroDivisionError: secret")
    facts = {"status": 500, "request_id": "crash-1", "error": "ZeroDivisionError: secret"}
    assert request | facts == request


@pytest.mark.parametrize("given", ["abc-123", "a" * 128])
async def test_a_valid_request_id_is_echoed_in_replies_and_problems(service: Any, given: str) -> None:
    for path, status in (("/healthz", 200), ("/nowhere", 404)):
        reply = await service.http.get(path, headers={"x-request-id": given})
        assert (reply.status_code, reply.headers["x-request-id"]) == (status, given)
    assert reply.json()["instance"] == given


@pytest.mark.parametrize("given", ["", "a" * 129, "two words", 'quote"', "<b>"])
async def test_any_other_request_id_is_replaced(service: Any, given: str) -> None:
    reply = await service.http.get("/healthz", headers={"x-request-id": given})
    assert len(reply.headers["x-request-id"]) == 32


async def test_the_access_log_describes_requests_without_their_payload(service: Any) -> None:
    before = len(service.lines())
    await service.post("/elbo", {"inputs": [[123456.789] * 30]})
    await service.post("/models/breast-cancer/elbo", {"inputs": [["leaked"] * 30]})
    await service.post("/elbo?x=leaked", '{"leaked": ')
    await service.post("/elbo", '{"leaked": ')
    lines = service.lines()[before:]
    assert [line["status"] for line in lines] == [200, 422, 422, 400]
    assert lines[0] | {"route": "/elbo", "method": "POST", "rows": 1, "model": "breast-cancer@1"} == lines[0]
    assert lines[1]["route"] == "/models/{name}/elbo"
    assert {"request_id", "duration_ms", "timestamp", "level"} <= set(lines[0])
    assert "leaked" not in service.log.getvalue()
    assert "123456" not in service.log.getvalue()


def figures(text: str) -> dict[str, float]:
    lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in lines}


async def test_metrics_count_requests_and_rows_by_bounded_labels(service: Any) -> None:
    async def read() -> dict[str, float]:
        return figures((await service.http.get("/metrics")).text)

    before = await read()
    await service.post("/models/digits/sample", {"n": 3})
    await service.post("/models/digits/sample", {"n": 0})
    await service.http.get("/models/%2e%2e/secret")
    await service.http.request("BREW", "/elbo")
    after = await read()
    route = 'route="/models/{name}/sample"'
    for name, grown in {
        f'vae_http_requests_total{{method="POST",{route},status="200"}}': 1,
        f'vae_http_requests_total{{method="POST",{route},status="422"}}': 1,
        'vae_http_requests_total{method="GET",route="unmatched",status="404"}': 1,
        'vae_http_requests_total{method="other",route="/elbo",status="405"}': 1,
        f"vae_http_request_duration_seconds_count{{{route}}}": 2,
        'vae_rows_total{model="digits",operation="sample",version="1"}': 3,
        'vae_batch_duration_seconds_count{model="digits",operation="sample"}': 1,
        'vae_batch_rows_sum{model="digits",operation="sample"}': 3,
    }.items():
        assert after[name] - before.get(name, 0) == grown, name
    assert after["vae_queue_depth"] == 0
    assert after["vae_http_requests_in_flight"] == 1  # the scrape itself
    assert after["vae_ready"] == 1
    assert after['vae_model_info{device="cpu",model="digits",version="1"}'] == 1


async def test_two_apps_share_no_state(start: Any, models_dir: Any) -> None:
    async with start(models_dir) as one, start(models_dir) as other:
        await one.post("/models/digits/sample", {"n": 1})
        name = 'vae_rows_total{model="digits",operation="sample",version="1"}'
        assert name in figures((await one.http.get("/metrics")).text)
        assert name not in figures((await other.http.get("/metrics")).text)


async def test_concurrent_callers_get_their_own_answers(service: Any, benign_rows: Any, breast_cancer: Any) -> None:
    want = breast_cancer.elbo(benign_rows[:32]).elbo
    replies: list[httpx.Response] = await asyncio.gather(
        *(service.post("/elbo", {"inputs": [row]}) for row in benign_rows[:32].tolist())
    )
    np.testing.assert_allclose([reply.json()["elbo"][0] for reply in replies], want, rtol=1e-5)


@pytest.mark.parametrize("seconds", ["0", "-1", "soon", "1e", "nan", "0.0", "0e9", "inf", "+1", "5e+-3"])
async def test_a_timeout_that_is_not_a_positive_number_is_refused(service: Any, seconds: str) -> None:
    headers = {"content-type": "application/json", "vae-timeout": seconds}
    reply = await service.http.post("/encode", json={"inputs": [ROW]}, headers=headers)
    assert reply.status_code == 422
    assert reply.json()["detail"] == f"vae-timeout: '{seconds}' is not a positive number of seconds"


@given(st.floats(min_value=0, exclude_min=True, allow_infinity=False, allow_nan=False))
@example(5e-324)
@example(1.7976931348623157e308)
def test_every_timeout_that_the_schema_admits_is_taken(seconds: float) -> None:
    for text in (repr(seconds), json.dumps(seconds), f"{seconds:f}" if seconds > 1 else f"{seconds!r}"):
        assert effective_timeout(text.encode(), 60.0) == min(float(text), 60.0)


async def test_a_request_past_its_timeout_gets_a_504_and_does_not_run(
    service: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, leave, ran = threading.Event(), threading.Event(), list[float]()

    def slow(parts: Any) -> Any:
        begun.set()
        assert leave.wait(30)
        ran.append(sum(part.n for part in parts))
        raise NotFinite("no matter")

    monkeypatch.setattr(jobs, "run", slow)
    first = asyncio.create_task(service.post("/encode", {"inputs": [ROW]}))
    await asyncio.to_thread(begun.wait, 30)
    headers = {"content-type": "application/json", "vae-timeout": "0.05"}
    reply = await service.http.post("/elbo", json={"inputs": [ROW]}, headers=headers)
    assert (reply.status_code, reply.json()["detail"]) == (504, "no answer within 0.05 s")
    leave.set()
    assert (await first).status_code == 500
    assert ran == [1]
    assert service.components.engine.rows == 0
