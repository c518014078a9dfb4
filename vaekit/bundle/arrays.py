"""Reads .npy and .npz files safely: arrays of numbers, or a FormatError."""

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

# Exceptions that np.load raises for damaged files. MemoryError: the header gives an array that does not fit in memory.
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
        FormatError: not a .npy file, or one that holds anything but numbers.
    """
    with _opened(path) as file:
        return _numbers(np.load(file, allow_pickle=False))


def read_archive(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of numbers of a .npz file, by name.

    Raises:
        FormatError: not a .npz file, or one that holds anything but numbers.
    """
    with _opened(path) as file, np.load(file, allow_pickle=False) as arrays:
        return {name: _numbers(arrays[name]) for name in arrays.files}


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """Opens a file; turns numpy's errors into a FormatError that names the file.

    The file is opened here because np.load leaves it open when it fails.
    """
    try:
        with path.open("rb") as file:
            yield file
    except _UNREADABLE as exc:
        raise FormatError(f"{path.name}: not arrays of numbers: {exc}") from exc


def _numbers(found: Any) -> NDArray[Any]:
    if not isinstance(found, np.ndarray) or found.dtype.kind not in "biuf":
        raise TypeError(f"found {getattr(found, 'dtype', type(found).__name__)}")
    return found
