"""Proxies and certificates of the environment: a client either works or says which variable is at fault."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.client.conftest import Recorder
from tests.conftest import ROOT
from vaekit.client import AsyncClient, Client, ClientError, ConnectionFailed

URL = "http://127.0.0.1:9"
VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE")
SOCKS = r"a SOCKS proxy needs socksio: pip install 'httpx\[socks\]'"


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


BAD = [
    ("ALL_PROXY", "socks://127.0.0.1:7890", "Unknown scheme for proxy URL"),
    ("all_proxy", "socks4://127.0.0.1:7890", "Unknown scheme for proxy URL"),
    ("ALL_PROXY", "socks5://127.0.0.1:1080", SOCKS),
    ("HTTPS_PROXY", "socks5h://127.0.0.1:1080", SOCKS),
    ("HTTP_PROXY", "ftp://127.0.0.1:21", "Unknown scheme for proxy URL"),
    ("https_proxy", "http://[::1:80", "Invalid"),
    ("HTTP_PROXY", "http://127.0.0.1:port", "Invalid port"),
    ("NO_PROXY", "[::1]", "Invalid"),
    ("no_proxy", "localhost,[fe80::1],10.0.0.0/8", "Invalid"),
    ("SSL_CERT_FILE", "/nowhere/ca.pem", "No such file or directory"),
    ("SSLKEYLOGFILE", "/nowhere/keys.log", "No such file or directory"),
]


@pytest.mark.parametrize("kind", [Client, AsyncClient])
@pytest.mark.parametrize(("name", "value", "said"), BAD)
def test_a_variable_that_httpx_refuses_is_named(
    kind: type[Client | AsyncClient], name: str, value: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ClientError, match=said) as caught:
        kind(URL)
    assert str(caught.value).startswith(f"environment variable {name}={value}: ")
    assert str(caught.value).endswith("; correct or unset it")


def test_a_file_that_holds_no_certificate_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("not a certificate")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    with pytest.raises(ConnectionFailed, match="environment variable SSL_CERT_FILE="):
        Client(URL)


def test_a_good_variable_beside_a_bad_one_is_not_blamed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:3128")
    monkeypatch.setenv("ALL_PROXY", "socks://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "localhost")
    with pytest.raises(ConnectionFailed, match=r"^environment variable ALL_PROXY="):
        Client(URL)


@pytest.mark.parametrize(
    ("proxy", "shown"),
    [
        ("socks5://user:geheim@127.0.0.1:1080", "socks5://127.0.0.1:1080"),
        ("socks5://user:geh@eim@127.0.0.1:1080", "socks5://127.0.0.1:1080"),
        ("user:geheim@127.0.0.1:port", "127.0.0.1:port"),
    ],
)
def test_the_password_of_a_proxy_is_not_shown(proxy: str, shown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy)
    with pytest.raises(ConnectionFailed) as caught:
        Client(URL)
    assert "eim" not in str(caught.value)
    assert f"ALL_PROXY={shown}: " in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HTTP_PROXY", "127.0.0.1:3128"),
        ("NO_PROXY", "::1,localhost,10.0.0.0/8,.corp"),
        ("NO_PROXY", "*"),
        ("ALL_PROXY", ""),
    ],
)
def test_ordinary_variables_are_taken(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    Client(URL).close()


def test_a_proxy_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as held:  # bound and not listening: refuses connections
        held.bind(("127.0.0.1", 0))
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{held.getsockname()[1]}")
        with Client("http://vaekit.invalid:8000") as client:
            with pytest.raises(
                ConnectionFailed, match=r"through the proxy of HTTP_PROXY; NO_PROXY=vaekit\.invalid bypasses"
            ):
                client.models()
            assert not client.health()


def test_a_proxy_with_a_port_that_cannot_exist_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:99999")

    async def ask() -> None:
        async with AsyncClient(URL) as client:
            await client.models()

    with pytest.raises(ConnectionFailed, match="through the proxy of HTTP_PROXY"):
        asyncio.run(ask())
    with Client(URL) as client, pytest.raises(ConnectionFailed, match="through the proxy of HTTP_PROXY"):
        client.models()


def test_a_direct_connection_names_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Client(URL) as client, pytest.raises(ConnectionFailed) as caught:
        client.models()
    assert "proxy" not in str(caught.value)


def test_a_transport_of_the_caller_needs_no_environment(transport: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value, _ in BAD:
        monkeypatch.setenv(name, value)
    with Client(URL, transport=transport) as client:
        assert client.health()


@pytest.mark.parametrize(("name", "value", "said"), [BAD[0], BAD[7], BAD[9]])
def test_vae_score_says_it_in_one_line(name: str, value: str, said: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "vaekit", "score", "m", "examples/rows.csv", str(tmp_path / "out.csv"), "--url", URL],
        capture_output=True, text=True, cwd=ROOT, env={**os.environ, name: value},
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: environment variable {name}={value}: ")
    assert "Traceback" not in done.stderr
    assert said.strip("\\") in done.stderr
