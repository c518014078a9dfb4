"""`vae keys new`: what it prints, and what it adds to a key file."""

from __future__ import annotations

import os
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from vaekit.cli import app
from vaekit.cli.keys import moment
from vaekit.errors import ConfigError, InputError, StorageError
from vaekit_service.keys.file import append, read_file
from vaekit_service.keys.key import digest_of, entry, parse
from vaekit_service.keys.rates import parse_rate

HASH = "sha256:" + "0" * 64


def new(*words: object) -> Any:
    return CliRunner().invoke(app, ["keys", "new", *map(str, words)])


def test_a_new_key_is_printed_once_and_its_hash_is_added_to_the_file(tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    one = new("line-3", "--file", file)
    more = ["--scope", "admin", "--scope", "read", "--expires", "2030-01-31", "--rate", "5/minute", "--file", file]
    two = new("operator", *more)
    assert (one.exit_code, two.exit_code) == (0, 0)
    keys = {name: done.stdout.strip() for name, done in (("line-3", one), ("operator", two))}
    known = read_file(file)
    assert {name: key.digest for name, key in known.items()} == {n: digest_of(k.encode()) for n, k in keys.items()}
    assert known["line-3"].scopes == {"infer", "read"}
    assert known["line-3"].expires is None
    assert (known["operator"].scopes, known["operator"].rate) == ({"admin", "read"}, parse_rate("5/minute"))
    assert known["operator"].expires == datetime(2030, 1, 31, tzinfo=UTC).timestamp()
    assert not [key for key in keys.values() if key in file.read_text() + one.stderr + two.stderr]
    if os.name == "posix":
        assert file.stat().st_mode & 0o777 == 0o600


def test_without_a_file_the_entry_is_printed_on_stderr() -> None:
    done = new("line-3")
    [shown] = [text for text in done.stderr.splitlines() if text.startswith("line-3 = ")]
    assert parse(shown, "stderr")["line-3"].digest == digest_of(done.stdout.strip().encode())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["A"], "key 'A': a name has 1 to 64"),
        (["a b"], "key 'a b': a name has 1 to 64"),
        (["a.b"], "key 'a.b': a name has 1 to 64"),
        (["a", "--scope", "write"], "key 'a': scopes.0: Input should be"),
        (["a", "--rate", 'x"'], "not TOML"),
        (["a", "--rate", "fast"], "rate 'fast': expected"),
        (["a", "--expires", "soon"], "--expires soon: expected a date"),
        (["a", "--expires", "999999d"], "--expires 999999d: expected a date"),
        (["a", "--expires", "99999d"], None),
    ],
)
def test_an_invalid_option_makes_no_key(words: list[str], message: str | None, tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    done = new(*words, "--file", file)
    if message is None:
        assert done.exit_code == 0
        return
    assert isinstance(done.exception, ConfigError | InputError)
    assert message in str(done.exception)
    assert done.stdout == ""
    assert not file.exists()


def test_days_count_from_now() -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    assert before + timedelta(days=90) <= moment("90d") <= datetime.now(UTC) + timedelta(days=90)


@pytest.mark.parametrize("before", ["", "# ours", f'[x]\nhash = "{HASH}"\nscopes = ["read"]', "\n\n"])
def test_an_entry_is_added_after_whatever_the_file_has(before: str, tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    file.write_text(before)
    file.chmod(0o644)
    append(file, "a", entry("a", ["read"]))
    append(file, "b", entry("b", ["read"]))
    assert file.read_text().startswith(before)
    assert list(read_file(file)) == [*tomllib.loads(before), "a", "b"]
    assert file.stat().st_mode & 0o777 == 0o644
    size = file.stat().st_size
    with pytest.raises(ConfigError, match="it has a key 'a'; remove its entry"):
        append(file, "a", entry("c", ["read"]))
    assert file.stat().st_size == size


def test_nothing_is_added_to_a_broken_file_or_to_a_folder_that_is_not_there(tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    file.write_text("a = ")
    with pytest.raises(ConfigError, match="not TOML"):
        append(file, "b", entry("b", ["read"]))
    assert file.read_text() == "a = "
    with pytest.raises(StorageError, match="cannot be written"):
        append(tmp_path / "none" / "keys.toml", "b", entry("b", ["read"]))
