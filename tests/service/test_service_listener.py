"""The end of a listener: connections that wait are accepted."""

from __future__ import annotations

import socket

import pytest

from vaekit_service.connection.listener import accept_waiting, listen, local_url, url


def test_connections_in_the_backlog_are_accepted() -> None:
    with listen(socket.AF_INET, ("127.0.0.1", 0)) as listener:
        assert accept_waiting(listener) == []
        callers = [socket.create_connection(listener.getsockname()) for _ in range(3)]
        accepted = accept_waiting(listener)
        assert {one.getpeername() for one in accepted} == {one.getsockname() for one in callers}
        for one in (*callers, *accepted):
            one.close()


@pytest.mark.parametrize(
    ("host", "shown", "local"),
    [
        ("127.0.0.1", "http://127.0.0.1:80", "http://127.0.0.1:80"),
        ("192.0.2.1", "http://192.0.2.1:80", "http://192.0.2.1:80"),
        ("0.0.0.0", "http://0.0.0.0:80", "http://127.0.0.1:80"),
        ("::", "http://[::]:80", "http://[::1]:80"),
    ],
)
def test_all_addresses_are_shown_as_one_that_a_browser_opens(host: str, shown: str, local: str) -> None:
    assert (url(host, 80), local_url(host, 80)) == (shown, local)
