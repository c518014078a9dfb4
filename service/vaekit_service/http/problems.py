"""Errors as RFC 9457 problem documents, and the table from error class to status."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import NamedTuple

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from vaekit.client.wire import PROBLEM_TYPE, Problem
from vaekit.errors import (
    BundleError,
    ConfigError,
    DeviceError,
    InputError,
    MissingExtra,
    NotFinite,
    NotResolvable,
    StorageError,
    TrainingError,
    UnknownModel,
    VaeError,
)
from vaekit_service import errors
from vaekit_service.http.request_context import RequestContext


class Kind(NamedTuple):
    """What a class of errors is answered with."""

    status: int
    title: str
    tell: bool = True  # whether the message is for the caller, or for the log alone
    again: str | None = None  # seconds: a queue of jobs and a loading model are both a matter of moments


_INTERNAL = Kind(500, "Internal error", tell=False)

ANSWERS: dict[type[VaeError], Kind] = {
    errors.Unparsable: Kind(400, "Unparsable body"),
    UnknownModel: Kind(404, "Unknown model"),
    errors.NotAcceptable: Kind(406, "No acceptable reply type"),
    errors.SlowBody: Kind(408, "Body not received in time"),
    errors.TooLarge: Kind(413, "Too large"),
    errors.MediaType: Kind(415, "Unsupported media type"),
    InputError: Kind(422, "Invalid input"),
    NotResolvable: Kind(422, "Alpha not resolvable"),
    errors.Overloaded: Kind(429, "Overloaded", again="1"),
    errors.Disconnected: Kind(499, "Caller hung up"),  # for the log; the reply is not read
    errors.NotReady: Kind(503, "Not ready", again="1"),
    errors.Unservable: Kind(503, "Not ready"),
    errors.DeadlineExceeded: Kind(504, "Deadline exceeded"),
    # What a request must never reach; if it does, the fault is ours.
    BundleError: _INTERNAL,
    NotFinite: _INTERNAL,
    DeviceError: _INTERNAL,
    StorageError: _INTERNAL,
    MissingExtra: _INTERNAL,
    ConfigError: _INTERNAL,
    TrainingError: _INTERNAL,
}

_HIDDEN = "the service failed on this request; its log has the reason under the id that `instance` gives"
_TYPE = "urn:vaekit:problem:"


def kind_of(error: type[BaseException]) -> Kind:
    """The row of the table for a class: its own, or that of its nearest ancestor; 500 for what is not there."""
    for ancestor in error.__mro__:
        if ancestor in ANSWERS:
            return ANSWERS[ancestor]
    return _INTERNAL


def respond(context: RequestContext, error: Exception) -> Response:
    """The problem document of an error that a route raised."""
    kind = kind_of(type(error))
    name = type(error).__name__  # for the access log: the message to the caller may quote its rows, so it is not logged
    context.error = name if kind.tell else f"{name}: {error}"
    detail = str(error) if kind.tell else _HIDDEN
    headers = {"retry-after": kind.again} if kind.again else None
    return problem(context, kind.status, kind.title, detail, headers)


def problem(
    context: RequestContext, status: int, title: str, detail: str, headers: Mapping[str, str] | None = None
) -> Response:
    """A problem document of any status; the type is about:blank where the title is only the status's own phrase."""
    phrase = title == HTTPStatus(status).phrase if status in set(HTTPStatus) else False
    document = Problem(
        type="about:blank" if phrase else _TYPE + title.lower().replace(" ", "-"),
        title=title,
        status=status,
        detail=detail,
        instance=context.id,
    )
    return Response(document.model_dump_json(), status, {"cache-control": "no-store", **(headers or {})}, PROBLEM_TYPE)


async def on_http_error(request: Request, exc: Exception) -> Response:
    """What the router raises: no such path, or not that method."""
    assert isinstance(exc, HTTPException)
    context, phrase = RequestContext.of(request.scope), HTTPStatus(exc.status_code).phrase
    return problem(context, exc.status_code, phrase, _reason(request, exc), exc.headers)


def _reason(request: Request, exc: HTTPException) -> str:
    if exc.status_code == 405:
        return f"{request.method[:20]} is not for this path; {(exc.headers or {}).get('Allow', '')} is"
    names = ", ".join(request.app.state.components.registry.names) or "none"
    return f"no such path: {request.url.path[:80]!r}; /docs lists them; models: {names}"
