"""The end of a listener: connections that wait are accepted."""

from __future__ import annotations

import socket

from vaekit_service.connection.listener import accept_waiting, listen


def test_connections_in_the_backlog_are_accepted() -> None:
    with listen(socket.AF_INET, ("127.0.0.1", 0)) as listener:
        assert accept_waiting(listener) == []
        callers = [socket.create_connection(listener.getsockname()) for _ in range(3)]
        accepted = accept_waiting(listener)
        assert {one.getpeername() for one in accepted} == {one.getsockname() for one in callers}
        for one in (*callers, *accepted):
            one.close()
