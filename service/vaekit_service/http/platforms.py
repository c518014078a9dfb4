"""Declares the routes of cloud platforms: KServe's V1 protocol, SageMaker's and Vertex AI's.

They are the status routes and the operations under other paths: the same batches, limits, deadlines, metrics and score
log. With VAE_PLATFORM they need no key, since the platform decides who may call.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode

from fastapi import APIRouter
from fastapi.routing import iter_route_contexts
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import Receive, Scope

from vaekit.client import wire
from vaekit.client.wire import CSV_TYPE, NDJSON_TYPE
from vaekit.errors import ConfigError, InputError
from vaekit_service.codecs import instances
from vaekit_service.codecs.negotiation import Reader, Writer
from vaekit_service.components import Components
from vaekit_service.errors import NotReady, Unservable
from vaekit_service.http import openapi
from vaekit_service.http.access import needs
from vaekit_service.http.body import query
from vaekit_service.http.inference import OperationHandler
from vaekit_service.http.openapi import ModelName
from vaekit_service.http.request_context import RequestContext
from vaekit_service.messages import Answer, Body, Operation, ParsedRequest, Target
from vaekit_service.worker import tasks
from vaekit_service.worker.large_json import TREE

Endpoint = Callable[..., Awaitable[Response]]

ATTRIBUTES = "x-amzn-sagemaker-custom-attributes"
_ATTRIBUTES = ATTRIBUTES.encode()
_LONGEST_ATTRIBUTES = 1024  # characters, as SageMaker says


class PlainError(BaseModel):
    """An error of a route of KServe's V1 protocol."""

    error: str


class V1Models(BaseModel):
    """The reply of /v1/models."""

    models: list[str]


class V1Model(BaseModel):
    """The reply of /v1/models/{name}."""

    name: str
    ready: bool


class Instances(BaseModel):
    """The body of KServe's V1 protocol and of Vertex AI."""

    instances: list[Any] = Field(
        min_length=1, description="rows, as lists or by column name, or images, as pixels or as files in base64"
    )
    parameters: dict[str, Any] | None = Field(None, description="options of /elbo")


class Predictions(BaseModel):
    """The reply of KServe's V1 protocol and of Vertex AI."""

    predictions: list[dict[str, Any]] = Field(description="for each instance the fields of one row of a reply of /elbo")


class PredictHandler(OperationHandler):
    """Answers `instances` with `predictions`."""

    def __init__(self, components: Components) -> None:
        super().__init__("elbo", components)

    def _reader(self, content_type: bytes, content_encoding: bytes) -> Reader:
        return instances.reader(content_type, content_encoding)

    def _writer(self, accept: bytes) -> Writer:
        return instances.writer(accept)

    async def _read(self, reader: Reader, body: Body, options: dict[str, str], target: Target) -> ParsedRequest:
        if len(body) > TREE:
            return await self._components.worker.run(tasks.read_instances, target, body, options)
        return await super()._read(reader, body, options, target)

    async def _write(self, writer: Writer, answer: Answer, size: int) -> bytes:
        if size > writer.large:
            return await self._components.large_json.write(answer, tasks.write_predictions)
        return writer.write(answer)


class InvocationsHandler:
    """Answers SageMaker's /invocations by the operation that the request names, /elbo by default.

    SageMaker passes on no query, so the caller's custom attributes are read as one: `operation=encode&strict=true`.
    Attributes without = say nothing to the service, which leaves them to the caller (the id of a trace, for example).
    """

    def __init__(self, handlers: Mapping[Operation, OperationHandler]) -> None:
        self._handlers = handlers

    async def respond(self, scope: Scope, receive: Receive) -> Response:
        given = RequestContext.of(scope).headers.get(_ATTRIBUTES, b"")
        options = query(scope) | attributes_of(given)
        operation = options.pop("operation", "elbo")
        if operation not in self._handlers:
            raise InputError(f"operation: {operation[:40]!r} is none of {', '.join(self._handlers)}")
        _take_types_of_sagemaker(RequestContext.of(scope).headers)
        passed = {**scope, "query_string": urlencode(options).encode()}
        response = await self._handlers[operation].respond(passed, receive)  # type: ignore[index]  # checked above
        if given:
            response.raw_headers.append((_ATTRIBUTES, given))
        return response


def _take_types_of_sagemaker(headers: dict[bytes, bytes]) -> None:
    """Name content types as the operations do. CSV on SageMaker has no header, unless the type says that it has."""
    for name in (b"content-type", b"accept"):
        if name in headers:
            headers[name] = headers[name].replace(b"application/jsonlines", NDJSON_TYPE.encode())
    given = headers.get(b"content-type", b"").lower()
    if given.startswith(CSV_TYPE.encode()) and b"header" not in given:
        headers[b"content-type"] += b"; header=absent"


