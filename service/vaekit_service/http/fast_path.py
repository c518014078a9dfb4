"""A fast path for the four operations and for infer requests, which bypasses FastAPI's middleware and router.

FastAPI declares and documents the same routes and gives the same answers. Through FastAPI, one row of 30 numbers as
JSON takes 1.33 to 1.37 times the CPU time (2026-11-29, in process, on two busy cores, best of 9 times 400 requests, 3
runs), and the same row in an infer request 1.28 to 1.67 times (2026-11-30, likewise). See
docs/decisions/2026-11-24-microseconds-of-a-request.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Protocol

from fastapi import APIRouter
from starlette.responses import Response
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Receive, Scope, Send

from vaekit_service.http.openapi import DocumentedAPI
from vaekit_service.http.routes import METHODS

CACHED_PATHS, MAX_PATH_LENGTH = 1024, 200  # cache size; longer paths go through FastAPI


class Handler(Protocol):
    """Answers the requests to the routes of one name."""

    async def respond(self, scope: Scope, receive: Receive) -> Response: ...


class FastPath(DocumentedAPI):
    """FastAPI with a fast path for the routes of some routers.

    Args:
        routers: their routes have the names of the handlers.
        handlers: by the name of a route.
        wrap: puts the middleware around the fast path; create_app adds the same to FastAPI.
        given: arguments of FastAPI.
    """

    def __init__(
        self,
        routers: Sequence[APIRouter],
        handlers: Mapping[str, Handler],
        *,
        wrap: Callable[[ASGIApp], ASGIApp],
        **given: Any,
    ) -> None:
        super().__init__(**given)
        for router in routers:
            self.include_router(router)
        routes = [route for router in routers for route in router.routes]
        self._handlers = handlers
        self._find = lru_cache(CACHED_PATHS)(lambda path, method: find(routes, path, method))
        self._answered = wrap(self._answer)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] in METHODS and not scope["root_path"]:
            path: str = scope["path"]
            found = self._find(path, scope["method"]) if len(path) <= MAX_PATH_LENGTH else None
            if found is not None:
                scope.update(found)
                scope["app"] = self
                await self._answered(scope, receive, send)
                return
        await super().__call__(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await self._handlers[scope["route"].name].respond(scope, receive)
        await response(scope, receive, send)


def find(routes: Sequence[BaseRoute], path: str, method: str = "POST") -> dict[str, Any] | None:
    """The entries that the router would add to the scope of a request to the path; None if no route matches."""
    scope = {"type": "http", "method": method, "path": path, "root_path": ""}
    for route in routes:
        match, found = route.matches(scope)
        if match is Match.FULL:
            return {"route": route, "path_params": found["path_params"]}
    return None
