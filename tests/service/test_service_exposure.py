"""Which addresses the service listens on without keys, which hosts and web pages may use it, and its signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.service.keyed import KEYS, TEXT, bearer
from vaekit.errors import ConfigError
from vaekit_service import exposure
from vaekit_service.server import resolved
from vaekit_service.settings import load

pytestmark = pytest.mark.anyio

ELBO = {"inputs": [[1.0] * 30]}
URL = r"listening on (http://\S+:\d+) "
PAGE = "https://dashboard.example.com"
PREFLIGHT = {"origin": PAGE, "access-control-request-method": "POST", "access-control-request-headers": "authorization"}


def checked(address: str, **given: Any) -> Any:
    return exposure.checked(load(**given), address)


@pytest.mark.parametrize("address", ["0.0.0.0", "192.0.2.1", "::", "2001:db8::1", "fe80::1%eth0", "::ffff:192.0.2.1"])
def test_an_address_that_others_can_reach_needs_keys_or_the_setting(address: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="can be reached from other machines, and there are no keys: make one with"):
        checked(address)
    for given in ({"allow_anonymous": True}, {"keys": TEXT}, {"keys_file": tmp_path / "keys.toml"}):
        assert checked(address, **given).allowed_hosts is None


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.8.8", "::1"])
def test_loopback_needs_no_keys_but_a_loopback_host(address: str) -> None:
    assert checked(address).allowed_hosts == "localhost,127.0.0.1,[::1]"
    assert checked(address, allowed_hosts="vae.example.com").allowed_hosts == "vae.example.com"
    assert checked(address, keys=TEXT).allowed_hosts is None


def test_localhost_is_resolved_before_it_is_judged() -> None:
    assert resolved("localhost", 0)[1][0] in ("127.0.0.1", "::1")


def test_admin_routes_need_keys_and_audit_lines() -> None:
    with pytest.raises(ConfigError, match="VAE_ADMIN=true: admin routes need a key of scope admin"):
        checked("127.0.0.1", admin=True)
    with pytest.raises(ConfigError, match="VAE_ADMIN=true: audit lines have the level warning"):
        checked("127.0.0.1", admin=True, keys=TEXT, log_level="error")
    assert checked("127.0.0.1", admin=True, keys=TEXT).admin


def test_settings_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="VAE_KEYS and VAE_KEYS_FILE are set; unset one"):
        checked("127.0.0.1", keys=TEXT, keys_file=tmp_path / "keys.toml")
    with pytest.raises(ConfigError, match=r"VAE_PUBLIC='probes,admin': .*'admin' is none of probes, metrics, docs"):
        load(public="probes,admin")


def test_settings_do_not_show_keys() -> None:
    assert "sha256" not in repr(load(keys=TEXT))


def started(*flags: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from vaekit.cli import main; main()", "serve", "--port", "0", *flags]
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False)


def test_vae_serve_on_all_addresses_without_keys_is_a_one_line_error(tmp_path: Path) -> None:
    for flags, environment in (
        (["--host", "0.0.0.0"], {}),
        ([], {"VAE_HOST": "0.0.0.0", "VAE_ALLOW_ANONYMOUS": "false"}),
        (["--host", "0.0.0.0"], {"VAE_KEYS": ""}),
    ):
        done = started("--models", str(tmp_path), *flags, **environment)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith("error: 0.0.0.0 can be reached from other machines, and there are no keys")
        assert done.stderr.count("\n") == 1
    done = started("--models", str(tmp_path), "--keys-file", str(tmp_path / "keys.toml"))
    assert done.stderr == f"error: key file '{tmp_path}/keys.toml': No such file or directory\n"
    done = started("--models", str(tmp_path), VAE_KEYS="a = 1")
    assert done.stderr.startswith("error: VAE_KEYS: key 'a': ")
    done = started("--models", str(tmp_path), VAE_RATE_LIMIT="fast")
    assert done.stderr.startswith("error: VAE_RATE_LIMIT 'fast': expected a number of requests per unit")


def test_vae_serve_with_keys_listens_on_all_addresses_and_reads_them_again_after_sighup(
    process: Any, models_dir: Path, tmp_path: Path
) -> None:
    file = tmp_path / "keys.toml"
    file.write_text("\n".join(line for line in TEXT.splitlines() if not line.startswith("read")))
    started = process("--models", str(models_dir), "--host", "0.0.0.0", "--keys-file", str(file))
    url = started.until(URL).replace("0.0.0.0", "127.0.0.1")
    tried = started.until(r"^\s+(curl .*)$")
    assert "$VAE_API_KEY" in tried
    assert url in tried

    def status(key: str) -> int:
        return httpx.get(f"{url}/models", headers=bearer(key)).status_code

    assert httpx.get(f"{url}/readyz").status_code == 200
    assert [status(key) for key in ("x", KEYS["all"], KEYS["read"])] == [401, 200, 401]
    file.write_text(TEXT)
    started.popen.send_signal(signal.SIGHUP)
    while status(KEYS["read"]) != 200:
        pass
    started.popen.send_signal(signal.SIGTERM)
    _, log = started.popen.communicate(timeout=30)
    assert started.popen.returncode == 0
    assert not [key for key in KEYS.values() if key in log]


def test_sighup_without_a_key_file_changes_nothing(process: Any, models_dir: Path) -> None:
    started = process("--models", str(models_dir), "--allow-anonymous", "--host", "0.0.0.0")
    url = started.until(URL).replace("0.0.0.0", "127.0.0.1")
    started.until(r"^(try):")
    started.popen.send_signal(signal.SIGHUP)
    assert httpx.get(f"{url}/models", headers={"host": "any.example.com"}).status_code == 200
    started.popen.send_signal(signal.SIGTERM)
    _, log = started.popen.communicate(timeout=30)
    assert started.popen.returncode == 0
    assert "no keys: everybody who reaches this address may use the service" in log


def test_vae_serve_on_loopback_answers_loopback_hosts_only(process: Any, models_dir: Path) -> None:
    started = process("--models", str(models_dir), "--default-model", "breast-cancer")
    url = started.until(URL)
    started.until(r"^(try):")
    for host, status in {"localhost": 200, "127.0.0.1:1": 200, "[::1]:80": 200, "rebound.example.com": 421}.items():
        assert httpx.post(f"{url}/elbo", json=ELBO, headers={"host": host}).status_code == status
    assert httpx.get(f"{url}/readyz", headers={"host": "10.0.0.1"}).status_code == 200


@pytest.mark.parametrize("path", ["/models", "/elbo", "/none"])
async def test_only_the_allowed_hosts_are_answered(start: Any, models_dir: Path, path: str) -> None:
    hosts = "VAE.example.com, *.internal.example.com,[::1]"
    async with start(models_dir, allowed_hosts=hosts, default_model="breast-cancer") as running:
        known = 404 if path == "/none" else 200
        for host, status in {
            "vae.example.com": known,
            "VAE.EXAMPLE.COM:8000": known,
            "a.internal.example.com": known,
            "a.b.internal.example.com:1": known,
            "[::1]:8000": known,
            "[::1]": known,
            "internal.example.com": 421,
            "*.internal.example.com.evil.com": 421,
            "evilinternal.example.com": 421,
            "vae.example.com.evil.com": 421,
            "xvae.example.com": 421,
            "vae.example.com:80:80": 421,
            "": 421,
        }.items():
            method = "POST" if path == "/elbo" else "GET"
            reply = await running.http.request(method, path, json=ELBO, headers={"host": host})
            assert reply.status_code == status, host
            if status == 421:
                assert reply.json()["title"] == "Host not allowed"
        assert (await running.http.get("/healthz", headers={"host": "10.0.0.1"})).status_code == 200


async def test_a_star_allows_any_host(start: Any, models_dir: Path) -> None:
    async with start(models_dir, allowed_hosts="*") as running:
        assert (await running.http.get("/models", headers={"host": "any.example.com"})).status_code == 200


CORS = "access-control-"


@pytest.mark.parametrize(("keys", "status"), [(None, 405), (TEXT, 401)])
async def test_without_origins_a_preflight_is_an_unknown_request(
    start: Any, models_dir: Path, keys: str | None, status: int
) -> None:
    async with start(models_dir, keys=keys) as running:
        preflight = await running.http.options("/elbo", headers=PREFLIGHT)
        simple = await running.http.get("/models", headers={"origin": PAGE})
    assert preflight.status_code == status
    assert not [name for reply in (preflight, simple) for name in reply.headers if name.startswith(CORS)]
    assert "vary" not in simple.headers


async def test_with_origins_their_pages_may_send_keys_and_read_replies(start: Any, models_dir: Path) -> None:
    async with start(
        models_dir, keys=TEXT, cors_origins=f"{PAGE}, https://b", default_model="breast-cancer"
    ) as running:
        for path in ("/elbo", "/models"):
            preflight = await running.http.options(path, headers=PREFLIGHT)
            assert (preflight.status_code, preflight.headers[f"{CORS}allow-origin"]) == (200, PAGE)
            assert "authorization" in preflight.headers[f"{CORS}allow-headers"].lower()
            other = await running.http.options(path, headers={**PREFLIGHT, "origin": "https://evil.example.com"})
            assert other.status_code == 400
            assert f"{CORS}allow-origin" not in other.headers
        for method, path in (("POST", "/elbo"), ("GET", "/models")):
            for headers, status in ((bearer(KEYS["all"]), 200), ({}, 401), (bearer(KEYS["admin"]), 403)):
                sent = {**headers, "origin": PAGE}
                reply = await running.http.request(method, path, json=ELBO, headers=sent)
                assert (reply.status_code, reply.headers[f"{CORS}allow-origin"]) == (status, PAGE)
                assert "x-request-id" in reply.headers[f"{CORS}expose-headers"]
                assert f"{CORS}allow-credentials" not in reply.headers
                reply = await running.http.request(method, path, json=ELBO, headers={**sent, "origin": "https://evil"})
                assert f"{CORS}allow-origin" not in reply.headers
