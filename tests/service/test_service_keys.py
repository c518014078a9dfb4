"""Entries of keys, the key file and its reload, and rates."""

from __future__ import annotations

import asyncio
import io
import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.service.keyed import KEYS, PAST, TEXT, bearer
from vaekit.errors import ConfigError
from vaekit_service.errors import ExpiredKey, MissingKey, RateLimited, UnknownKey
from vaekit_service.keys.file import MAX_BYTES, read_file
from vaekit_service.keys.key import digest_of, entry, line, new_key, parse, section
from vaekit_service.keys.keyring import Keyring
from vaekit_service.keys.rates import RateLimits, parse_rate
from vaekit_service.logs import make_log

pytestmark = pytest.mark.anyio

HASH = "sha256:" + "0" * 64


def ring(source: Path | str | None) -> tuple[Keyring, io.StringIO]:
    log = io.StringIO()
    return Keyring(source, make_log("json", "debug", log)), log


def found(keyring: Keyring, key: str) -> str | None:
    """The name of a key that is let in."""
    known, refusal = keyring.identify(b"Bearer " + key.encode())
    return None if known is None or refusal is not None else known.name


def lines(log: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(each) for each in log.getvalue().splitlines()]


# Entries


def test_a_new_key_has_256_random_bits_and_a_prefix() -> None:
    keys = {new_key() for _ in range(100)}
    assert len(keys) == 100
    assert all(key.startswith("vae_") and len(key) == 47 for key in keys)


@pytest.mark.parametrize("form", [line, section])
def test_an_entry_is_read_as_it_was_written(form: Any) -> None:
    expires = datetime(2030, 1, 31, 12, 30, tzinfo=UTC)
    [key] = parse(form("line-3", entry("secret", ["infer", "read"], expires, "600/minute")), "here").values()
    assert (key.name, key.digest, key.scopes) == ("line-3", digest_of(b"secret"), {"infer", "read"})
    assert (key.expires, key.rate) == (expires.timestamp(), parse_rate("600/minute"))


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2030-01-31", datetime(2030, 1, 31, tzinfo=UTC)),
        ("2030-01-31T12:00:00", datetime(2030, 1, 31, 12, tzinfo=UTC)),
        ("2030-01-31T12:00:00+02:00", datetime(2030, 1, 31, 10, tzinfo=UTC)),
    ],
)
def test_a_key_expires_at_a_date_or_time_in_utc(text: str, moment: datetime) -> None:
    key = parse(f'a = {{ hash = "{HASH}", scopes = ["read"], expires = {text} }}', "here")["a"]
    assert key.expires == moment.timestamp()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a = 1", r"key 'a': expected \{ hash"),
        ("a = {}", "key 'a': hash: Field required"),
        (f'a = {{ hash = "{HASH}" }}', "key 'a': scopes: Field required"),
        (f'a = {{ hash = "{HASH}", scopes = [] }}', "key 'a': scopes: List should have at least 1 item"),
        (f'a = {{ hash = "{HASH}", scopes = ["write"] }}', "key 'a': scopes.0: Input should be 'infer', 'read' or"),
        ('a = { hash = "vae_secret", scopes = ["read"] }', "key 'a': hash: expected sha256: and 64 hexadecimal"),
        ('a = { hash = 5, scopes = ["read"] }', "key 'a': hash: expected sha256: and 64 hexadecimal"),
        (
            f'a = {{ hash = "{HASH}", scopes = ["read"], key = "vae_secret" }}',
            "key 'a': key: no such field; the fields",
        ),
        (f'a = {{ hash = "{HASH}", scopes = ["read"], expires = "soon" }}', "key 'a': expires: .*expected a date"),
        (f'a = {{ hash = "{HASH}", scopes = ["read"], rate = "fast" }}', "key 'a': rate 'fast': expected a number of"),
        (f'a = {{ hash = "{HASH}", scopes = ["read"], rate = "0/minute" }}', "key 'a': rate '0/minute': expected"),
        (f'A = {{ hash = "{HASH}", scopes = ["read"] }}', "key 'A': a name has 1 to 64 lower-case letters"),
        (f'"a/../b" = {{ hash = "{HASH}", scopes = ["read"] }}', "key 'a/../b': a name has 1 to 64"),
        (f'a = {{ hash = "{HASH}", scopes = ["read"] }}\nb = {{ hash = "{HASH}", scopes = ["read"] }}', "two names"),
        (
            f'a = {{ hash = "{HASH}", scopes = ["read"] }}\na = {{ hash = "{HASH}", scopes = ["read"] }}',
            "not TOML: Cannot overwrite",
        ),
        ("vae_secret", "not TOML: "),
        ('a = { hash = "vae_secret', "not TOML: "),
        ("a = " + "[" * 5000, "not TOML: "),
    ],
)
def test_an_invalid_entry_is_named_without_its_values(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=f"^here: {message}") as caught:
        parse(text, "here")
    assert "secret" not in str(caught.value)


