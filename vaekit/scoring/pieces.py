"""What every input looks like from outside: Arrow record batches with row numbers. Knows no file format."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vaekit.errors import InputError


@dataclass(frozen=True)
class Piece:
    """Some consecutive rows of an input."""

    start: int  # number of the first one over the whole input, from 0
    table: pa.RecordBatch  # what the input says of them
    pixels: NDArray[np.uint8] | None = None  # (n, H, W, C), where the input is pictures


class Source(Protocol):
    """An input that is read once, from its beginning."""

    @property
    def schema(self) -> pa.Schema:
        """Of every piece's table."""

    @property
    def text(self) -> bool:
        """Whether numbers are written as text."""

    @property
    def indices(self) -> bool:
        """Whether categories are written as indices of their levels."""

    @property
    def size(self) -> int:
        """The whole input, in `unit`."""

    @property
    def unit(self) -> Literal["rows", "bytes"]: ...

    def done(self) -> int:
        """How much of `size` has been read."""

    def pieces(self) -> Iterator[Piece]:
        """The rows in order.

        Raises:
            InputError: the input cannot be read on.
        """


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """The border: what pyarrow and the system say of a file that cannot be read leaves as an InputError."""
    try:
        yield
    except (pa.ArrowException, OSError) as exc:
        raise InputError(f"{path}: {exc}") from exc
