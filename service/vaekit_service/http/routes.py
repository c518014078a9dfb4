"""Every route of the service but its documents. Knows paths, and what the quiet ones say."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import Scope

from vaekit.client.wire import JSON_TYPE, GraphInUse, ModelInUse
from vaekit.runtime import Model
from vaekit_service.components import Components
from vaekit_service.engine.jobs import Operation
from vaekit_service.errors import DeadlineExceeded, NotReady, Unservable
from vaekit_service.http.access_log import WATCH
from vaekit_service.http.inference import Inference
from vaekit_service.http.request_context import RequestTimer
from vaekit_service.metrics import CONTENT_TYPE

OPERATIONS: tuple[Operation, ...] = ("encode", "decode", "sample", "elbo")
PREFIXES = ("", "/models/{name}", "/models/{name}/versions/{version}")

Endpoint = Callable[[Components, Request], Awaitable[Response]]


class Named(Route):
    """A route that leaves itself in the scope, where the envelope reads its template."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        match, found = super().matches(scope)
        return match, {**found, "route": self} if match is not Match.NONE else found


def inference_routes(api: Components) -> list[Named]:
    """What the service is for."""
    applications = {operation: Inference(operation, api) for operation in OPERATIONS}
    return [
        Named(f"{prefix}/{operation}", application, methods=["POST"])
        for prefix in PREFIXES
        for operation, application in applications.items()
    ]


def quiet_routes(api: Components) -> list[Named]:
    """What is asked for now and then."""
    quiet: dict[str, Endpoint] = {
        "/models": models,
        "/models/{name}": model,
        "/models/{name}/versions/{version}": model,
        "/healthz": healthz,
        "/readyz": readyz,
        "/metrics": scrape,
    }
    return [Named(path, partial(endpoint, api)) for path, endpoint in quiet.items()]


async def models(api: Components, _: Request) -> Response:
    """GET /models."""
    return Response(api.registry.summary().model_dump_json(), media_type=JSON_TYPE)


async def model(api: Components, request: Request) -> Response:
    """GET /models/{name} and /models/{name}/versions/{version}: the manifest, and where it runs."""
    served = api.registry.find(request.path_params["name"], request.path_params.get("version"))
    watch: RequestTimer = request.scope["state"][WATCH]
    watch.within(api.answer_seconds, lambda: DeadlineExceeded(f"no answer within {api.answer_seconds:g} s"))
    watch.listen(request.receive)
    with await api.registry.lend(served) as lent:
        return _json(describe(lent))


async def healthz(_: Components, __: Request) -> Response:
    """GET /healthz: the process answers."""
    return _json({"status": "ok"})


async def readyz(api: Components, _: Request) -> Response:
    """GET /readyz: requests will be answered."""
    if reason := api.unready():
        soon = api.lifecycle.draining or not api.registry.settled.is_set()
        raise NotReady(reason) if soon else Unservable(reason)
    return _json({"status": "ready"})


async def scrape(api: Components, _: Request) -> Response:
    """GET /metrics."""
    return Response(api.metrics.text(), media_type=CONTENT_TYPE)


def describe(model: Model) -> dict[str, object]:
    """The manifest as it was read, with what it runs on beside its own fields."""
    graphs = {
        operation: GraphInUse(providers=list(graph.providers), nodes=graph.nodes, threads=graph.threads)
        for operation, graph in model.graphs.items()
    }
    in_use = ModelInUse(
        device=model.device,
        providers=list(model.providers),
        precision=model.precision,
        graphs=graphs,
        device_memory_bytes=model.device_memory,
    )
    return {**model.manifest.model_dump(mode="json"), **in_use.model_dump()}


def _json(content: object) -> Response:
    return Response(orjson.dumps(content), media_type=JSON_TYPE)
