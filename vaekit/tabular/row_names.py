"""How a listed row is named: by its number, counted from 0, and by its id if the model knows the column."""

from __future__ import annotations

from typing import Any

LONGEST = 40  # letters of an id or a path that are shown
END = 24  # of these, from the end: the name of a file


def id_text(value: Any) -> str | None:
    """A cell of the id column, or the path of an image, as text; of a long one the ends. None if it is missing."""
    if value is None or value != value:
        return None
    text = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()
    return text if len(text) <= LONGEST else f"{text[: LONGEST - END - 1]}\u2026{text[-END:]}"


def of_id(column: str | None, text: str | None) -> str:
    """What follows the number of a row: " (reading_id 1041)", or nothing if the id is unknown."""
    return "" if column is None or not text else f" ({column} {text})"
