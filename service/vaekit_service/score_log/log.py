"""The score log: one row for each scored row of /elbo, in Parquet files."""

from __future__ import annotations

from collections import deque
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from vaekit.errors import ConfigError
from vaekit_service.engine.jobs import Job
from vaekit_service.logs import Log
from vaekit_service.messages import Answer
from vaekit_service.score_log.entry import Entry, entry_of

if TYPE_CHECKING:
    from vaekit_service.score_log.writer import Writer

MAX_WAITING_BYTES = 64 * 2**20  # of rows that wait to be written
CLOSE_SECONDS = 5.0  # closing waits at most so long for the rows that wait


class ScoreLog:
    """A score log in a folder. Rows beyond MAX_WAITING_BYTES are dropped and counted.

    Args:
        writer: writes the entries of `queue`.
        queue: the entries that wait.
        payloads: whether the rows themselves are kept.
    """

    def __init__(self, writer: Writer, queue: deque[Entry], *, payloads: bool) -> None:
        self._writer, self._queue, self._payloads = writer, queue, payloads
        self._given_cost = self._refused = 0  # only the event loop changes these, and the writer its own

    def record(self, job: Job, answer: Answer, request_id: str) -> None:
        """Queue the rows of an answered request. Called in the event loop; it only keeps references."""
        if job.operation != "elbo":
            return
        entry = entry_of(job, answer, request_id, payloads=self._payloads)
        if self._given_cost - self._writer.taken_cost + entry.cost > MAX_WAITING_BYTES:
            self._refused += entry.n
            return
        self._given_cost += entry.cost
        self._queue.append(entry)

    @property
    def rows_written(self) -> int:
        """Rows handed to the operating system so far."""
        return self._writer.written

    @property
    def rows_dropped(self) -> int:
        """Rows lost so far, because too many waited or they could not be written."""
        return self._refused + self._writer.dropped

    def start(self) -> None:
        """Start writing."""
        self._writer.start()

    def close(self) -> None:
        """Write what waits, and finish the files, for at most CLOSE_SECONDS."""
        self._writer.close(CLOSE_SECONDS)


def open_score_log(
    folder: Path | None, log: Log, *, payloads: bool, file_bytes: int, seconds: float, max_bytes: int
) -> ScoreLog | None:
    """The score log of a service; None if there is no folder. Arguments as for Writer.

    Raises:
        ConfigError: pyarrow is not installed.
    """
    if folder is None:
        return None
    if find_spec("pyarrow") is None:
        raise ConfigError("VAE_SCORE_LOG: the score log needs pyarrow: pip install 'vaekit[arrow]'")
    from vaekit_service.score_log.writer import Writer

    queue: deque[Entry] = deque()
    writer = Writer(folder, queue, log, payloads=payloads, file_bytes=file_bytes, seconds=seconds, max_bytes=max_bytes)
    return ScoreLog(writer, queue, payloads=payloads)
