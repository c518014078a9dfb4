"""Which files of a folder every reader skips."""

from __future__ import annotations

from pathlib import PurePath


def is_hidden(file: PurePath) -> bool:
    """Whether the path, relative to the folder that is read, has a name that starts with a dot or an underscore."""
    return any(part.startswith((".", "_")) for part in file.parts)
