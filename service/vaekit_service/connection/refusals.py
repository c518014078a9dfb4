"""Logs and counts the requests and connections that the protocol refuses, and writes their replies."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from secrets import token_hex

from vaekit_service.errors import ServiceError, TooManyConnections
from vaekit_service.http.problems import kind_of, reply_bytes
from vaekit_service.logs import Log
from vaekit_service.metrics import Metrics

Headers = Iterable[tuple[bytes, bytes]]

PAUSE = 1.0  # seconds between two log lines about refused connections, because thousands may come at once


class Refusals:
    """Called by the protocol with the error of each refused request or connection."""

    def __init__(self, log: Log, metrics: Metrics) -> None:
        self._log, self._metrics = log, metrics
        self._connections = 0  # refused since the last line
        self._pause: asyncio.TimerHandle | None = None  # runs for PAUSE after a line

    def __call__(self, error: ServiceError, headers: Headers, target: bytes = b"") -> bytes:
        """Log and count the refusal; return the reply, with the headers that the server adds to every reply.

        Args:
            error: the reason.
            headers: those that the server adds.
            target: path and query of the request as far as they are known; its errors depend on them.
        """
        request_id, name = token_hex(16), type(error).__name__
        status = kind_of(type(error)).status
        self._metrics.refused.labels(str(status)).inc()
        self._metrics.rejected(name)
        if not isinstance(error, TooManyConnections):
            self._log.warning("refused", request_id=request_id, status=status, error=name)
        else:
            self._connections += 1
            if self._pause is None:
                self._log_connections(status, name)
        return reply_bytes(error, request_id, headers, target)

    def _log_connections(self, status: int, name: str) -> None:
        """Log the refused connections, at once and then after each pause in which there were more."""
        self._pause = None
        if self._connections:
            self._log.warning("connections refused", status=status, error=name, count=self._connections)
            self._connections = 0
            self._pause = asyncio.get_running_loop().call_later(PAUSE, self._log_connections, status, name)
