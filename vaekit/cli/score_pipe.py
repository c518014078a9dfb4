"""`vae score MODEL - -`: scores what arrives on standard input, and writes to standard output."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from vaekit.cli.output import say

if TYPE_CHECKING:
    from vaekit.scoring import Options, Scorer
    from vaekit.scoring.pipe.run import PipeCounts, PipeOptions

STDIN = "-"  # as an input: standard input
AT_ONCE = 64 * 1024  # bytes read at most before they are scored


def check_format(source: str, output: str, form: str | None, *, header: bool, needs_file: Mapping[str, object]) -> None:
    """Refuse what a pipe does not have, and what only a pipe has.

    Args:
        source, output: of the command.
        form, header: the options of a pipe.
        needs_file: values of options that need a file as input, by name.

    Raises:
        InputError: options that do not fit the input.
    """
    from vaekit.errors import InputError
    from vaekit.storage.paths import STDOUT

    if source != STDIN:
        if form is not None or not header:
            name = "--no-header" if form is None else "--format"
            raise InputError(f"{name}: is for rows on standard input (vae score MODEL - -); a file has its ending")
        return
    if not header and form == "ndjson":
        raise InputError("--no-header: is for CSV; NDJSON has no header")
    if output != STDOUT:
        raise InputError(f"{output}: standard input is scored to standard output: write vae score MODEL - - > {output}")
    for name, value in needs_file.items():
        if value not in (None, False, "local"):
            raise InputError(f"{name}: needs a file as input, but the input is standard input")


def pipe_options(options: Options, form: str | None, *, header: bool) -> PipeOptions:
    """The options of a run that a pipe has too."""
    from vaekit.scoring.pipe.run import PipeOptions

    return PipeOptions(
        "ndjson" if form == "ndjson" else "csv",
        header=header,
        columns=options.columns,
        strict=options.strict,
        csv=options.csv,
        max_bad=options.max_bad,
    )


def run_pipe(scorer: Scorer, options: PipeOptions, quarantine: str | None) -> None:
    """Score standard input until it ends, or until SIGINT or SIGTERM; then say on stderr what was scored."""
    from vaekit.bundle.disk import writing
    from vaekit.scoring.pipe.run import PipeCounts, score_pipe

    counts, stdin = PipeCounts(), _StandardInput()
    with (
        writing("standard output"),
        _appended(quarantine) as to_quarantine,
        _counter() as progress,
        suppress(_Stopped),
    ):
        score_pipe(
            scorer, stdin.read, _write, options=options, quarantine=to_quarantine, progress=progress, counts=counts
        )
    _report(scorer, counts)
    if stdin.signal is not None:
        sys.exit(128 + stdin.signal)


class _Stopped(BaseException):
    """The run was asked to end."""


class _StandardInput:
    """Standard input. SIGINT and SIGTERM end the reading, but never the writing of a row."""

    def __init__(self) -> None:
        self.signal: int | None = None  # that ended the run
        self._is_waiting = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._stop)

    def read(self) -> bytes:
        """What has arrived, at least a byte; b'' at the end."""
        if self.signal is not None:
            raise _Stopped
        self._is_waiting = True
        try:
            return os.read(sys.stdin.fileno(), AT_ONCE)
        finally:
            self._is_waiting = False

    def _stop(self, number: int, _: object) -> None:
        is_second, self.signal = self.signal is not None, number
        if self._is_waiting or is_second:
            raise _Stopped


def _write(content: bytes) -> None:
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()


@contextmanager
def _appended(where: str | None) -> Iterator[Callable[[bytes], object] | None]:
    """Writes at the end of a file, each time up to the disk's cache; None: there is no file."""
    if where is None:
        yield None
        return
    with Path(where).open("ab") as file:

        def write(content: bytes) -> None:
            file.write(content)
            file.flush()

        yield write


@contextmanager
def _counter() -> Iterator[Callable[[PipeCounts], None]]:
    """Shows the number of rows on stderr, if that is a terminal."""
    from vaekit.cli.progress import bar

    with bar("scoring") as show:
        yield lambda counts: show(counts.rows, counts.rows, "rows")


def _report(scorer: Scorer, counts: PipeCounts) -> None:
    invalid = f", {counts.invalid.total():,} invalid" if counts.invalid else ""
    anomalies = "" if scorer.reason else f", {counts.anomalies:,} anomalies at alpha = {scorer.alpha:g}"
    say(f"{counts.rows:,} rows{invalid}{anomalies} by {scorer.model}")
    for said in counts.ignored.warnings:
        say(said)
