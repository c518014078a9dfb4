"""What requests and replies see of a connection's transport."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Connection:
    """Access of a request to its connection; see `request_context.ServerConnection`."""

    def __init__(self, transport: asyncio.Transport, close: Callable[[], None]) -> None:
        self.abort, self.is_closing, self.close = transport.abort, transport.is_closing, close


class ClosingTransport:
    """The transport as uvicorn's reply uses it, with another `close`."""

    def __init__(self, transport: asyncio.Transport, close: Callable[[], None]) -> None:
        self.write, self.is_closing, self.close = transport.write, transport.is_closing, close
