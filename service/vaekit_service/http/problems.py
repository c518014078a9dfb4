"""Turns errors into RFC 9457 problem documents, by a table from error class to status.

Below /v2 an error is {"error": message}, as in the Open Inference Protocol.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any, NamedTuple

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from vaekit.client.wire import JSON_TYPE, PROBLEM_TYPE, REQUEST_ID_HEADER, Problem
from vaekit.errors import (
    BundleError,
    ConfigError,
    DeviceError,
    InputError,
    MissingExtra,
    NotFinite,
    NotResolvable,
    StorageError,
    StoreError,
    TrainingError,
    UnknownModel,
    VaeError,
)
from vaekit_service import errors
from vaekit_service.errors import ServiceError
from vaekit_service.http.request_context import RequestContext, is_v2


class ProblemKind(NamedTuple):
    """The status and title that a class of errors is answered with."""

    status: int
    title: str
    is_public: bool = True  # whether the reply contains the message; if not, only the log does
    retry_after: str | None = None  # seconds; a full queue or a loading model usually takes only moments
    headers: Callable[[Any], Mapping[str, str]] = lambda _: {}  # further headers, from the error


_REALM = 'Bearer realm="vaekit"'  # challenges as in RFC 6750, section 3


def _challenge(error: str = "", more: str = "") -> dict[str, str]:
    return {"www-authenticate": f'{_REALM}, error="{error}"{more}' if error else _REALM}


_INTERNAL = ProblemKind(500, "Internal error", is_public=False)

PROBLEM_KINDS: dict[type[VaeError], ProblemKind] = {
    errors.Malformed: ProblemKind(400, "Malformed request"),
    errors.Unparsable: ProblemKind(400, "Unparsable body"),
    errors.MissingKey: ProblemKind(401, "Key required", headers=lambda _: _challenge()),
    errors.InvalidKey: ProblemKind(401, "Invalid key", headers=lambda _: _challenge("invalid_token")),
    errors.MissingScope: ProblemKind(
        403, "Missing scope", headers=lambda error: _challenge("insufficient_scope", f', scope="{error.scope}"')
    ),
    UnknownModel: ProblemKind(404, "Unknown model"),
    errors.NotAcceptable: ProblemKind(406, "No acceptable reply type"),
    errors.SlowBody: ProblemKind(408, "Body not received in time"),
    errors.SlowHead: ProblemKind(408, "Head not received in time"),
    errors.NotReloaded: ProblemKind(409, "Keys not reloaded"),
    errors.StillServes: ProblemKind(409, "Version serves"),
    errors.TooLarge: ProblemKind(413, "Too large"),
    errors.TargetTooLong: ProblemKind(414, "Request target too long"),
    errors.MediaType: ProblemKind(415, "Unsupported media type"),
    errors.HostNotAllowed: ProblemKind(421, "Host not allowed"),
    InputError: ProblemKind(422, "Invalid input"),
    NotResolvable: ProblemKind(422, "Alpha not resolvable"),
    errors.Overloaded: ProblemKind(429, "Overloaded", retry_after="1"),
    errors.RateLimited: ProblemKind(
        429, "Rate limit reached", headers=lambda error: {"retry-after": str(error.seconds)}
    ),
    errors.HeadTooLarge: ProblemKind(431, "Head too large"),
    errors.Disconnected: ProblemKind(499, "Caller hung up"),  # for the log; the reply is not read
    errors.UnknownCoding: ProblemKind(501, "Unknown transfer coding"),
    errors.Unsupported: ProblemKind(501, "Not supported"),
    errors.NotReady: ProblemKind(503, "Not ready", retry_after="1"),
    errors.NotHealthy: ProblemKind(503, "Not healthy"),
    errors.WorkerEnded: ProblemKind(503, "Worker ended"),
    errors.Unservable: ProblemKind(503, "Not ready"),
    errors.TooManyConnections: ProblemKind(503, "Too many connections", retry_after="1"),
    errors.DeadlineExceeded: ProblemKind(504, "Deadline exceeded"),
    # A request should never cause these errors; if one does, that is a bug of the service.
    BundleError: _INTERNAL,
    NotFinite: _INTERNAL,
    DeviceError: _INTERNAL,
    StorageError: _INTERNAL,
    StoreError: _INTERNAL,
    MissingExtra: _INTERNAL,
    ConfigError: _INTERNAL,
    TrainingError: _INTERNAL,
}

HUNG_UP = PROBLEM_KINDS[errors.Disconnected].status
_HIDDEN = "internal error of the service; its log has the details under the id of this request"
_TYPE = "urn:vaekit:problem:"


def kind_of(error: type[BaseException]) -> ProblemKind:
    """The table's entry for an error class or its nearest ancestor; a 500 for classes that are not in the table."""
    for ancestor in error.__mro__:
        if ancestor in PROBLEM_KINDS:
            return PROBLEM_KINDS[ancestor]
    return _INTERNAL


