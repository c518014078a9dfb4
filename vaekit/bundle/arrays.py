"""Reads numpy's files, whatever is in them, as arrays of numbers."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tokenize import TokenError
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from vaekit.errors import FormatError

# What np.load was seen to raise for files with some bytes changed; MemoryError is a header that claims too much.
_UNREADABLE = (
    ValueError,
    TypeError,
    EOFError,
    OSError,
    RuntimeError,
    MemoryError,
    TokenError,
    zipfile.BadZipFile,
    zlib.error,
)


def read_array(path: Path) -> NDArray[Any]:
    """The numbers of a .npy file.

    Raises:
        FormatError: not one, or one of something else than numbers.
    """
    with _opened(path) as file:
        return _numbers(np.load(file, allow_pickle=False))


def read_archive(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of numbers of a .npz file, by name.

    Raises:
        FormatError: not one, or one that holds something else than numbers.
    """
    with _opened(path) as file, np.load(file, allow_pickle=False) as arrays:
        return {name: _numbers(arrays[name]) for name in arrays.files}


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """The border: what numpy says of a file that it cannot read leaves as a FormatError that names it.

    The file is opened here: np.load leaves it open where it fails.
    """
    try:
        with path.open("rb") as file:
            yield file
    except _UNREADABLE as exc:
        raise FormatError(f"{path.name}: not arrays of numbers: {exc}") from exc


def _numbers(found: Any) -> NDArray[Any]:
    if not isinstance(found, np.ndarray) or found.dtype.kind not in "biuf":
        raise TypeError(f"{getattr(found, 'dtype', type(found).__name__)}")
    return found
