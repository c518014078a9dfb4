"""The way in: requests that the service is for go straight to their route. Knows routes, none of their work."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from fastapi import FastAPI
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Receive, Scope, Send

MOST_PATHS, LONGEST_PATH = 1024, 200  # that are remembered


class FastPath(FastAPI):
    """FastAPI with a short way in for POST to some of its routes, past its router and its middleware.

    They are routes like all others; by the long way the same is answered.

    Args:
        short: routes whose endpoints are ASGI applications.
        envelope: the middleware that the short way has too.
        given: as FastAPI takes it.
    """

    def __init__(self, *, short: Sequence[Route], envelope: Callable[[ASGIApp], ASGIApp], **given: Any) -> None:
        super().__init__(**given)
        self.router.routes.extend(short)
        self._find = lru_cache(MOST_PATHS)(lambda path: find(short, path))
        self._short = envelope(_endpoint)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "POST" and not scope["root_path"]:
            path: str = scope["path"]
            found = self._find(path) if len(path) <= LONGEST_PATH else None
            if found is not None:
                scope.update(found)
                scope["app"] = self
                await self._short(scope, receive, send)
                return
        await super().__call__(scope, receive, send)


def find(routes: Sequence[Route], path: str) -> dict[str, Any] | None:
    """What the router would add to the scope of a POST to the path; None where none of the routes is meant."""
    scope = {"type": "http", "method": "POST", "path": path, "root_path": ""}
    for route in routes:
        match, found = route.matches(scope)
        if match is Match.FULL:
            return dict(found)
    return None


async def _endpoint(scope: Scope, receive: Receive, send: Send) -> None:
    await scope["endpoint"](scope, receive, send)
