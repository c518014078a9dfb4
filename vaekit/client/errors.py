"""What can go wrong between a client and the service, and the one border where httpx's errors become ours.

ClientError (VaeError)
├── ConnectionFailed     no connection, or one that broke off
├── DeadlineExceeded     the client's timeout passed, or the service's own (504)
├── ProtocolError        a reply that is not what the wire promises
├── ServiceFailed        5xx: the service's fault
│   └── ServiceUnavailable   503: no model is ready, or the service is stopping
└── RequestRefused       4xx: the message is the problem's text
    ├── Unauthorized         401, 403
    ├── ModelNotFound        404; an UnknownModel too
    └── TooBusy              429: full now, worth another try after retry_after seconds
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from vaekit.errors import UnknownModel, VaeError


class ClientError(VaeError):
    """Base of all errors of the client."""


class ConnectionFailed(ClientError):
    """No connection to the service, or one that broke off."""


class DeadlineExceeded(ClientError):
    """No answer in time."""


class ProtocolError(ClientError):
    """A reply that is not what the wire promises: most likely the address is not that of this service."""


class _Answered(ClientError):
    """An answer with an error status.

    Attributes:
        status: the HTTP status.
        request_id: what the service's log calls the request, where it said so.
        retry_after: seconds after which another try is worth it, where it said so.
    """

    def __init__(
        self, detail: str, *, status: int, request_id: str | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.request_id = request_id
        self.retry_after = retry_after


class ServiceFailed(_Answered):
    """5xx: the service could not do what it should."""


class ServiceUnavailable(ServiceFailed):
    """503: no model is ready, or the service is stopping."""


class RequestRefused(_Answered):
    """4xx: the request is refused; the message names what is wrong with it."""


class Unauthorized(RequestRefused):
    """401 or 403: no key, or not the right one."""


class ModelNotFound(RequestRefused, UnknownModel):
    """404: no model or version of that name."""


class TooBusy(RequestRefused):
    """429: the service is full now."""


NOT_UP = (ConnectionFailed, DeadlineExceeded, ServiceUnavailable)  # what a service that is not ready looks like


@contextmanager
def translated(url: str) -> Iterator[None]:
    """The border: whatever httpx raises inside leaves as a ClientError that names the address."""
    try:
        yield
    except httpx.TimeoutException as exc:
        raise DeadlineExceeded(f"{url}: no answer in time ({type(exc).__name__})") from exc
    except httpx.TransportError as exc:
        raise ConnectionFailed(f"{url}: {exc or type(exc).__name__}") from exc
    except httpx.HTTPError as exc:
        raise ProtocolError(f"{url}: {exc}") from exc