def test_a_key_is_refused_from_the_moment_it_expires() -> None:
    soon = datetime.now(UTC) + timedelta(days=1)
    text = line("past", entry("a", ["read"], PAST)) + line("soon", entry("b", ["read"], soon))
    keyring, _ = ring(text)
    assert [found(keyring, key) for key in "ab"] == [None, "soon"]
    known, refusal = keyring.identify(b"Bearer a")
    assert known is not None
    assert known.name == "past"
    assert isinstance(refusal, ExpiredKey)


def test_a_missing_and_a_wrong_key_are_told_apart() -> None:
    keyring, _ = ring(TEXT)
    for given in (None, b"", b"Bearer", b"Bearer ", b"Basic x", KEYS["all"].encode()):
        assert isinstance(keyring.identify(given)[1], MissingKey)
    for given in (b"Bearer x", b"Bearer \xff", b"Bearer " + KEYS["all"].encode() + b" x"):
        assert isinstance(keyring.identify(given)[1], UnknownKey)


@pytest.mark.parametrize("text", ["", "# none yet\n"])
def test_a_start_with_no_key_in_the_source_is_an_error(text: str, tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=r"keys.toml': no key in it; add one: vae keys new NAME"):
        ring(file)
    with pytest.raises(ConfigError, match="VAE_KEYS: no key in it"):
        ring(text)


# The key file


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no-such.toml': No such file"):
        read_file(tmp_path / "no-such.toml")
    (tmp_path / "a").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="a': not UTF-8"):
        read_file(tmp_path / "a")
    (tmp_path / "b").write_bytes(b"#" * (MAX_BYTES + 1))
    with pytest.raises(ConfigError, match=f"more than {MAX_BYTES} bytes"):
        read_file(tmp_path / "b")


