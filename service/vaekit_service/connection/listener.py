"""The listening socket: its address, how it is opened, and how it is closed without losing connections."""

from __future__ import annotations

import socket
from contextlib import suppress

from vaekit.errors import ConfigError

Address = tuple[str, int]  # IP address and port


def resolved(host: str, port: int) -> tuple[socket.AddressFamily, Address]:
    """The family and address of a host and port.

    Raises:
        ConfigError: there is no such host.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as exc:
        raise _cannot_listen(host, port, exc) from exc
    family, _, _, _, address = found[0]
    return family, (str(address[0]), int(address[1]))


def listen(family: socket.AddressFamily, address: Address) -> socket.socket:
    """A listening socket.

    Raises:
        ConfigError: the address is in use, or does not belong to this machine.
    """
    try:
        return socket.create_server(address, family=family, backlog=2048)
    except OSError as exc:
        raise _cannot_listen(*address, exc) from exc


def url(host: str, port: int) -> str:
    """The URL of an address."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def local_url(host: str, port: int) -> str:
    """The URL by which this machine reaches an address: not every browser opens 0.0.0.0, which means all addresses."""
    return url({"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), port)


def accept_waiting(listener: socket.socket) -> list[socket.socket]:
    """Accept the connections in a listener's backlog: to their callers they are open, but closing would reset them.

    Close the listener at once afterwards: a connection made in between is lost.
    """
    accepted = []
    listener.setblocking(False)
    with suppress(OSError):  # BlockingIOError: none waits any more
        while True:
            connection, _ = listener.accept()
            connection.setblocking(False)
            accepted.append(connection)
    return accepted


def _cannot_listen(host: str, port: int, exc: OSError) -> ConfigError:
    return ConfigError(
        f"cannot listen on {host}, port {port}: {exc.strerror or exc}; choose others with --host and --port"
    )
