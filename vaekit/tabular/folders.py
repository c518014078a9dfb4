"""Which files of a folder every reader finds, and which it skips."""

from __future__ import annotations

import os
import stat
from pathlib import Path, PurePath

from vaekit.errors import InputError


def files_below(folder: Path) -> list[str]:
    """The relative paths of all files below a local folder. Links are followed; a folder is visited once.

    Pipes, sockets and devices are left out: reading a pipe would wait for ever. A path that is no folder has no files.

    Raises:
        InputError: a folder that is not hidden cannot be read.
    """

    def refuse(error: OSError) -> None:
        is_folder = not isinstance(error, FileNotFoundError | NotADirectoryError)
        if is_folder and not is_hidden(Path(error.filename).relative_to(folder)):
            raise InputError(f"{error.filename}: the folder cannot be read: {error.strerror}") from error

    found: list[str] = []
    visited: set[tuple[int, int]] = set()
    for top, folders, names in os.walk(folder, followlinks=True, onerror=refuse):
        status = Path(top).stat()
        if (status.st_dev, status.st_ino) in visited:  # a link to a folder that was visited, or to one around it
            folders.clear()
            continue
        visited.add((status.st_dev, status.st_ino))
        files = (Path(top) / name for name in names)
        found += [file.relative_to(folder).as_posix() for file in files if not _is_special(file)]
    return found


def _is_special(file: Path) -> bool:
    try:
        return not stat.S_ISREG(file.stat().st_mode)
    except OSError:  # a link to nowhere, for example; reading it gives the error
        return False


def is_hidden(file: PurePath) -> bool:
    """Whether the path, relative to the folder that is read, has a name that starts with a dot or an underscore."""
    return any(part.startswith((".", "_")) for part in file.parts)
