"""Checks the host, the key, its scope and its rate before a request reaches its route and before its body is read."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from vaekit_service.errors import HostNotAllowed, MissingScope, ServiceError
from vaekit_service.http.access import SCOPE_OF, AccessTable
from vaekit_service.http.request_context import Access, RequestContext, route_path
from vaekit_service.keys.keyring import Keyring
from vaekit_service.keys.rates import RateLimits
from vaekit_service.metrics import Metrics

_ANONYMOUS = frozenset({"infer", "read"})  # the scopes of every caller of a service without keys


class Guard:
    """The rules of one service. Everything that is not public needs a key, paths without a route too.

    Args:
        keyring: the keys.
        rates: the rates of the keys.
        public: kinds of access that need no key.
        public_paths: of a cloud platform, which need no key, as do all below one that ends with a slash; those for
            admins do.
        hosts: names that requests may call the service by, in lower case; `*.example.com` stands for its subdomains and
            `*` for all; empty: any. Probes are not checked, since they use the address of a container.
        metrics: counts the refusals.
    """

    def __init__(
        self,
        keyring: Keyring,
        rates: RateLimits,
        metrics: Metrics,
        *,
        public: Collection[str],
        hosts: Collection[str],
        public_paths: Collection[str] = (),
    ) -> None:
        self._keyring, self._rates, self._metrics = keyring, rates, metrics
        self._public, self._public_paths = frozenset(public), frozenset(public_paths)
        self._hosts = frozenset(hosts)
        self._domains = tuple(host.removeprefix("*") for host in hosts if host.startswith("*"))
        self._table = AccessTable(())

    def learn(self, routes: Iterable[BaseRoute]) -> None:
        """Read what access each route of the app needs; called once, after the last was added."""
        self._table = AccessTable(routes)

    async def check(self, scope: Scope) -> None:
        """Check a request.

        Raises:
            HostNotAllowed, MissingKey, UnknownKey, ExpiredKey, MissingScope, RateLimited: it is refused.
        """
        try:
            await self._check(scope)
        except ServiceError as exc:
            self._metrics.key_refusals.labels(type(exc).__name__).inc()
            raise

    async def _check(self, scope: Scope) -> None:
        context = RequestContext.of(scope)
        context.route, context.access = self._found(scope)
        context.plain_errors = context.route in self._table.with_plain_errors
        if self._hosts and context.access != "probes":
            self._check_host(context.headers.get(b"host", b""))
        if self._keyring.is_required or context.access == "admin":
            await self._check_key(context)
        else:
            context.scopes = _ANONYMOUS

    def _found(self, scope: Scope) -> tuple[str | None, Access | None]:
        """The template of the path of a request, and what access it needs; None and None: there is no such route."""
        route, method = scope.get("route"), scope["method"]  # the fast path has set the route
        if route is None or scope["root_path"]:  # an app that ours is mounted in sets its own route
            template = self._table.template(route_path(scope), method)
        else:
            template = route.path
        return template, self._table.declared.get((template, method))

    async def _check_key(self, context: RequestContext) -> None:
        key, refusal = self._keyring.identify(context.headers.get(b"authorization"))
        context.key = None if key is None else key.name
        if key is not None and refusal is None:
            context.scopes = key.scopes
        if context.access in self._public or self._is_of_platform(context):
            return
        if refusal is not None:
            raise refusal
        assert key is not None
        if context.access is not None and (needed := SCOPE_OF[context.access]) not in key.scopes:
            raise MissingScope(f"the key {key.name!r} does not have the scope {needed!r}", needed)
        await self._rates.count(key.name, key.rate)

    def _is_of_platform(self, context: RequestContext) -> bool:
        """Whether the route is one that a cloud platform calls, without a key."""
        path = context.route
        if path is None or context.access == "admin":
            return False
        return any(path == one or (one.endswith("/") and path.startswith(one)) for one in self._public_paths)

    def _check_host(self, given: bytes) -> None:
        host = _without_port(given.decode("latin-1").lower())
        if host not in self._hosts and not host.endswith(self._domains):
            raise HostNotAllowed(f"host {host[:80]!r} is not one of this service; VAE_ALLOWED_HOSTS lists them")


class GuardLayer:
    """ASGI middleware that raises what the guard raises."""

    def __init__(self, app: ASGIApp, *, guard: Guard) -> None:
        self._app, self._guard = app, guard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._guard.check(scope)
        await self._app(scope, receive, send)


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name if colon and (port.isdecimal() or not port) else host
