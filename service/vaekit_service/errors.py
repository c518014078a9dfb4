"""What can go wrong between a socket and a model, on purpose. http/problems.py maps each class to a status.

VaeError
└── ServiceError
    ├── Malformed (ValueError)   a request that is not HTTP/1.1, or that two readers may read in two ways
    ├── SlowHead                 a head that did not arrive in time
    ├── TargetTooLong            a path and query beyond the limit
    ├── HeadTooLarge             a head, trailers or chunk extensions beyond the limits
    ├── UnknownCoding            a transfer coding besides chunked
    ├── TooManyConnections       no room for another connection now
    ├── Unparsable (ValueError)  bytes that are not of the type they claim to be
    ├── SlowBody                 a body that did not arrive in time
    ├── NotAcceptable            no reply type that the caller takes
    ├── TooLarge                 a request that will never fit
    ├── MediaType                a body of a type or coding that the route does not read
    ├── Overloaded               no room now; worth trying again
    ├── NotReady                 a model that is loading, or a service on its way out; worth trying again
    ├── Unservable               a model that failed to load, or none at all
    ├── DeadlineExceeded         an answer that did not come in time
    └── Disconnected             the caller hung up before its answer
"""

from vaekit.errors import VaeError


class ServiceError(VaeError):
    """Base of the service's own errors."""


class Malformed(ServiceError, ValueError):
    """A request that is not HTTP/1.1, or whose framing two readers may read in two ways."""


class SlowHead(ServiceError):
    """A request's head that did not arrive in time."""


class TargetTooLong(ServiceError):
    """A path and query of more bytes than a request may have."""


class HeadTooLarge(ServiceError):
    """A head, trailers or chunk extensions beyond the limits of one request."""


class UnknownCoding(ServiceError):
    """A body with a transfer coding besides chunked."""


class TooManyConnections(ServiceError):
    """No room for another connection; the same request may be answered a moment later."""


class Unparsable(ServiceError, ValueError):
    """Bytes that are not of the type they claim to be."""


class SlowBody(ServiceError):
    """A body that did not arrive in time."""


class NotAcceptable(ServiceError):
    """No reply type that the caller takes."""


class TooLarge(ServiceError):
    """A request that will never fit, however often it is sent."""


class MediaType(ServiceError):
    """A body of a type or coding that the route does not read."""


class Overloaded(ServiceError):
    """No room now; the same request may be answered a moment later."""


class NotReady(ServiceError):
    """A model that is loading, or a service on its way out; the same request may be answered a moment later."""


class Unservable(ServiceError):
    """A model that failed to load, or no model at all: only a change of the models folder helps."""


class DeadlineExceeded(ServiceError):
    """An answer that did not come in time."""


class Disconnected(ServiceError):
    """The caller hung up before its answer; the reply is not read."""
