"""Which files of a folder every reader finds, and which it skips."""

from __future__ import annotations

import os
from pathlib import Path, PurePath


def files_below(folder: Path) -> list[str]:
    """The relative paths of all files below a local folder. Links are followed; a folder is visited once."""
    found: list[str] = []
    visited: set[tuple[int, int]] = set()
    for top, folders, names in os.walk(folder, followlinks=True):
        status = Path(top).stat()
        if (status.st_dev, status.st_ino) in visited:  # a link to a folder that was visited, or to one around it
            folders.clear()
            continue
        visited.add((status.st_dev, status.st_ino))
        found += [(Path(top) / name).relative_to(folder).as_posix() for name in names]
    return found


def is_hidden(file: PurePath) -> bool:
    """Whether the path, relative to the folder that is read, has a name that starts with a dot or an underscore."""
    return any(part.startswith((".", "_")) for part in file.parts)
