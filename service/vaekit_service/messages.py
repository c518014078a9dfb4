"""The data that codecs and engine exchange: a parsed request and an answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vaekit.bundle.input_spec import ImageSpec, VectorSpec
from vaekit.bundle.manifest import Manifest
from vaekit.client.wire import Request, RowId, RowOptions
from vaekit.tabular.checked_rows import InvalidRow
from vaekit.tabular.columns import NOTHING_IGNORED, Ignored
from vaekit.tabular.series import Ends

Operation = Literal["encode", "decode", "sample", "elbo"]
OPERATIONS: tuple[Operation, ...] = ("encode", "decode", "sample", "elbo")

OF_DATA = {"mean", "scale", "df", "samples"}  # fields of a reply in the form of the data: (N, W, D) for windows

NULL_WITHOUT_WINDOW = {"observed_count", "group", "group_pooled"}  # fields without NaN

Body = bytes | bytearray
Fact = str | int | float | list[str] | None


@dataclass(frozen=True)
class Target:
    """The operation and the model that a body is read for."""

    operation: Operation
    manifest: Manifest
    max_rows: int  # of one request to this model


@dataclass(frozen=True)
class ParsedRequest:
    """The options of a request, and its rows as an input array of the graphs."""

    options: Request
    rows: NDArray[Any] | None  # (N, D), (N, H, W, C) or, for decode, (N, Z); None for sample
    ignored: Ignored = NOTHING_IGNORED  # columns of the rows that the model does not have
    ids: Sequence[RowId] | None = None  # the caller's id of each row; None: the caller sent none
    invalid: Sequence[InvalidRow] = ()  # with errors=report: rows that could not be read, which `rows` does not have
    repeats_ids: bool = False  # whether the reply has the ids, whatever its content type
    sizes: NDArray[np.int64] | None = None  # (n, 2), width and height of image files that may have been scaled
    ends: Ends | None = None  # where results go if the rows are windows of time steps; None: to their rows

    @property
    def n(self) -> int:
        """Number of rows in `rows`."""
        return 0 if self.rows is None else len(self.rows)

    @property
    def reports(self) -> bool:
        """Whether invalid rows are answered with their reason."""
        return isinstance(self.options, RowOptions) and self.options.errors == "report"


@dataclass(frozen=True)
class Answer:
    """A reply before it is encoded: arrays with one entry per valid row of the request, and facts about all of it."""

    model: str
    version: int
    n: int  # valid rows
    rows: dict[str, NDArray[Any] | None]
    facts: dict[str, Fact]
    spec: VectorSpec | ImageSpec
    ids: Sequence[RowId] | None = None  # of the valid rows; None: the reply has no ids
    invalid: Sequence[InvalidRow] = ()  # rows that could not be read, in order
    reports: bool = False  # whether invalid rows are answered with their reason
    start: int = 0  # number of the first row in the request, if the answer is a part of a stream
    unscored: NDArray[np.bool_] | None = None  # (N,), time steps at which no window ends; None: there are none

    @property
    def total(self) -> int:
        """Number of rows, valid and invalid."""
        return self.n + len(self.invalid)
