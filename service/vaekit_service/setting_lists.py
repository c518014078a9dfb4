"""Reads settings that are lists (names, and pairs NAME=VALUE), and settings that are paths or URLs."""

from __future__ import annotations

from pathlib import Path

from vaekit.bundle.models_folder import check_name
from vaekit.bundle.policy import Policy
from vaekit.errors import UnknownModel


def names(text: str | None) -> set[str]:
    """The names in a list that is separated by commas, in lower case."""
    return {name.strip().lower() for name in (text or "").split(",") if name.strip()}


def pairs(given: str | None, what: str) -> dict[str, str]:
    """NAME=VALUE texts, separated by commas, as a dictionary.

    Raises:
        ValueError: a text of another form, or a name that no model may have, or one that occurs twice.
    """
    found: dict[str, str] = {}
    for text in given.split(",") if given else ():
        name, equals, value = text.strip().partition("=")
        if not equals or not value or name in found:
            raise ValueError(f"{text!r} is given twice" if name in found else f"{text!r} is not NAME={what}")
        try:
            found[check_name(name)] = value
        except UnknownModel as exc:
            raise ValueError(str(exc)) from None
    return found


def policies_of(given: str | None) -> dict[str, Policy]:
    """The policies in texts NAME=VERSION, separated by commas.

    Raises:
        ValueError: a text of another form.
    """
    found = {}
    for name, value in pairs(given, "VERSION").items():
        default, *loaded = value.split("+")
        try:
            found[name] = Policy(
                default="latest" if default == "latest" else int(default), loaded=tuple(map(int, loaded))
            )
        except ValueError:
            raise ValueError(f"{name}={value}: expected a version, or latest, and +VERSION for others") from None
    return found


def path_or_url(given: Path | str) -> Path | str:
    """A URL as it is, and a path as a path."""
    return given if isinstance(given, str) and "://" in given else Path(given)
