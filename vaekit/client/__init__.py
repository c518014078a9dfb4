"""A synchronous and an asynchronous HTTP client of the service, with typed results.

Names are imported on first use: the service uses only `wire` and must not need httpx.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vaekit.client.aio import AsyncClient
    from vaekit.client.errors import (
        ClientError,
        ConnectionFailed,
        DeadlineExceeded,
        ModelNotFound,
        ProtocolError,
        RequestRefused,
        ServiceFailed,
        ServiceUnavailable,
        TooBusy,
        Unauthorized,
    )
    from vaekit.client.replies import DecodeResult, ElboResult, EncodeResult, SampleResult
    from vaekit.client.sync import Client

__all__ = [
    "AsyncClient",
    "Client",
    "ClientError",
    "ConnectionFailed",
    "DeadlineExceeded",
    "DecodeResult",
    "ElboResult",
    "EncodeResult",
    "ModelNotFound",
    "ProtocolError",
    "RequestRefused",
    "SampleResult",
    "ServiceFailed",
    "ServiceUnavailable",
    "TooBusy",
    "Unauthorized",
]

_MODULES = {
    "AsyncClient": "aio",
    "Client": "sync",
    "DecodeResult": "replies",
    "ElboResult": "replies",
    "EncodeResult": "replies",
    "SampleResult": "replies",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'vaekit.client' has no attribute {name!r}")
    return getattr(import_module(f"vaekit.client.{_MODULES.get(name, 'errors')}"), name)


def __dir__() -> list[str]:
    return __all__
