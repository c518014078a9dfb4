"""Declares the admin routes, which exist only with VAE_ADMIN=true. The access log writes an audit line of each call."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel

from vaekit_service.components import Components
from vaekit_service.errors import NotReloaded
from vaekit_service.http import openapi
from vaekit_service.http.access import needs
from vaekit_service.http.routes import KEY_STATUSES


class KeysReloaded(BaseModel):
    """The reply of /admin/keys/reload."""

    keys: int  # number of keys that the service now accepts


def admin_router(components: Components) -> APIRouter:
    """The admin routes. Each needs a key of scope admin."""
    router = APIRouter()

    @router.post(
        "/admin/keys/reload",
        summary="Read the key file again",
        dependencies=needs("admin"),
        responses={**openapi.problems([*KEY_STATUSES, 409]), **openapi.any_problem()},
        response_description=openapi.ANSWERED,
    )
    async def reload_keys() -> KeysReloaded:
        if reason := await components.keyring.reload():
            raise NotReloaded(f"{reason}; the keys are as before")
        return KeysReloaded(keys=len(components.keyring))

    return router
