"""Declares what access each route needs. The guard reads the declarations; a route without one stops the start."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import Depends, Security
from fastapi.routing import iter_route_contexts
from fastapi.security import HTTPBearer
from starlette.requests import Request
from starlette.routing import BaseRoute, compile_path

from vaekit_service.http.request_context import Access, RequestContext
from vaekit_service.keys.key import Scope

# The scope that a route needs unless its access is public. The first four are never needed to use models.
SCOPE_OF: dict[Access, Scope] = {
    "probes": "read",
    "page": "read",
    "metrics": "read",
    "docs": "read",
    "read": "read",
    "infer": "infer",
    "admin": "admin",
}

_BEARER = HTTPBearer(
    scheme_name="key",
    description="A key of the service, with the scopes that a route names. Not needed if the service has no keys.",
    auto_error=False,
)


@dataclass(frozen=True)
class _Needs:
    """A dependency of a route that says what access it needs. The guard has checked that before the route is found."""

    access: Access
    plain_errors: bool = False

    async def __call__(self, request: Request) -> None:
        checked = RequestContext.of(request.scope).access
        assert checked == self.access, f"the guard checked {checked}, and the route needs {self.access}"


def needs(access: Access, *, plain_errors: bool = False) -> Sequence[Any]:
    """The dependencies of a route that declare what access it needs, to the guard and in the OpenAPI document.

    Args:
        access: what a caller must be allowed to do.
        plain_errors: whether errors are {"error": text}, as KServe's protocols say, and no problem documents.
    """
    declared = [Depends(_Needs(access, plain_errors))]
    return declared if access == "probes" else [*declared, Security(_BEARER, scopes=[SCOPE_OF[access]])]


class AccessTable:
    """The declared access of each route.

    Args:
        routes: the routes of an app, after the last was added.
    """

    def __init__(self, routes: Iterable[BaseRoute]) -> None:
        self.declared: dict[tuple[str | None, str], Access] = {}  # by the template of the path, and by method
        self.with_plain_errors: set[str | None] = set()  # templates of paths
        for route in iter_route_contexts(list(routes)):
            assert route.path is not None
            declared = _declared(route.dependencies, route.path)
            if declared.plain_errors:
                self.with_plain_errors.add(route.path)
            for method in route.methods or ():
                assert self.declared.setdefault((route.path, method), declared.access) == declared.access, route.path
        paths = dict.fromkeys(path for path, _ in self.declared if path is not None)
        self._patterns = [(compile_path(path)[0], path) for path in paths]

    def template(self, path: str, method: str) -> str | None:
        """The path of the route that a request would be routed to; None: there is no such route."""
        return next((t for pattern, t in self._patterns if (t, method) in self.declared and pattern.match(path)), None)


def _declared(dependencies: Iterable[Any], path: str) -> _Needs:
    found = [one.dependency for one in dependencies if isinstance(one.dependency, _Needs)]
    assert len(found) == 1, f"{path}: declare what access it needs, by dependencies=needs(...)"
    return found[0]
