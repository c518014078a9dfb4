"""Reads key files, and appends entries to them."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import IO

from vaekit.bundle.disk import writing
from vaekit.errors import ConfigError
from vaekit_service.keys.key import Key, line, parse, section

MAX_BYTES = 2**20  # a few thousand keys

Signature = tuple[int, ...]


def signature(file: Path) -> Signature | None:
    """Numbers that change with the content or the permissions of a file; None: it cannot be looked at."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ctime_ns, found.st_dev, found.st_ino, found.st_size


def is_open_to_others(file: Path) -> bool:
    """Whether other users than the owner may write to a file; false on systems without POSIX permissions."""
    try:
        return os.name == "posix" and bool(file.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH))
    except OSError:
        return False


def read_file(file: Path) -> dict[str, Key]:
    """The keys of a file by name.

    Raises:
        ConfigError: the file cannot be read, or an entry is invalid.
    """
    where = f"key file {str(file)!r}"
    try:
        with file.open("rb") as opened:
            content = opened.read(MAX_BYTES + 1)
        text = content.decode()
    except OSError as exc:
        raise ConfigError(f"{where}: {exc.strerror}") from exc
    except UnicodeDecodeError:
        raise ConfigError(f"{where}: not UTF-8 text") from None
    if len(content) > MAX_BYTES:
        raise ConfigError(f"{where}: more than {MAX_BYTES} bytes")
    return parse(text, where)


def append(file: Path, name: str, fields: Mapping[str, str]) -> None:
    """Append an entry to a key file; a new file can be read and written by its owner only.

    The file is not replaced: a container that has it mounted would go on to see the old one.

    Raises:
        ConfigError: the file is invalid, or has a key of that name.
        StorageError: it cannot be written.
    """
    before = read_file(file) if file.exists() else {}
    if name in before:
        raise ConfigError(f"key file {str(file)!r}: it has a key {name!r}; remove its entry, or choose another name")
    with writing(file), open(file, "a+b", opener=_private) as opened:  # Path.open has no opener
        _append(opened, name, fields, before)


def _append(opened: IO[bytes], name: str, fields: Mapping[str, str], before: Collection[str]) -> None:
    opened.seek(0)
    old = opened.read()
    start = old.decode() + ("\n" if old and not old.endswith(b"\n") else "")
    # a line at the end of a section would belong to the section
    forms = (start + line(name, fields), start + section(name, fields))
    text = next(form for form in forms if _has(form, {*before, name}))
    try:
        opened.write(text.encode()[len(old) :])
        opened.flush()
    except OSError:
        opened.truncate(len(old))
        raise


def _has(text: str, names: set[str]) -> bool:
    """Whether a text has keys of exactly these names."""
    try:
        return set(parse(text, "")) == names
    except ConfigError:
        return False


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
