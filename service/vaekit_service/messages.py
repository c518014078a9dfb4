"""What passes between codecs and engine: a parsed request on the way in, an answer on the way out. Data only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from numpy.typing import NDArray

from vaekit.bundle.input_spec import ImageSpec, VectorSpec
from vaekit.bundle.manifest import Manifest
from vaekit.client.wire import Request
from vaekit.tabular.columns import NOTHING_IGNORED, Ignored

Operation = Literal["encode", "decode", "sample", "elbo"]
OPERATIONS: tuple[Operation, ...] = ("encode", "decode", "sample", "elbo")

Body = bytes | bytearray
Fact = str | int | float | list[str] | None


@dataclass(frozen=True)
class Target:
    """The operation and the model that a body is read for."""

    operation: Operation
    manifest: Manifest
    most_rows: int  # of one request


@dataclass(frozen=True)
class ParsedRequest:
    """The options of a request, and its rows as the graphs take them, where the operation takes rows."""

    options: Request
    rows: NDArray[Any] | None
    ignored: Ignored = NOTHING_IGNORED  # columns of the rows that the model does not have


@dataclass(frozen=True)
class Answer:
    """A reply before it is written: arrays with a row for each row of the request, and facts about all of them."""

    model: str
    version: int
    n: int
    rows: dict[str, NDArray[Any] | None]
    facts: dict[str, Fact]
    spec: VectorSpec | ImageSpec
