"""The errors that the service raises itself. http/problems.py maps each class to an HTTP status.

VaeError
└── ServiceError
    ├── Malformed (ValueError)   the request is not valid HTTP/1.1, or its framing is ambiguous
    ├── SlowHead                 the request line and headers did not arrive in time
    ├── TargetTooLong            the path and query exceed the limit
    ├── HeadTooLarge             the headers, trailers or chunk extensions exceed the limits
    ├── UnknownCoding            the body has a transfer coding other than chunked
    ├── TooManyConnections       no room for another connection at the moment; the caller may retry
    ├── HostNotAllowed           the request names a host that is not among the allowed ones
    ├── MissingKey               the request has no key
    ├── InvalidKey               the key is not valid; its two subclasses get the same reply
    │   ├── UnknownKey           no such key
    │   └── ExpiredKey           the key has expired
    ├── MissingScope             the key does not have the scope of the route
    ├── RateLimited              the key has no requests left for now; the caller may retry
    ├── NotReloaded              the key file cannot be read again; the keys are as before
    ├── StillServes              the version cannot be unloaded, since it answers requests that name no version
    ├── Unparsable (ValueError)  the body is not valid data of its content type
    ├── SlowBody                 the body did not arrive in time
    ├── NotAcceptable            the service writes no reply type that the caller accepts
    ├── TooLarge                 the request exceeds a limit and will never be accepted
    ├── MediaType                the route does not read this content type or encoding
    ├── Unsupported              the protocol has this function, and the service does not
    ├── Overloaded               no room at the moment; the caller may retry
    ├── NotReady                 the model is loading, or the service is shutting down; the caller may retry
    ├── NotHealthy               the thread that runs the models is stuck or has ended
    ├── WorkerEnded              the process that reads and writes large JSON ended while it had the request
    ├── Unservable               the model failed to load, or there is no model
    ├── DeadlineExceeded         the answer was not ready in time
    └── Disconnected             the caller closed the connection before its answer
"""

from vaekit.errors import VaeError


class ServiceError(VaeError):
    """Base of the service's own errors."""


class Malformed(ServiceError, ValueError):
    """The request is not valid HTTP/1.1, or its framing is ambiguous."""


class SlowHead(ServiceError):
    """The request line and headers did not arrive in time."""


class TargetTooLong(ServiceError):
    """The path and query exceed the limit."""


class HeadTooLarge(ServiceError):
    """The headers, trailers or chunk extensions exceed the limits."""


class UnknownCoding(ServiceError):
    """The body has a transfer coding other than chunked."""


class TooManyConnections(ServiceError):
    """No room for another connection at the moment; the same request may succeed a moment later."""


class HostNotAllowed(ServiceError):
    """The request names a host that is not among the allowed ones."""


class MissingKey(ServiceError):
    """The request has no key."""


class InvalidKey(ServiceError):
    """The key is not valid. The reply does not say why: that would tell keys that were valid once from others."""


class UnknownKey(InvalidKey):
    """No such key."""


class ExpiredKey(InvalidKey):
    """The key has expired."""


class MissingScope(ServiceError):
    """The key does not have the scope of the route.

    Attributes:
        scope: the missing scope.
    """

    def __init__(self, message: str, scope: str) -> None:
        super().__init__(message)
        self.scope = scope


class RateLimited(ServiceError):
    """The key has no requests left for now.

    Attributes:
        seconds: after which it has.
    """

    def __init__(self, message: str, seconds: int) -> None:
        super().__init__(message)
        self.seconds = seconds


class NotReloaded(ServiceError):
    """The key file cannot be read again; the keys are as before."""


class StillServes(ServiceError):
    """The version cannot be unloaded, since it answers requests that name no version."""


class Unparsable(ServiceError, ValueError):
    """The body is not valid data of its content type."""


class SlowBody(ServiceError):
    """The body did not arrive in time."""


class NotAcceptable(ServiceError):
    """The service writes no reply type that the caller accepts."""


class TooLarge(ServiceError):
    """The request exceeds a limit and will never be accepted."""


class MediaType(ServiceError):
    """The route does not read this content type or encoding."""


class Unsupported(ServiceError):
    """The protocol has this function, and the service does not."""


class Overloaded(ServiceError):
    """No room at the moment; the same request may succeed a moment later."""


class NotReady(ServiceError):
    """The model is loading, or the service is shutting down; the same request may succeed a moment later."""


class NotHealthy(ServiceError):
    """The thread that runs the models is stuck or has ended; a restart helps."""


class WorkerEnded(ServiceError):
    """The process that reads and writes large JSON cannot be started, or ended while it had the request."""


class Unservable(ServiceError):
    """The model failed to load, or there is no model; a retry helps only after the models folder has changed."""


class DeadlineExceeded(ServiceError):
    """The answer was not ready in time."""


class Disconnected(ServiceError):
    """The caller closed the connection before its answer; the reply is not read."""
