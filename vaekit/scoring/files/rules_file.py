"""Reads tolerance rules from a .toml or .json file."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

from vaekit.errors import InputError
from vaekit.tolerance_rules import ToleranceRule, parse_rules

READERS = {".toml": "TOML", ".json": "JSON"}


def read_rules(path: Path) -> dict[str, ToleranceRule]:
    """The rules of a file by column.

    Raises:
        InputError: the file is unreadable, names a column twice, or has an invalid rule; the message says where.
    """
    if path.suffix.lower() not in READERS:
        raise InputError(f"--ignore: {path}, expected a file that ends in .toml or .json")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as exc:
        raise InputError(f"--ignore: {path}: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise InputError(f"--ignore: {path}: not UTF-8: {exc}") from exc
    try:
        found = tomllib.loads(text) if path.suffix.lower() == ".toml" else json.loads(text, object_pairs_hook=_once)
    except ValueError as exc:  # of tomllib and json
        raise InputError(f"--ignore: {path}: not {READERS[path.suffix.lower()]}: {exc}") from exc
    return parse_rules(found, f"--ignore: {path}")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object of these pairs; a name that is given twice is an error, as in TOML."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)!r} is given twice")
    return found
