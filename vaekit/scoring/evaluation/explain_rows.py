"""Explains several rows of a file: the most anomalous ones, those of a condition, or those with given numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from heapq import nsmallest
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vaekit.bundle.comparison import rank_score
from vaekit.errors import InputError
from vaekit.runtime import Model
from vaekit.scoring.evaluation.explain_row import RowExplained, explained, id_cells, unseen_levels
from vaekit.scoring.evaluation.row_filter import Condition
from vaekit.scoring.files.sources import open_source
from vaekit.scoring.progress import Say, silent
from vaekit.scoring.rows import InvalidRows, rows_of
from vaekit.scoring.scorers import LOCAL_CELLS
from vaekit.scoring.windows import ChunkWindows
from vaekit.tabular.csv_text import PLAIN, CsvDialect

SHOWN = 3  # images that were left out, in the sentence about them
MOST_EXPLAINED = 1000  # rows of one call: explaining a row takes 30 times the work of scoring it


@dataclass(frozen=True)
class RowChoice:
    """Which rows of a file to explain; what is None chooses nothing away."""

    numbers: tuple[int, ...] | None = None  # counted from 0
    where: Condition | None = None
    top: int | None = None  # the so many most anomalous ones of the others' choice


class _Found(NamedTuple):
    rank: float  # rank_score, nats: higher is more anomalous
    row: int
    x: NDArray[Any]  # (1, ...)
    unseen: dict[str, str]  # levels unseen in training, by column
    id: str | None  # its cell of the model's id column


class LeftOut:
    """The invalid images that are left out of a choice of rows.

    Args:
        asked: numbers of the rows that were asked for; one that is invalid is refused. None: any rows.
    """

    def __init__(self, asked: tuple[int, ...] | None) -> None:
        self._asked = asked
        self._shown: list[str] = []
        self._count = 0

    def add(self, invalid: InvalidRows | None) -> None:
        """Note the invalid images of a chunk. Raises InputError for one that was asked for."""
        for i, number in enumerate([] if invalid is None else invalid.numbers.tolist()):
            assert invalid is not None
            if self._asked is not None and number in self._asked:
                raise InputError(invalid.sentence(i))
            self._count += 1
            if len(self._shown) < SHOWN:
                self._shown.append(invalid.sentence(i))

    def end(self, rows: int, say: Say) -> None:
        """Say which ones were left out of so many rows. Raises InputError if all were."""
        if not self._count or self._asked is not None:
            return
        if self._count == rows:
            raise InputError(self._shown[0])
        more = f"; and {self._count - SHOWN:,} more" if self._count > SHOWN else ""
        say(f"left out {self._count:,} of {rows:,} images: {'; '.join(self._shown)}{more}")


def explain_rows(
    model: Model, data: Path, choice: RowChoice, *, cells: int, say: Say = silent, csv: CsvDialect = PLAIN
) -> list[RowExplained]:
    """Explain the chosen rows of a file, each with its `cells` most anomalous cells.

    Invalid images are left out, unless their numbers are in the choice, and `say` gets a sentence about them. With
    `choice.top` the most anomalous row is first, otherwise the order is that of the file. `say` and `csv` are as
    in `explain_row`.

    Raises:
        InputError: the file is invalid, has no such row or column, no row is chosen, or more than 1,000 are.
    """
    numbers = choice.numbers
    seen = _chosen(model, data, choice, say, csv)
    if choice.top is not None:
        found = nsmallest(choice.top, seen, key=lambda one: (-one.rank, one.row))
    else:
        found = []
        for one in seen:
            found.append(one)
            if len(found) > MOST_EXPLAINED:
                raise InputError(f"{data}: more than {MOST_EXPLAINED:,} rows to explain; choose fewer, or the top ones")
    if numbers is not None and choice.top is None and choice.where is None:
        _check_windows(model, numbers, [one.row for one in found])
    if not found:
        raise InputError(f"{data}: no row fulfils the condition" if choice.where else f"{data}: no rows")
    return [explained(model, data, one.row, one.x, cells, one.unseen, one.id) for one in found]


def _chosen(model: Model, data: Path, choice: RowChoice, say: Say, csv: CsvDialect) -> Iterator[_Found]:
    """The chosen rows of a file, `top` aside, with their ranks."""
    spec = model.spec
    source, start = open_source(data, spec, max(1, LOCAL_CELLS // spec.dim), csv=csv), 0
    rows = rows_of(source, spec)
    for remark in (*source.remarks, *rows.remarks):
        say(remark)
    if choice.where is not None:
        choice.where.check(source.schema.names)
    wanted = None if choice.numbers is None else np.array(sorted(choice.numbers))
    windows, left_out = ChunkWindows(rows), LeftOut(choice.numbers)
    for chunk in source.chunks():
        found, invalid = windows.take_valid(chunk)
        left_out.add(invalid)
        take = np.ones(len(found.x), dtype=bool)
        if wanted is not None:
            take &= np.isin(found.at + start, wanted)
        if choice.where is not None:
            take &= choice.where.mask(chunk.table, source.dialect)[found.at]
        x, at = found.x[take], found.at[take]
        unseen, ids = unseen_levels(x, chunk.table, at, spec), id_cells(model, chunk.table, at)
        yield from _ranked(model, x, at + start, unseen, ids, ranks=choice.top is not None)
        start += chunk.table.num_rows
    left_out.end(start, say)
    if wanted is not None and len(wanted) and wanted[-1] >= start:
        raise InputError(f"row {wanted[-1]}: the input has {start} rows, counted from 0")


def _ranked(
    model: Model,
    x: NDArray[Any],
    numbers: NDArray[np.intp],
    unseen: list[dict[str, str]],
    ids: list[str | None],
    *,
    ranks: bool,
) -> Iterator[_Found]:
    if not len(x):
        return
    rank = np.zeros(len(x))
    if ranks:
        bound = model.bound_checked(x)
        rank = rank_score(bound.score, bound.novel)
    for i, row in enumerate(numbers.tolist()):
        yield _Found(float(rank[i]), row, x[i : i + 1], unseen[i], ids[i])


def _check_windows(model: Model, numbers: tuple[int, ...], found: list[int]) -> None:
    lost = sorted(set(numbers) - set(found))
    if lost and model.spec.window is not None:
        raise InputError(f"row {lost[0]}: no window ends at this time step: {model.spec.window.needs}")
