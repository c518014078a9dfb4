"""How a listed row is named: by its number, counted from 0, and by its id if the model knows the column."""

from __future__ import annotations

from typing import Any

LONGEST = 40  # letters of an id or a path that are shown


def id_text(value: Any) -> str | None:
    """A cell of the id column as text; None if it is missing."""
    if value is None or value != value:
        return None
    text = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}\u2026"


def file_text(name: str) -> str:
    """The path of a file as text; of a long one the end."""
    return name if len(name) <= LONGEST else f"\u2026{name[1 - LONGEST :]}"


def of_id(column: str | None, text: str | None) -> str:
    """What follows the number of a row: " (reading_id 1041)", or nothing if the id is unknown."""
    return "" if column is None or not text else f" ({column} {text})"
