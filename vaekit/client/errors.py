"""The errors of the client, and the translation of httpx's errors into them.

ClientError (VaeError)
├── ConnectionFailed     no connection, or a broken one
├── DeadlineExceeded     the timeout of the client or of the service (504) passed
├── ProtocolError        a reply that does not follow the wire format
├── ServiceFailed        5xx: an error in the service
│   └── ServiceUnavailable   503: no model is ready, or the service is stopping
└── RequestRefused       4xx: the message is the detail of the problem document
    ├── Unauthorized         401, 403
    ├── ModelNotFound        404; also an UnknownModel
    └── TooBusy              429: the service is full; try again after retry_after seconds
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from vaekit.errors import UnknownModel, VaeError


class ClientError(VaeError):
    """Base of all errors of the client."""


class ConnectionFailed(ClientError):
    """No connection to the service, or a broken one."""


class DeadlineExceeded(ClientError):
    """No reply in time."""


class ProtocolError(ClientError):
    """A reply that does not follow the wire format. Most likely the address is not that of a vaekit service."""


class _ErrorReply(ClientError):
    """A reply with an error status.

    Attributes:
        status: the HTTP status.
        request_id: the id of the request in the service's log, if the reply has it.
        retry_after: seconds to wait before another try, if the reply has it.
    """

    def __init__(
        self, detail: str, *, status: int, request_id: str | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.request_id = request_id
        self.retry_after = retry_after


class ServiceFailed(_ErrorReply):
    """5xx: an error in the service."""


class ServiceUnavailable(ServiceFailed):
    """503: no model is ready, the service is stopping, or it has no room for another connection."""


class RequestRefused(_ErrorReply):
    """4xx: the request is refused; the message says what is wrong with it."""


class Unauthorized(RequestRefused):
    """401 or 403: no key, or a wrong one."""


class ModelNotFound(RequestRefused, UnknownModel):
    """404: no model or version of that name."""


class TooBusy(RequestRefused):
    """429: the service is full at the moment."""


# Raised if the service is not running or not ready.
NOT_READY = (ConnectionFailed, DeadlineExceeded, ServiceUnavailable)


@contextmanager
def translated(url: str, note: str = "") -> Iterator[None]:
    """Turn httpx's errors into a ClientError that names the address; `note` is added if there is no connection."""
    try:
        yield
    except httpx.TimeoutException as exc:
        raise DeadlineExceeded(
            f"{url}: no reply in time ({type(exc).__name__}); raise the timeout or send fewer rows{note}"
        ) from exc
    except httpx.ConnectError as exc:
        what = f"{url}: connection failed: {str(exc) or type(exc).__name__}"
        raise ConnectionFailed(f"{what}{note or '; does vae serve run there?'}") from exc
    except httpx.TransportError as exc:
        raise ConnectionFailed(f"{url}: connection failed: {str(exc) or type(exc).__name__}{note}") from exc
    except (OverflowError, ExceptionGroup) as exc:  # of the socket, sync and async: a port beyond 65535, of a proxy too
        raise ConnectionFailed(f"{url}: connection failed: {_first(exc)}{note}") from exc
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as exc:
        raise ProtocolError(f"{url}: {exc}") from exc


def _first(exc: Exception) -> Exception:
    """The first error in a group of errors, however deep; any other error itself."""
    return _first(exc.exceptions[0]) if isinstance(exc, ExceptionGroup) else exc
