"""Declares the admin routes, which exist only with VAE_ADMIN=true. The access log writes an audit line of each call."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel

from vaekit.client import wire
from vaekit_service.components import Components
from vaekit_service.errors import NotReloaded
from vaekit_service.http import openapi
from vaekit_service.http.access import needs
from vaekit_service.http.openapi import ModelName, ModelVersionNumber
from vaekit_service.http.routes import KEY_STATUSES
from vaekit_service.repository.actions import ModelActions

_MODEL = "/admin/models/{name}"
_VERSION = _MODEL + "/versions/{version}"


class KeysReloaded(BaseModel):
    """The reply of /admin/keys/reload."""

    keys: int  # number of keys that the service now accepts


def admin_router(components: Components, actions: ModelActions) -> APIRouter:
    """The admin routes. Each needs a key of scope admin."""
    router = APIRouter()

    def models() -> wire.ModelList:
        return components.registry.summary()

    @_post(router, "/admin/keys/reload", "Read the key file again", [409])
    async def reload_keys() -> KeysReloaded:
        if reason := await components.keyring.reload():
            raise NotReloaded(f"{reason}; the keys are as before")
        return KeysReloaded(keys=len(components.keyring))

    @_post(router, "/admin/models/reload", "Look at the models folder now; failed versions are tried again")
    async def reload_models() -> wire.ModelList:
        await actions.reload()
        return models()

    @_post(router, f"{_VERSION}/pin", "Answer requests that name no version with this version", [404, 503])
    async def pin_version(name: ModelName, version: ModelVersionNumber) -> wire.ModelList:
        await actions.pin(name, str(version))
        return models()

    @_post(router, f"{_MODEL}/unpin", "Answer requests that name no version with the latest version", [404])
    async def unpin_model(name: ModelName) -> wire.ModelList:
        await actions.unpin(name)
        return models()

    @_post(router, f"{_VERSION}/load", "Load a version and keep it in memory", [404, 503])
    async def load_version(name: ModelName, version: ModelVersionNumber) -> wire.ModelList:
        await actions.load(name, str(version))
        return models()

    @_post(router, f"{_VERSION}/unload", "Take a version out of memory after its last request", [404, 409])
    async def unload_version(name: ModelName, version: ModelVersionNumber) -> wire.ModelList:
        await actions.unload(name, str(version))
        return models()

    return router


Endpoint = Callable[..., Awaitable[Any]]


def _post(router: APIRouter, path: str, summary: str, problems: Iterable[int] = ()) -> Callable[[Endpoint], Endpoint]:
    """Declare an admin route."""
    return router.post(
        path,
        summary=summary,
        dependencies=needs("admin"),
        responses={**openapi.problems(sorted({*KEY_STATUSES, *problems})), **openapi.any_problem()},
        response_description=openapi.ANSWERED,
    )