def respond(context: RequestContext, error: Exception) -> Response:
    """The problem document of an error that a route raised."""
    kind = kind_of(type(error))
    name = type(error).__name__  # public messages may quote the caller's rows, so the log gets only the class name
    context.error = name if kind.is_public else f"{name}: {error}"
    context.error_class = type(error)
    detail = str(error) if kind.is_public else _HIDDEN
    if isinstance(error, UnknownModel) and "read" not in context.scopes:
        detail = f"{detail.partition(';')[0]}; a key of scope 'read' may list them"
    headers = {**({"retry-after": kind.retry_after} if kind.retry_after else {}), **kind.headers(error)}
    return problem(context, kind.status, kind.title, detail, headers)


def reply_bytes(error: ServiceError, request_id: str, headers: Iterable[tuple[bytes, bytes]], target: bytes) -> bytes:
    """The whole reply to a request that is refused before the app gets it. The connection closes after it.

    Args:
        error: the reason.
        request_id: the id of the request in the log.
        headers: the headers that the server adds to every reply.
        target: path and query of the request as far as they are known.
    """
    kind = kind_of(type(error))
    if is_v2(target.decode("latin-1")):
        content, media_type = _plain_error(str(error)), JSON_TYPE
    else:
        content, media_type = _document(kind.status, kind.title, str(error), request_id), PROBLEM_TYPE
    head = [
        f"HTTP/1.1 {kind.status} {HTTPStatus(kind.status).phrase}",
        *(f"{name.decode()}: {value.decode('latin-1')}" for name, value in headers),
        f"content-type: {media_type}",
        f"content-length: {len(content)}",
        f"{REQUEST_ID_HEADER}: {request_id}",
        "cache-control: no-store",
        "connection: close",
        *([f"retry-after: {kind.retry_after}"] if kind.retry_after else []),
    ]
    return "\r\n".join([*head, "", ""]).encode("latin-1") + content


def problem(
    context: RequestContext, status: int, title: str, detail: str, headers: Mapping[str, str] | None = None
) -> Response:
    """A problem document of any status; for routes with plain errors only its detail, as {"error": detail}.

    For them, and below /v2, invalid input has the status 400, as in KServe's protocols.
    """
    kept = {"cache-control": "no-store", **(headers or {})}
    if context.is_v2 or context.plain_errors:
        status = 400 if status == 422 else status
        return Response(_plain_error(detail), status, kept, JSON_TYPE)
    return Response(_document(status, title, detail, context.id), status, kept, PROBLEM_TYPE)


def _plain_error(detail: str) -> bytes:
    return orjson.dumps({"error": detail})


def _document(status: int, title: str, detail: str, request_id: str) -> bytes:
    """A problem document. Its type is about:blank if the title is the standard phrase of the status."""
    is_standard = title == HTTPStatus(status).phrase if status in set(HTTPStatus) else False
    document = Problem(
        type="about:blank" if is_standard else _TYPE + title.lower().replace(" ", "-"),
        title=title,
        status=status,
        detail=detail,
        instance=request_id,
    )
    return document.model_dump_json().encode()


async def on_http_error(request: Request, exc: Exception) -> Response:
    """The problem document of an error that the router raises: unknown path or wrong method."""
    assert isinstance(exc, HTTPException)
    context, phrase = RequestContext.of(request.scope), HTTPStatus(exc.status_code).phrase
    return problem(context, exc.status_code, phrase, _reason(request, exc), exc.headers)


def _reason(request: Request, exc: HTTPException) -> str:
    if exc.status_code == 405:
        allowed = (exc.headers or {}).get("Allow", "")
        return f"method {request.method[:20]} is not allowed for {request.url.path[:80]!r}; allowed: {allowed}"
    told = f"no such path: {request.url.path[:80]!r}; /docs lists all paths"
    if "read" not in RequestContext.of(request.scope).scopes:
        return told
    return f"{told}; served models: {', '.join(request.app.state.components.registry.names) or 'none'}"
