"""Reads the key of the environment, checks its proxies and certificates, and finds the variable that httpx refuses."""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.request import getproxies, proxy_bypass

import httpx

from vaekit.client.errors import ConnectionFailed

KEY = "VAE_API_KEY"
PROXIES = ("http", "https", "all")
_SECRET = re.compile(r"(?:(?<=://)|^(?!\w+://)).*@")  # user and password in the address of a proxy


def key_or_environment(key: str | None) -> str | None:
    """The key if one is given, else that of VAE_API_KEY, if it is set and not empty."""
    return os.environ.get(KEY) or None if key is None else key


@contextmanager
def checked_environment() -> Iterator[None]:
    """Raise httpx's errors about its environment, while a client is made, as one that names the variable.

    Raises:
        ConnectionFailed: a proxy, an exception from proxies or a file of certificates that httpx refuses.
    """
    try:
        yield
    except (httpx.InvalidURL, ImportError, OSError, ValueError) as exc:
        name = _at_fault(exc)
        if name is None:
            raise ConnectionFailed(f"the HTTP client cannot start: {exc}") from exc
        shown = _SECRET.sub("", os.environ[name])
        raise ConnectionFailed(f"environment variable {name}={shown}: {_what(exc)}; correct or unset it") from exc


def proxy_note(url: str) -> str:
    """Words for an error of the connection to this address: which proxy it goes through; empty if through none."""
    address = httpx.URL(url)
    set_here = getproxies()
    for scheme in (address.scheme, "all"):
        if scheme in set_here and not proxy_bypass(address.netloc.decode("ascii")):
            name = _spelled(f"{scheme}_proxy")
            return f" (through the proxy of {name or 'the system'}; NO_PROXY={address.host} bypasses it)"
    return ""


def _what(exc: Exception) -> str:
    if isinstance(exc, ImportError):
        return "a SOCKS proxy needs socksio: pip install 'httpx[socks]'"
    if isinstance(exc, OSError):
        return exc.strerror or str(exc)
    return str(exc).rstrip(".")


def _at_fault(exc: Exception) -> str | None:
    """The variable that causes this error of httpx; None if none does."""
    if isinstance(exc, OSError):
        return next((name for name, fails in _FILES.items() if (file := os.environ.get(name)) and fails(file)), None)
    names = (_spelled(f"{scheme}_proxy") for scheme in PROXIES)
    bad = (name for name in names if name is not None and _is_refused(os.environ[name]))
    return next(bad, _spelled("no_proxy") if isinstance(exc, httpx.InvalidURL) else None)


def _spelled(name: str) -> str | None:
    """The name of the variable as it is set; urllib prefers the one in lower case."""
    return next((each for each in (name, name.upper()) if os.environ.get(each)), None)


def _is_refused(proxy: str) -> bool:
    try:
        httpx.HTTPTransport(proxy=proxy if "://" in proxy else f"http://{proxy}", verify=False, trust_env=False).close()
    except (httpx.InvalidURL, ImportError, ValueError):
        return True
    return False


def _no_certificates(file: str) -> bool:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=file)
    except OSError:
        return True
    return False


def _not_writable(file: str) -> bool:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).keylog_filename = file
    except OSError:
        return True
    return False


_FILES = {"SSL_CERT_FILE": _no_certificates, "SSLKEYLOGFILE": _not_writable}
