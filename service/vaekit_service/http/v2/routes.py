"""Declares the routes of the Open Inference Protocol (V2), which KServe, Triton's clients and others speak."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

import orjson
from fastapi import APIRouter
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from vaekit._version import __version__
from vaekit.client.wire import JSON_TYPE
from vaekit.runtime import Model
from vaekit_service.components import Components
from vaekit_service.errors import DeadlineExceeded, NotHealthy, Unsupported
from vaekit_service.http import openapi
from vaekit_service.http.access import needs
from vaekit_service.http.request_context import Access, RequestContext
from vaekit_service.http.routes import KEY_STATUSES, check_ready
from vaekit_service.http.v2 import names, schemas, views
from vaekit_service.http.v2.infer import BINARY_TYPE, LENGTH_HEADER, InferHandler
from vaekit_service.http.v2.schemas import V2Error

Endpoint = Callable[..., Awaitable[Response]]

LATEST, VERSION = "/v2/models/{model}", "/v2/models/{model}/versions/{version}"
OF_MODEL = (LATEST, VERSION)
INFER = "infer"  # name of the routes to infer
_NOT_DONE = {  # functions of Triton, and their methods
    "/v2/logging": ("GET", "POST"),
    "/v2/trace/setting": ("GET", "POST"),
    "/v2/models/{model}/trace/setting": ("GET", "POST"),
    **{
        f"/v2/{kind}sharedmemory/{path}": (method,)
        for kind in ("system", "cuda")
        for path, method in (
            ("region/{region}/status", "GET"),
            ("region/{region}/register", "POST"),
            ("region/{region}/unregister", "POST"),
            ("unregister", "POST"),
        )
    },
}
_INFER_STATUSES = (400, 404, 408, 413, 415, 500, 501, 503, 504)


def v2_router(components: Components, *, admin: bool) -> APIRouter:
    """The routes that exist in every service, without those to infer.

    Args:
        components: of the service.
        admin: whether the routes that load and unload models exist too.
    """
    router = APIRouter()
    _server_routes(router, components, admin=admin)
    _model_routes(router, components)
    _other_routes(router)
    return router


def _server_routes(router: APIRouter, components: Components, *, admin: bool) -> None:
    async def server() -> Response:
        return json(views.server(__version__, admin=admin))

    declare(router, "/v2", "GET", "read", schemas.V2Server, "V2: the server and its extensions", name="v2")(server)
    router.add_api_route("/v2/", server, include_in_schema=False, dependencies=needs("read"))

    @declare(router, "/v2/health/live", "GET", "probes", schemas.V2Live, "V2: whether the process is alive", [503])
    async def v2_live() -> Response:
        if reason := components.unhealthy():
            raise NotHealthy(reason)
        return json({"live": True})

    @declare(router, "/v2/health/ready", "GET", "probes", schemas.V2Ready, "V2: whether the service is ready", [503])
    async def v2_ready(request: Request) -> Response:
        check_ready(components, RequestContext.of(request.scope))
        return json({"ready": True})

    @declare(router, "/v2/models", "GET", "read", schemas.V2Models, "V2: the names of the models that answer")
    async def v2_models() -> Response:
        return json({"models": [name for bundle in components.registry.ready for name in names.names_of(bundle)]})

    @declare(router, "/v2/models/stats", "GET", "read", schemas.V2Statistics, "V2: statistics of all models")
    async def v2_all_statistics() -> Response:
        return json({"model_stats": views.all_statistics(components)})


def _other_routes(router: APIRouter) -> None:
    """Functions of Triton that there are none of here: shared memory, and settings of logs and traces."""

    async def regions() -> Response:
        return json([])

    async def unsupported(request: Request) -> Response:
        raise Unsupported(f"{request.url.path[:200]}: this service does not have this function of the protocol")

    for kind in ("system", "cuda"):
        path, name = f"/v2/{kind}sharedmemory", f"v2_{kind}_memory"
        declare(router, f"{path}/status", "GET", "read", None, "V2: regions of shared memory: none", name=name)(regions)
    for path, methods in _NOT_DONE.items():
        for method in methods:
            name = (
                f"v2_{path.removeprefix('/v2/').replace('/', '_').replace('{', '').replace('}', '')}_{method.lower()}"
            )
            declare(router, path, method, "read", None, "V2: not supported", [501], name=name)(unsupported)


def _model_routes(router: APIRouter, components: Components) -> None:
    registry = components.registry

    def route(suffix: str, schema: type[BaseModel], summary: str) -> Callable[[Endpoint], Endpoint]:
        def declared(endpoint: Endpoint) -> Endpoint:
            for path in OF_MODEL:
                declare(router, path + suffix, "GET", "read", schema, summary, [404, 503])(endpoint)
            return endpoint

        return declared

    @route("", schemas.V2Model, "V2: inputs and outputs of a model")
    async def v2_model(request: Request) -> Response:
        named, model = await _loaded(components, request)
        versions = registry.models[named.bundle].versions
        return json(views.metadata(request.path_params["model"], named.operation, model, versions))

    @route("/config", schemas.V2Config, "V2: the configuration of a model in Triton's form")
    async def v2_config(request: Request) -> Response:
        named, model = await _loaded(components, request)
        most = components.limits.rows_per_request(model.manifest)
        return json(views.config(request.path_params["model"], named.operation, model, most))

    @route("/ready", schemas.V2ModelReady, "V2: whether a model answers")
    async def v2_model_ready(request: Request) -> Response:
        name, version = _named(request)
        names.lend(registry, name, version)  # raises unless a request would be answered
        return json({"name": name, "ready": True})

    @route("/stats", schemas.V2Statistics, "V2: statistics of a model")
    async def v2_statistics(request: Request) -> Response:
        name, version = _named(request)
        _, served = names.find(registry, name, version)
        return json({"model_stats": [views.statistics(name, served, components.metrics.statistics)]})


async def _loaded(components: Components, request: Request) -> tuple[names.V2Name, Model]:
    """The model that a path names, which is loaded if it is not in memory."""
    timer, seconds = RequestContext.of(request.scope).timer, components.answer_seconds
    timer.set_deadline(seconds, lambda: DeadlineExceeded(f"no answer within {seconds:g} s"))
    timer.cancel_on_disconnect(request.receive)
    named, lease = names.lend(components.registry, *_named(request))
    with lease:
        return named, await lease.load()


def infer_router(handler: InferHandler) -> APIRouter:
    """The routes to infer, each named INFER."""
    router = APIRouter()

    async def infer(request: Request) -> Response:
        return await handler.respond(request.scope, request.receive)

    for path in OF_MODEL:
        declare(
            router,
            f"{path}/infer",
            "POST",
            "infer",
            schemas.V2InferReply,
            "V2: run a model; NAME gives the ELBO, NAME.encode, NAME.decode and NAME.sample the other operations",
            _INFER_STATUSES,
            name=INFER,
            openapi_extra=_infer_extra(),
            in_bytes="JSON, then tensors in bytes; the same header has the bytes of the JSON",
        )(infer)
    return router


def _infer_extra() -> openapi.Schema:
    length = {
        "name": LENGTH_HEADER,
        "in": "header",
        "required": False,
        "description": "bytes of the JSON, if tensors in bytes follow it; 0: the whole body is the only input",
        "schema": {"type": "integer", "minimum": 0},
    }
    content = {
        JSON_TYPE: {"schema": {"$ref": "#/components/schemas/V2InferRequest"}},
        BINARY_TYPE: {"schema": openapi.as_bytes("JSON, then tensors in bytes")},
    }
    return {"parameters": [length], "requestBody": {"required": True, "content": content}}


def _named(request: Request) -> tuple[str, str | None]:
    """The name and the version in a path."""
    return request.path_params["model"], request.path_params.get("version")


def json(content: object) -> Response:
    return Response(orjson.dumps(content), media_type=JSON_TYPE)


def declare(
    router: APIRouter,
    path: str,
    method: str,
    access: Access,
    schema: type[BaseModel] | None,
    summary: str,
    statuses: Iterable[int] = (),
    *,
    name: str | None = None,
    openapi_extra: openapi.Schema | None = None,
    in_bytes: str | None = None,
) -> Callable[[Endpoint], Endpoint]:
    """Declare a route whose errors have the form of this protocol; `in_bytes` describes its other reply, if any."""
    known = sorted({*statuses, *(() if access == "probes" else KEY_STATUSES)})
    error = {"model": V2Error, "description": "The reason."}
    answered = openapi.answered()
    if in_bytes is not None:
        answered["content"] = {BINARY_TYPE: {"schema": openapi.as_bytes(in_bytes)}}
    parameters = [
        {"name": one, "in": "path", "required": True, "schema": {"type": "string"}}
        for one in ("model", "version", "region")
        if f"{{{one}}}" in path
    ]
    extra = dict(openapi_extra or {})
    if listed := [*parameters, *extra.get("parameters", [])]:
        extra["parameters"] = listed
    if access == "probes":
        extra |= openapi.WITHOUT_KEY

    def declared(endpoint: Endpoint) -> Endpoint:
        router.add_api_route(
            path,
            endpoint,
            methods=[method],
            name=name or endpoint.__name__,
            summary=summary,
            response_model=schema,
            responses={200: answered, **dict.fromkeys(known, error), "default": error},
            response_description=openapi.ANSWERED,
            openapi_extra=extra or None,
            dependencies=needs(access),
        )
        return endpoint

    return declared
