"""Declares the routes of the Open Inference Protocol for the repository: its index, and loading and unloading models.

Models are loaded and unloaded by the actions of the admin routes. All models of a bundle share its weights, so what
happens to one of them happens to the others.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from vaekit.errors import InputError, UnknownModel
from vaekit_service.codecs.v2 import json_head
from vaekit_service.components import Components
from vaekit_service.errors import SlowBody, Unsupported
from vaekit_service.http.body import read_body
from vaekit_service.http.request_context import RequestContext
from vaekit_service.http.v2 import names, schemas, views
from vaekit_service.http.v2.routes import declare, json
from vaekit_service.repository.actions import ModelActions

_ACTIONS = "/v2/repository/models/{model}"


def index_router(components: Components) -> APIRouter:
    """The index, which every caller that may read gets."""
    router = APIRouter()

    @declare(router, "/v2/repository/index", "POST", "read", None, "V2: all versions of all models", [400])
    async def v2_index(request: Request) -> Response:
        ready = (await _fields(components, request)).get("ready", False)
        if type(ready) is not bool:
            raise InputError("ready: expected true or false")
        return json(views.index(components.registry.models.values(), ready_only=ready))

    return router


def actions_router(components: Components, actions: ModelActions) -> APIRouter:
    """Loading and unloading, which need the scope admin and exist only with the other admin routes."""
    router = APIRouter()

    @declare(router, f"{_ACTIONS}/load", "POST", "admin", schemas.V2Loaded, "V2: load a bundle", [400, 404, 501, 503])
    async def v2_load(request: Request) -> Response:
        name, fields = request.path_params["model"], await _fields(components, request)
        if fields.get("parameters"):
            raise Unsupported(
                "parameters: a model is loaded as it is in the models folder; send no config and no files"
            )
        named = names.parse(name)
        try:
            await actions.start(named.bundle)
        except UnknownModel as exc:
            raise UnknownModel(f"failed to load {name[:100]!r}, no such model") from exc
        return json({"name": name, "load": True})

    @declare(router, f"{_ACTIONS}/unload", "POST", "admin", schemas.V2Unloaded, "V2: unload a bundle", [400, 404])
    async def v2_unload(request: Request) -> Response:
        name = request.path_params["model"]
        await _fields(components, request)
        named, _ = names.find(components.registry, name, None)
        await actions.stop(named.bundle)
        return json({"name": name, "unload": True})

    return router


async def _fields(components: Components, request: Request) -> dict[str, Any]:
    """The fields of a body that may be empty.

    Raises:
        SlowBody: the body did not arrive in time.
        Unparsable: not JSON, or nested too deep.
        TooLarge, Overloaded, Disconnected: see read_body.
    """
    timer, seconds = RequestContext.of(request.scope).timer, components.body_seconds
    timer.set_deadline(seconds, lambda: SlowBody(f"the body did not arrive within {seconds:g} s"))
    body = await read_body(request.scope, request.receive)
    timer.stop()
    if not body.strip():
        return {}
    json_head.check_depth(body)
    return json_head.loads(body)