def attributes_of(given: bytes) -> dict[str, str]:
    """The options in SageMaker's custom attributes.

    Raises:
        InputError: an option is given twice.
    """
    text = given[:_LONGEST_ATTRIBUTES].decode("latin-1")
    pairs = parse_qsl(text.replace(",", "&"), keep_blank_values=True) if "=" in text else []
    if len(dict(pairs)) < len(pairs):
        raise InputError(f"{ATTRIBUTES}: {text[:80]!r} gives an option twice")
    return dict(pairs)


def platform_router(
    components: Components,
    handlers: Mapping[Operation, OperationHandler],
    *,
    sagemaker: bool,
    health_route: str | None,
    predict_route: str | None,
) -> APIRouter:
    """The routes of KServe's V1 protocol, which are always there, and those that a platform names.

    Args:
        handlers: the handler of each operation.
        sagemaker: whether SageMaker's /ping and /invocations exist.
        health_route, predict_route: further paths of readiness and of predictions; None: no such path.
    """
    router, predict = APIRouter(), PredictHandler(components)
    _add_v1(router, components, predict)
    if health_route is not None:
        _add_health(router, components, health_route)
    if predict_route is not None:
        _add_predict(router, predict_route, "predict", _answered_by(predict))
    if sagemaker:
        _add_health(router, components, "/ping")
        router.add_api_route(
            "/invocations",
            _answered_by(InvocationsHandler(handlers)),
            methods=["POST"],
            name="invocations",
            summary="An operation of the default model, named by the custom attributes; /elbo by default",
            dependencies=needs("infer"),
            responses=openapi.operation_responses(),
            openapi_extra=openapi.operation_extra("elbo"),
        )
    return router


def check_free(predict_route: str | None, routes: Iterable[BaseRoute]) -> None:
    """Check that the path of predictions is not one of the service's own, which a platform may call without a key.

    Raises:
        ConfigError: it is.
    """
    if predict_route is None:
        return
    own = [route.path for route in iter_route_contexts(list(routes))]
    if predict_route in own:
        raise ConfigError(f"VAE_PREDICT_ROUTE={predict_route}: this path is one of the service's own; choose another")


def _add_v1(router: APIRouter, components: Components, predict: PredictHandler) -> None:
    registry = components.registry
    # before /v1/models/{name}, which matches its path too: a 405 names the methods of the first that matches
    _add_predict(router, "/v1/models/{name}:predict", "v1_predict", _answered_by_model(predict))

    @router.get(
        "/v1/models",
        response_model=V1Models,
        name="v1_models",
        summary="KServe V1: the names of the served models",
        dependencies=needs("read", plain_errors=True),
        responses=_plain_errors(),
        response_description=openapi.ANSWERED,
    )
    async def v1_models() -> Response:
        return _json(V1Models(models=registry.names))

    @router.get(
        "/v1/models/{name}",
        response_model=V1Model,
        name="v1_model",
        summary="KServe V1: whether a model is ready",
        dependencies=needs("read", plain_errors=True),
        responses=_plain_errors(),
        response_description=openapi.ANSWERED,
    )
    async def v1_model(name: ModelName) -> Response:
        served = registry.find(name, None)
        if served.model is None:
            reason = f"model {served.name!r} is not ready: {served.reason or 'still loading'}"
            raise NotReady(reason) if served.state == "loading" else Unservable(reason)
        return _json(V1Model(name=served.name, ready=True))


def _add_predict(router: APIRouter, path: str, name: str, endpoint: Endpoint) -> None:
    router.add_api_route(
        path,
        endpoint,
        methods=["POST"],
        name=name,
        response_model=Predictions,
        summary="ELBO, score, p-value and verdict of each instance",
        response_description=openapi.ANSWERED,
        dependencies=needs("infer", plain_errors=True),
        responses=_plain_errors(),
        openapi_extra=openapi.json_body(Instances),
    )


def _add_health(router: APIRouter, components: Components, path: str) -> None:
    @router.get(
        path,
        name="platform_health",
        summary="Whether the service is ready",
        dependencies=needs("probes"),
        openapi_extra=openapi.WITHOUT_KEY,
    )
    async def health() -> Response:
        if components.unready():
            reason = "the service is not ready; /readyz says why to callers with the scope read"
            raise NotReady(reason) if components.will_be_ready else Unservable(reason)
        return _json(V1Health())


class V1Health(BaseModel):
    """The reply of a platform's health route."""

    status: str = "ready"


def _answered_by(handler: PredictHandler | InvocationsHandler) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        return await handler.respond(request.scope, request.receive)

    return endpoint


def _answered_by_model(handler: PredictHandler) -> Endpoint:
    async def endpoint(request: Request, name: ModelName) -> Response:  # noqa: ARG001 - the handler reads it from the scope
        return await handler.respond(request.scope, request.receive)

    return endpoint


def _plain_errors() -> openapi.Responses:
    return {"default": {"model": PlainError, "description": "Any error."}}


def _json(content: BaseModel) -> Response:
    return Response(content.model_dump_json(), media_type=wire.JSON_TYPE)
