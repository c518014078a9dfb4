"""A fast path for POST and PUT to the four operations, which bypasses FastAPI's middleware and router.

FastAPI declares and documents the same routes and gives the same answers. Through FastAPI, one row of 30 numbers as
JSON takes 1.33 to 1.37 times the CPU time (2026-11-29, in process, on two busy cores, best of 9 times 400 requests, 3
runs). See docs/decisions/2026-11-24-microseconds-of-a-request.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from fastapi import APIRouter
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Receive, Scope, Send

from vaekit_service.http.inference import OperationHandler
from vaekit_service.http.openapi import DocumentedAPI
from vaekit_service.http.routes import METHODS
from vaekit_service.messages import Operation

CACHED_PATHS, MAX_PATH_LENGTH = 1024, 200  # cache size; longer paths go through FastAPI


class FastPath(DocumentedAPI):
    """FastAPI with a fast path for the routes of one router.

    Args:
        router: its routes have the names of the operations.
        handlers: the handler of each operation.
        wrap: puts the middleware around the fast path; create_app adds the same to FastAPI.
        given: arguments of FastAPI.
    """

    def __init__(
        self,
        router: APIRouter,
        handlers: Mapping[Operation, OperationHandler],
        *,
        wrap: Callable[[ASGIApp], ASGIApp],
        **given: Any,
    ) -> None:
        super().__init__(**given)
        self.include_router(router)
        self._handlers = handlers
        self._find = lru_cache(CACHED_PATHS)(lambda path: find(router.routes, path))
        self._answered = wrap(self._answer)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] in METHODS and not scope["root_path"]:
            path: str = scope["path"]
            found = self._find(path) if len(path) <= MAX_PATH_LENGTH else None
            if found is not None:
                scope.update(found)
                scope["app"] = self
                await self._answered(scope, receive, send)
                return
        await super().__call__(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await self._handlers[scope["route"].name].respond(scope, receive)
        await response(scope, receive, send)


def find(routes: Sequence[BaseRoute], path: str) -> dict[str, Any] | None:
    """The entries that the router would add to the scope of a POST to the path; None if no route matches."""
    scope = {"type": "http", "method": "POST", "path": path, "root_path": ""}
    for route in routes:
        match, found = route.matches(scope)
        if match is Match.FULL:
            return {"route": route, "path_params": found["path_params"]}
    return None