async def test_a_changed_file_is_read_at_the_second_look(tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    file.write_text(line("old", entry("a", ["read"])))
    keyring, log = ring(file)
    await keyring.look()
    await keyring.look()
    assert lines(log) == []
    file.write_text("")  # an editor empties the file before it writes
    await keyring.look()
    file.write_text(line("newer", entry("b", ["read"])))
    await keyring.look()
    assert [found(keyring, key) for key in "ab"] == ["old", None]
    await keyring.look()
    assert [found(keyring, key) for key in "ab"] == [None, "newer"]
    [said] = lines(log)
    assert (said["event"], said["keys"], said["added"], said["removed"]) == ("keys reloaded", 1, ["newer"], ["old"])


@pytest.mark.parametrize("broken", ["a = ", 'a = { hash = "vae_secret", scopes = ["read"] }', None])
async def test_a_broken_file_leaves_the_old_keys_and_says_so_once(tmp_path: Path, broken: str | None) -> None:
    file = tmp_path / "keys.toml"
    file.write_text(line("old", entry("a", ["read"])))
    keyring, log = ring(file)
    file.unlink() if broken is None else file.write_text(broken)
    for _ in range(4):
        await keyring.look()
    assert found(keyring, "a") == "old"
    [said] = lines(log)
    assert (said["event"], said["level"], said["keys"]) == ("keys not reloaded, the old ones stay", "error", 1)
    assert "secret" not in log.getvalue()
    file.write_text(line("newer", entry("b", ["read"])))
    for _ in range(2):
        await keyring.look()
    assert [found(keyring, key) for key in "ab"] == [None, "newer"]


async def test_a_file_without_entries_removes_all_keys(tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    file.write_text(line("old", entry("a", ["read"])))
    keyring, log = ring(file)
    file.write_text("")
    for _ in range(2):
        await keyring.look()
    assert found(keyring, "a") is None
    assert isinstance(keyring.identify(None)[1], MissingKey)
    assert lines(log)[-1]["level"] == "warning"


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_a_file_that_others_may_write_gives_a_warning(tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    file.write_text(TEXT)
    for mode, count in ((0o600, 0), (0o644, 0), (0o664, 1), (0o646, 1)):
        file.chmod(mode)
        _, log = ring(file)
        assert len(lines(log)) == count, oct(mode)


async def test_a_running_service_reads_a_changed_file(start: Any, models_dir: Path, tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    file.write_text(line("a", entry("a", ["read", "admin"])))
    async with start(models_dir, keys_file=file, admin=True) as running:

        async def status(key: str) -> int:
            return int((await running.http.get("/models", headers=bearer(key))).status_code)

        assert [await status(key) for key in "ab"] == [200, 401]
        file.write_text(line("b", entry("b", ["read", "admin"])))
        async with asyncio.timeout(20):
            while await status("b") != 200:
                await asyncio.sleep(0.02)
        assert await status("a") == 401
        file.write_text(file.read_text() + line("c", entry("c", ["read"])))
        reloaded = await running.http.post("/admin/keys/reload", headers=bearer("b"))
        assert (reloaded.status_code, reloaded.json()) == (200, {"keys": 3 - 1})
        assert await status("c") == 200
        file.write_text("x")
        refused = await running.http.post("/admin/keys/reload", headers=bearer("b"))
        assert (refused.status_code, refused.json()["title"]) == (409, "Keys not reloaded")
        assert "not TOML" in refused.json()["detail"]
        text = (await running.http.get("/metrics", headers=bearer("c"))).text
    assert 'vae_key_reloads_total{outcome="succeeded"} 2.0' in text
    assert 'vae_key_reloads_total{outcome="failed"} 1.0' in text


# Rates


async def test_a_key_has_its_own_rate_or_that_of_the_service() -> None:
    rates = RateLimits(parse_rate("2/day"))
    for _ in range(2):
        await rates.count("a", None)
        await rates.count("b", None)
    for _ in range(3):
        await rates.count("c", parse_rate("3/day"))
    for name, own in (("a", None), ("b", None), ("c", parse_rate("3/day"))):
        with pytest.raises(RateLimited, match="the limit of this key; retry in") as caught:
            await rates.count(name, own)
        assert 1 <= caught.value.seconds <= 86_400
    for _ in range(100):
        await RateLimits(None).count("a", None)


@pytest.mark.parametrize("text", ["", "fast", "10", "0/second", "-1/second", "5/fortnight"])
def test_a_rate_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="expected a number of requests per unit"):
        parse_rate(text)


async def test_requests_beyond_the_rate_get_a_429_with_retry_after(start: Any, models_dir: Path) -> None:
    text = TEXT + line("slow", entry("slow", ["read", "infer"], rate="1/day"))
    async with start(models_dir, keys=text, rate_limit="3/day", default_model="breast-cancer") as running:

        async def status(key: str, path: str = "/models") -> int:
            return int((await running.http.get(path, headers=bearer(key))).status_code)

        assert [await status(KEYS["read"]) for _ in range(5)] == [200, 200, 200, 429, 429]
        assert [await status("slow") for _ in range(2)] == [200, 429]
        body = {"inputs": [[1.0] * 30]}
        posted = [(await running.http.post("/elbo", json=body, headers=bearer(KEYS["all"]))) for _ in range(4)]
        assert [reply.status_code for reply in posted] == [200, 200, 200, 429]
        assert posted[-1].json()["title"] == "Rate limit reached"
        assert 1 <= int(posted[-1].headers["retry-after"]) <= 86_400
        assert [await status(KEYS["infer"]) for _ in range(5)] == [403] * 5  # refused requests do not count
        assert [await status(KEYS["read"], "/healthz") for _ in range(5)] == [200] * 5
