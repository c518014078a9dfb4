"""Makes keys, and reads the entries of keys from TOML. An entry has the SHA-256 of its key, never the key.

    line-3 = { hash = "sha256:...", scopes = ["infer", "read"], expires = 2027-01-31, rate = "600/minute" }

A key has 256 random bits, so a fast hash is enough: there is nothing to guess.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from hashlib import sha256
from secrets import token_urlsafe
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from vaekit.errors import ConfigError
from vaekit_service.keys.rates import Rate, parse_rate

Scope = Literal["infer", "read", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)

PREFIX = "vae_"  # so that people and scanners for secrets recognise a key
_BYTES = 32
_HASH = "sha256:"
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


@dataclass(frozen=True)
class Key:
    """A key that the service accepts."""

    name: str
    digest: bytes  # SHA-256 of the key
    scopes: frozenset[str]
    expires: float | None = None  # seconds since 1970, from which the key is refused
    rate: Rate | None = None  # of this key; None: that of the service


def new_key() -> str:
    """A new random key."""
    return PREFIX + token_urlsafe(_BYTES)


def digest_of(key: bytes) -> bytes:
    return sha256(key).digest()


def entry(key: str, scopes: Sequence[str], expires: datetime | None = None, rate: str | None = None) -> dict[str, str]:
    """The fields of a key's entry, each as a TOML value."""
    fields = {
        "hash": f'"{_HASH}{digest_of(key.encode()).hex()}"',
        "scopes": "[" + ", ".join(f'"{scope}"' for scope in scopes) + "]",
    }
    if expires is not None:
        fields["expires"] = expires.isoformat()
    if rate is not None:
        fields["rate"] = f'"{rate}"'
    return fields


def line(name: str, fields: Mapping[str, str]) -> str:
    """An entry as one line of TOML."""
    return f"{name} = {{ {', '.join(f'{field} = {value}' for field, value in fields.items())} }}\n"


def section(name: str, fields: Mapping[str, str]) -> str:
    """An entry as a section of TOML, which may follow other sections."""
    return f"\n[{name}]\n" + "".join(f"{field} = {value}\n" for field, value in fields.items())


def check_name(name: str, where: str) -> None:
    """Check the name of a key; where: where it is from, for the message.

    Raises:
        ConfigError: it cannot be a name.
    """
    if not NAME.fullmatch(name):
        raise ConfigError(f"{where}: key {name[:64]!r}: a name has 1 to 64 lower-case letters, digits, - and _")


def parse(text: str, where: str) -> dict[str, Key]:
    """The keys of a TOML text by name.

    Args:
        text: one entry per key.
        where: where the text is from, for messages. No message has a hash or a value of the text.

    Raises:
        ConfigError: not TOML, or an entry is invalid; the message names the entry and the field.
    """
    try:
        entries = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as exc:
        raise ConfigError(f"{where}: not TOML: {_without_values(str(exc))}") from None  # its cause may quote a hash
    keys = {name: _key(name, fields, where) for name, fields in entries.items()}
    if len({key.digest for key in keys.values()}) < len(keys):
        raise ConfigError(f"{where}: two names have the same key; make one for each: vae keys new NAME")
    return keys


def _moment(given: object) -> float | None:
    """Seconds since 1970 of a TOML date (its first moment) or time, in UTC if it has no offset."""
    if isinstance(given, date) and not isinstance(given, datetime):
        given = datetime.combine(given, time())
    if not isinstance(given, datetime):
        # not a TypeError, which pydantic would not turn into a message
        raise ValueError("expected a date such as 2027-01-31 or a time such as 2027-01-31T12:00:00Z, without quotes")  # noqa: TRY004 - see above
    return (given if given.tzinfo else given.replace(tzinfo=UTC)).timestamp()


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    hash: Annotated[str, Field(pattern=rf"^{_HASH}[0-9a-f]{{64}}$")]
    scopes: Annotated[list[Scope], Field(min_length=1)]
    expires: Annotated[float | None, BeforeValidator(_moment)] = None
    rate: Annotated[str, Field(max_length=40)] | None = None


def _key(name: str, fields: Any, where: str) -> Key:
    check_name(name, where)
    at = f"{where}: key {name!r}"
    try:
        read = _Entry.model_validate(fields)
        rate = None if read.rate is None else parse_rate(read.rate)
    except ValidationError as exc:
        raise ConfigError(f"{at}: {_said(exc)}") from None  # the error has the values
    except ConfigError as exc:
        raise ConfigError(f"{at}: {exc}") from None
    return Key(name, bytes.fromhex(read.hash.removeprefix(_HASH)), frozenset(read.scopes), read.expires, rate)


def _said(exc: ValidationError) -> str:
    first = exc.errors(include_url=False, include_input=False)[0]
    field = ".".join(map(str, first["loc"]))
    if first["loc"] and first["loc"][0] == "hash" and first["type"] != "missing":
        return f"hash: expected {_HASH} and 64 hexadecimal digits, as `vae keys new` writes them"
    if first["type"] == "extra_forbidden":
        return f"{field[:40]}: no such field; the fields are {', '.join(_Entry.model_fields)}"
    return f"{field}: {first['msg']}" if field else "expected { hash = ..., scopes = [...] }"


def _without_values(message: str) -> str:
    """What a TOML error says, without the texts that it quotes; it may quote a character."""
    return re.sub(r"'[^']{4,}'", "'...'", message)
