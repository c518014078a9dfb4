"""Reports a full disk, a read-only folder or a missing temporary folder as one sentence."""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vaekit.errors import StorageError, VaeError

UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)  # errors of copying that are the target's
PREFIX = "vaekit-"  # of the names of temporary folders
_TEMPORARY = "set TMPDIR to a folder with free space that you may write to"


@contextmanager
def writing(where: object, then: str = "") -> Iterator[None]:
    """Raise errors of the system while writing `where` as StorageError; `then` says what to do."""
    try:
        yield
    except (VaeError, BrokenPipeError):  # a reader that ends early, as head does, is no fault of the disk
        raise
    except OSError as exc:
        raise StorageError(f"{where}: cannot be written: {exc.strerror or exc}{then and f'; {then}'}") from exc


def new_temporary_folder() -> Path:
    """A new private folder (0700); the caller deletes it.

    Raises:
        StorageError: no temporary folder can be written.
    """
    try:
        return Path(tempfile.mkdtemp(prefix=PREFIX))
    except OSError as exc:
        raise _no_folder(exc) from exc


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A private folder that is deleted when the block ends.

    Raises:
        StorageError: no temporary folder can be written.
    """
    try:
        held = tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True)
    except OSError as exc:
        raise _no_folder(exc) from exc
    with held as folder:
        yield Path(folder)


def full(folder: Path, exc: OSError) -> StorageError:
    """The error for a temporary folder that takes no more."""
    return StorageError(f"temporary folder {folder}: cannot be written: {exc.strerror}; {_TEMPORARY}")


def _no_folder(exc: OSError) -> StorageError:
    return StorageError(f"no temporary folder can be written: {exc.strerror or exc}; {_TEMPORARY}")
