"""Declares the routes on FastAPI's routers: the four operations, and the status of the service and its models."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import asdict
from typing import Any

import orjson
from fastapi import APIRouter, Depends
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response

from vaekit.client import wire
from vaekit.runtime import Model
from vaekit_service.components import Components
from vaekit_service.errors import DeadlineExceeded, NotHealthy, NotReady, Unservable
from vaekit_service.http import openapi
from vaekit_service.http.access import needs
from vaekit_service.http.calibration import calibration_scores
from vaekit_service.http.inference import OperationHandler
from vaekit_service.http.openapi import ModelName, ModelVersionNumber
from vaekit_service.http.request_context import Access, RequestContext
from vaekit_service.messages import OPERATIONS, Operation
from vaekit_service.metrics import CONTENT_TYPE

Endpoint = Callable[..., Awaitable[Response]]
Handlers = Mapping[Operation, OperationHandler]

REPLIES: dict[Operation, type[BaseModel]] = {
    "encode": wire.EncodeReply,
    "decode": wire.DecodeReply,
    "sample": wire.SampleReply,
    "elbo": wire.ElboReply,
}
METHODS = ("POST", "PUT")  # of the operations; PUT, which `curl -T` sends, is left out of the OpenAPI document
KEY_STATUSES = (401, 403, 421, 429)  # of requests that the guard refuses
_SUMMARIES: dict[Operation, str] = {
    "encode": "Mean and scale of the posterior q(z|x) = N(mu, sigma^2) of each row",
    "decode": "Mean and scale of p(x|z) of each latent vector, in the units of the data",
    "sample": "Samples of the model: z from the prior, and x decoded from z",
    "elbo": "ELBO of each row in nats, with its terms, score, p-value and verdict",
}


async def _name(name: ModelName) -> None:
    """Declares the parameter; the handler reads it from the scope."""


async def _version(version: ModelVersionNumber) -> None:
    """Declares the parameter; the handler reads it from the scope."""


PREFIXES = DEFAULT, LATEST, VERSION = "", "/models/{name}", "/models/{name}/versions/{version}"
_SCOPES = {DEFAULT: "the default model", LATEST: "the latest version of a model", VERSION: "one version of a model"}
_PATH_PARAMETERS = {DEFAULT: [], LATEST: [Depends(_name)], VERSION: [Depends(_name), Depends(_version)]}


class Status(BaseModel):
    """The reply of /healthz."""

    status: str


class Readiness(BaseModel):
    """The reply of /readyz."""

    status: str
    ready: list[str] | None = Field(None, description="models that answer; only for callers with the scope read")
    not_ready: dict[str, str] | None = Field(
        None, description="models that do not answer, each with the reason; only for callers with the scope read"
    )


def make_handlers(components: Components) -> Handlers:
    return {operation: OperationHandler(operation, components) for operation in OPERATIONS}


def operations_router(handlers: Handlers) -> APIRouter:
    """The four operations, each for the default model, for the latest version of a model and for one version."""
    router = APIRouter()
    for prefix in PREFIXES:
        for operation, handler in handlers.items():
            path, endpoint = f"{prefix}/{operation}", _endpoint(handler)
            # first, since the first route of a path gives the methods that a 405 allows
            router.add_api_route(
                path,
                endpoint,
                methods=[*METHODS],
                name=operation,
                include_in_schema=False,
                dependencies=needs("infer"),
            )
            router.add_api_route(
                path,
                endpoint,
                methods=["POST"],
                name=operation,
                response_model=REPLIES[operation],
                summary=_SUMMARIES[operation],
                description=f"Answered by {_SCOPES[prefix]}.",
                response_description=openapi.ANSWERED,
                dependencies=[*needs("infer"), *_PATH_PARAMETERS[prefix]],
                responses=openapi.operation_responses(),
                openapi_extra=openapi.operation_extra(operation),
            )
    return router


def _endpoint(handler: OperationHandler) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        return await handler.respond(request.scope, request.receive)

    return endpoint


def status_router(components: Components) -> APIRouter:
    """The status routes: the models, health, readiness and metrics."""
    router = APIRouter()

    @_get(router, "/models", "read", response_model=wire.ModelList, summary="Served models and their states")
    async def models() -> Response:
        return Response(components.registry.summary().model_dump_json(), media_type=wire.JSON_TYPE)

    def details_of(model: Model) -> dict[str, object]:
        return describe(model, components.alpha)

    details: dict[str, Any] = {"schema": openapi.MODEL_DETAILS, "name": "model", "problems": [404, 503]}

    @_get(router, LATEST, "read", summary="Manifest and device of a model's latest version", **details)
    async def model(request: Request, name: ModelName) -> Response:
        return await _of_model(components, request, name, None, details_of)

    @_get(router, VERSION, "read", summary="Manifest and device of one version of a model", **details)
    async def version(request: Request, name: ModelName, version: ModelVersionNumber) -> Response:
        return await _of_model(components, request, name, version, details_of)

    health: dict[str, Any] = {"response_model": wire.ModelHealth, "name": "model_health", "problems": [404, 503]}

    @_get(router, f"{LATEST}/health", "read", summary="Live scores of a model against its calibration", **health)
    async def health_of_latest(name: ModelName) -> Response:
        return Response(model_health(components, name, None).model_dump_json(), media_type=wire.JSON_TYPE)

    @_get(router, f"{VERSION}/health", "read", summary="The same of one version of a model", **health)
    async def health_of_version(name: ModelName, version: ModelVersionNumber) -> Response:
        return Response(model_health(components, name, str(version)).model_dump_json(), media_type=wire.JSON_TYPE)

    scores: dict[str, Any] = {"response_model": wire.CalibrationScores, "name": "calibration", "problems": [404, 503]}

    @_get(router, f"{LATEST}/calibration", "read", summary="Scores of a model's held-out rows as histograms", **scores)
    async def calibration_of_latest(request: Request, name: ModelName) -> Response:
        return await _of_model(components, request, name, None, calibration_scores)

    @_get(router, f"{VERSION}/calibration", "read", summary="The same of one version of a model", **scores)
    async def calibration_of_version(request: Request, name: ModelName, version: ModelVersionNumber) -> Response:
        return await _of_model(components, request, name, version, calibration_scores)

    @_get(
        router,
        "/healthz",
        "probes",
        response_model=Status,
        summary="Whether the process is alive and its device works",
        problems=[503],
    )
    async def healthz() -> Response:
        if reason := components.unhealthy():
            raise NotHealthy(reason)
        return _json({"status": "ok"})

    @_get(
        router,
        "/readyz",
        "probes",
        response_model=Readiness,
        summary="Whether the service is ready for requests",
        problems=[503],
    )
    async def readyz(request: Request) -> Response:
        context = RequestContext.of(request.scope)
        check_ready(components, context)
        registry = components.registry
        lists = {"ready": registry.ready, "not_ready": registry.not_ready} if "read" in context.scopes else {}
        return _json({"status": "ready", **lists})

    @_get(
        router,
        "/metrics",
        "metrics",
        response_class=PlainTextResponse,
        summary="Metrics in the Prometheus text format",
    )
    async def metrics() -> Response:
        return Response(components.metrics.text(), media_type=CONTENT_TYPE)

    return router


def check_ready(components: Components, context: RequestContext) -> None:
    """Check that the service is ready. Only callers that may read learn why it is not, since reasons name models.

    Raises:
        NotReady, Unservable: it is not, for a moment or for longer.
    """
    if reason := components.unready():
        if "read" not in context.scopes:
            reason = "the service is not ready; with a key of scope 'read', this says why"
        raise NotReady(reason) if components.will_be_ready else Unservable(reason)


def _get(
    router: APIRouter,
    path: str,
    access: Access,
    *,
    name: str | None = None,
    schema: openapi.Schema | None = None,
    problems: Iterable[int] = (),
    **documented: Any,
) -> Callable[[Endpoint], Endpoint]:
    """Declare a GET route twice: the first one answers GET and HEAD, the second one only appears in the document."""
    statuses = sorted({*problems, *(() if access == "probes" else KEY_STATUSES)})
    responses = {200: openapi.answered(schema), **openapi.problems(statuses), **openapi.any_problem()}
    dependencies = needs(access)
    extra = openapi.WITHOUT_KEY if access == "probes" else None

    def declare(endpoint: Endpoint) -> Endpoint:
        router.add_api_route(
            path, endpoint, methods=["GET", "HEAD"], name=name, include_in_schema=False, dependencies=dependencies
        )
        router.add_api_route(
            path,
            endpoint,
            methods=["GET"],
            name=name,
            responses=responses,
            response_description=openapi.ANSWERED,
            openapi_extra=extra,
            dependencies=dependencies,
            **documented,
        )
        return endpoint

    return declare


async def _of_model(
    components: Components, request: Request, name: str, version: str | None, told: Callable[[Model], object]
) -> Response:
    """What a function says about a model, which is loaded if it is not in memory."""
    timer, seconds = RequestContext.of(request.scope).timer, components.answer_seconds
    timer.set_deadline(seconds, lambda: DeadlineExceeded(f"no answer within {seconds:g} s"))
    timer.cancel_on_disconnect(request.receive)
    with components.registry.lend(name, version) as lease:
        return _json(told(await lease.load()))


def describe(model: Model, alpha: float) -> dict[str, object]:
    """The fields of the manifest, and those of wire.ModelInUse. alpha: the default of requests."""
    graphs = {
        operation: wire.GraphInUse(providers=list(graph.providers), nodes=graph.nodes, threads=graph.threads)
        for operation, graph in model.graphs.items()
    }
    memory = model.device_memory
    in_use = wire.ModelInUse(
        device=model.device,
        providers=list(model.providers),
        precision=model.precision,
        graphs=graphs,
        device_memory_bytes=None if memory is None else memory.used,
        default_alpha=alpha,
    )
    return {**model.manifest.model_dump(mode="json"), **in_use.model_dump()}


def model_health(components: Components, name: str, version: str | None) -> wire.ModelHealth:
    """The figures of the last update of the model health; those of a version that is not in memory are null.

    Raises:
        UnknownModel, Unservable: see ModelRegistry.find.
    """
    served = components.registry.find(name, version)
    figures = None if served.model is None else components.health.figures(served.model)
    if figures is None:
        reading = components.health.why_none(served.model)
        return wire.ModelHealth(model=served.name, version=served.version, rows=0, reading=reading)
    drift, fields = figures.drift, wire.ModelHealth.model_fields
    values = {**asdict(figures), **asdict(drift), "reading": figures.reading}
    known = {field: value for field, value in values.items() if field in fields}
    return wire.ModelHealth(model=served.name, version=served.version, **known)


def _json(content: object) -> Response:
    return Response(orjson.dumps(content), media_type=wire.JSON_TYPE)
