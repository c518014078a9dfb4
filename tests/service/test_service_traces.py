"""OpenTelemetry traces: one span per request, with its stages, sent by OTLP where OTEL_* says."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.service.conftest import run
from vaekit_service import tracing
from vaekit_service.stages import STAGES

pytestmark = pytest.mark.anyio

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


class Collector:
    """Receives traces over HTTP on the loopback interface."""

    def __init__(self) -> None:
        spans = self.spans = []  # of all requests, as protobuf messages
        resources = self.resources = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                    resources.append({a.key: a.value.string_value for a in resource.resource.attributes})
                    spans.extend(span for scope in resource.scope_spans for span in scope.spans)
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Any:
    own = Collector()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", own.url)
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
    yield own
    own.close()


def attributes(span: Any) -> dict[str, Any]:
    return {a.key: getattr(a.value, a.value.WhichOneof("value")) for a in span.attributes}


async def test_a_request_is_one_span_with_its_route_its_model_and_its_stages(
    collector: Collector, models_dir: Path, benign_rows: Any
) -> None:
    async with run(models_dir, default_model="breast-cancer", traces=True) as service:
        headers = {"traceparent": f"00-{TRACE}-{PARENT}-01", "x-request-id": "mine"}
        body = json.dumps({"inputs": benign_rows[:3].tolist()})
        reply = await service.http.post("/models/breast-cancer/elbo", content=body, headers=headers)
        assert reply.status_code == 415  # no content type yet
        headers["content-type"] = "application/json"
        assert (await service.http.post("/models/breast-cancer/elbo", content=body, headers=headers)).status_code == 200
        await service.http.get("/readyz")
        await service.http.get("/models")
    requests = [span for span in collector.spans if span.kind == span.SPAN_KIND_SERVER]
    assert [span.name for span in requests] == ["POST /models/{name}/elbo"] * 2 + ["GET /models"]
    refused, answered, _ = requests
    assert attributes(refused)["error.type"] == "MediaType"
    assert (answered.trace_id.hex(), answered.parent_span_id.hex()) == (TRACE, PARENT)
    found = attributes(answered)
    assert (found["http.route"], found["vae.model"], found["vae.version"]) == (
        "/models/{name}/elbo",
        "breast-cancer",
        1,
    )
    assert (found["vae.rows"], found["vae.request_id"]) == (3, "mine")
    stages = {stage: found[f"vae.{stage}_seconds"] for stage in STAGES}
    assert all(seconds > 0 for seconds in stages.values())
    assert sum(stages.values()) <= (answered.end_time_unix_nano - answered.start_time_unix_nano) / 1e9
    assert len(collector.spans) == len(requests)
    (resource,) = {tuple(sorted(one.items())) for one in collector.resources}
    assert dict(resource)["service.name"] == "vaekit"
    assert dict(resource)["deployment.environment.name"] == "test"


async def test_an_unreachable_collector_does_not_hold_up_the_service(
    monkeypatch: pytest.MonkeyPatch, models_dir: Path, benign_rows: Any
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    async with asyncio.timeout(60):
        async with run(models_dir, default_model="breast-cancer", traces=True) as service:
            reply = await service.post("/elbo", {"inputs": benign_rows[:3].tolist()})
    assert reply.status_code == 200


def test_off_nothing_of_the_sdk_is_imported(models_dir: Path) -> None:
    code = (
        "import sys; from vaekit_service.app import create_app; from vaekit_service.settings import load\n"
        f"create_app(load(models={str(models_dir)!r}, device='cpu'))\n"
        "print([m for m in sys.modules if m.startswith(('opentelemetry.sdk', 'opentelemetry.instrumentation'))])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=100)
    assert found.stdout.strip() == "[]"


def test_without_the_extra_the_start_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.resources", None)
    with pytest.raises(tracing.MissingExtra, match=r"pip install 'vaekit\[traces\]'"):
        tracing.make_provider()


async def test_the_score_log_is_finished_before_the_stop_waits_for_the_collector(
    models_dir: Path, collector: Collector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    async with run(models_dir, default_model="breast-cancer", traces=True, score_log=tmp_path) as service:
        provider = service.components.traces
        assert provider is not None
        shutdown = provider.shutdown

        def slow() -> None:
            seen.extend(path.suffix for path in tmp_path.iterdir())
            shutdown()

        monkeypatch.setattr(provider, "shutdown", slow)
        assert (await service.post("/elbo", {"inputs": [[1.0] * 30]})).status_code == 200
    assert seen == [".parquet"]
    assert len(collector.spans) == 1
