"""Scores what is on a pipe: reads what is there, scores it, writes it, and only then waits for more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from numpy.typing import NDArray

from vaekit.bundle import ImageSpec
from vaekit.errors import InputError
from vaekit.scoring.batch.invalid_rows import InvalidRowLimit
from vaekit.scoring.output_columns import appended_columns
from vaekit.scoring.pipe.forms import CsvForm, Form, NdjsonForm
from vaekit.scoring.pipe.steps import StepWindows
from vaekit.scoring.scorers import Scorer, Scores
from vaekit.tabular.checked_rows import CheckedRows, InvalidRow
from vaekit.tabular.columns import Ignored
from vaekit.tabular.csv_text import PLAIN, CsvDialect

MOST_ROWS = 1024  # scored together, of those that have arrived
FORMATS = ("csv", "ndjson")
Format = Literal["csv", "ndjson"]


@dataclass(frozen=True)
class PipeOptions:
    """How rows on a pipe are read and written."""

    format: Format = "csv"
    header: bool = True  # of CSV: whether the first line names the columns
    columns: Sequence[str] | None = None  # input columns to keep; None: all; (): the row number alone
    strict: bool = False  # whether to refuse novel rows, and columns that the model does not have
    csv: CsvDialect = PLAIN
    max_bad: InvalidRowLimit = field(default_factory=InvalidRowLimit)


@dataclass
class PipeCounts:
    """What was scored so far."""

    rows: int = 0  # valid and invalid
    anomalies: int = 0
    invalid: Counter[str] = field(default_factory=Counter)  # by reason
    ignored: Ignored = field(default_factory=Ignored)


def score_pipe(
    scorer: Scorer,
    read: Callable[[], bytes],
    write: Callable[[bytes], object],
    *,
    options: PipeOptions,
    quarantine: Callable[[bytes], object] | None = None,
    progress: Callable[[PipeCounts], None] = lambda _: None,
    counts: PipeCounts | None = None,
) -> PipeCounts:
    """Score rows as they arrive, in order; a row is answered before the next piece is read.

    An invalid row does not end the run: it goes to the quarantine, or its output has the reason in place of scores.

    Args:
        scorer: the model and its options.
        read: returns what has arrived; waits if that is nothing; b'' at the end.
        write: gets the output, whole lines at a time.
        options: see PipeOptions.
        quarantine: gets the invalid rows; None: the output has them, with the reason.
        progress: called after each batch.
        counts: where to count; None: from zero.

    Raises:
        InputError: the columns do not fit the model, a row is too long, or there are too many invalid rows.
    """
    counts = PipeCounts() if counts is None else counts
    form, batch_rows = make_form(scorer, options, reports=quarantine is None), min(scorer.batch_rows, MOST_ROWS)
    windows = _Windows()
    for lines in _arriving(form, read):
        for at in range(0, len(lines), batch_rows):
            _score(scorer, form, windows, lines[at : at + batch_rows], write, quarantine, counts)
            options.max_bad.check(counts.invalid, counts.rows, ended=False)
            progress(counts)
    options.max_bad.check(counts.invalid, counts.rows, ended=True)
    return counts


def make_form(scorer: Scorer, options: PipeOptions, *, reports: bool) -> Form:
    """The form of the rows on the pipe.

    Raises:
        InputError: a model of images.
    """
    spec, is_csv, appended = scorer.spec, options.format == "csv", scorer.appended.names
    if isinstance(spec, ImageSpec):
        raise InputError("-: a model of images reads files, not standard input")
    strict, most = options.strict, scorer.most_missing
    if not is_csv:
        return NdjsonForm(spec, appended, keep=options.columns, strict=strict, most_missing=most)
    return CsvForm(
        spec,
        appended,
        keep=options.columns,
        dialect=options.csv,
        header=options.header,
        reports=reports,
        strict=strict,
        most_missing=most,
    )


def _arriving(form: Form, read: Callable[[], bytes]) -> Iterator[list[bytes]]:
    """The lines that are complete, as soon as they are."""
    while data := read():
        if lines := form.splitter.feed(data):
            yield lines
    if lines := form.splitter.end():
        yield lines


class _Windows:
    """The windows of the rows on the pipe, if they are time steps; otherwise the rows themselves."""

    def __init__(self) -> None:
        self._steps: StepWindows | None = None

    def of(self, form: Form, checked: CheckedRows, start: int) -> tuple[NDArray[Any], list[int]]:
        """(what the model scores (n, ...), the row of the batch that gets each result)."""
        if form.window is None:
            return checked.x, checked.valid.tolist()
        self._steps = self._steps or StepWindows(form.window)
        return self._steps.cut(checked, form.beside(), start)


def _score(
    scorer: Scorer,
    form: Form,
    windows: _Windows,
    lines: Sequence[bytes],
    write: Callable[[bytes], object],
    quarantine: Callable[[bytes], object] | None,
    counts: PipeCounts,
) -> None:
    checked = form.read(lines)
    invalid = {one.row: replace(one, row=one.row + counts.rows) for one in checked.invalid}
    scored: dict[int, Sequence[Any]] = dict.fromkeys(checked.valid.tolist(), [None] * len(scorer.appended))
    x, rows = windows.of(form, checked, counts.rows)
    if len(x):
        scores = scorer.score(x)
        scored |= _values(scorer, scores, rows)
        counts.anomalies += 0 if scores.is_anomaly is None else int(scores.is_anomaly.sum())
    shown: dict[int, InvalidRow] = {} if quarantine is not None else invalid
    if content := form.write(scored, shown):
        write(content)
    if quarantine is not None and invalid:
        quarantine(form.refused(invalid))
    counts.rows += len(checked.valid) + len(invalid)
    counts.invalid.update(one.reason for one in invalid.values())
    counts.ignored = checked.ignored


def _values(scorer: Scorer, scores: Scores, rows: Sequence[int]) -> dict[int, Sequence[Any]]:
    """The values of the appended columns by row."""
    columns = appended_columns(scores, list(scorer.appended), scorer.spec)
    cells = (column.to_pylist() for column in columns)
    return dict(zip(rows, zip(*cells, strict=True), strict=True))
