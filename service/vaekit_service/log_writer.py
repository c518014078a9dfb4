"""Writes the log in a thread of its own, so that a reader that does not keep up never blocks the service.

Not logging.handlers.QueueListener: its `stop` waits for the thread, which may wait for ever in a write to a full pipe.
"""

from __future__ import annotations

import io
import os
import select
import threading
from contextlib import suppress
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import TextIO

MAX_LINES = 10_000  # waiting lines, a few MB
GATHER_SECONDS = 0.01  # the thread waits so long after a line, to write others with it: fewer switches of threads
CLOSE_SECONDS = 2.0  # closing waits at most so long for the lines that wait


class LogWriter:
    """A text stream whose `write` never blocks. Lines beyond `max_lines` are dropped and counted.

    The thread writes to the file descriptor itself: blocked inside sys.stderr it would hold a lock that Python needs at
    its exit.

    Args:
        stream: the lines go to its file descriptor, or to the stream itself if it has none.
        max_lines: largest number of waiting lines.
        close_seconds: the time that `close` leaves the reader for the waiting lines.
    """

    def __init__(self, stream: TextIO, *, max_lines: int = MAX_LINES, close_seconds: float = CLOSE_SECONDS) -> None:
        self._stream, self._max_lines, self._close_seconds = stream, max_lines, close_seconds
        self._encoding, self._errors = stream.encoding or "utf-8", stream.errors or "replace"
        self._lines: SimpleQueue[str] = SimpleQueue()
        self._ends = threading.Event()
        self._lock = threading.Lock()  # guards `dropped`
        self.dropped = 0  # lines
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def write(self, line: str) -> int:
        """Queue a line. May be called from any thread."""
        if self._lines.qsize() >= self._max_lines:
            self._drop(1)
        else:
            self._lines.put(line)
        return len(line)

    def flush(self) -> None:
        """Does nothing: `close` writes the waiting lines."""

    def isatty(self) -> bool:
        return self._stream.isatty()

    def close(self) -> None:
        """Write the waiting lines, for at most `close_seconds`, and end the thread. The rest is dropped."""
        self._ends.set()
        self._lines.put("")  # wakes the thread
        self._thread.join(self._close_seconds)

    def __enter__(self) -> LogWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def _drop(self, lines: int) -> None:
        with self._lock:
            self.dropped += lines

    def _run(self) -> None:
        while not (self._ends.is_set() and self._lines.empty()):
            lines = [self._lines.get()]
            self._ends.wait(GATHER_SECONDS)
            with suppress(Empty):
                while True:
                    lines.append(self._lines.get_nowait())
            try:
                self._write_out("".join(lines))
            except (OSError, ValueError):  # the reader is gone, the disk is full or the stream is closed
                self._drop(sum(map(bool, lines)))

    def _write_out(self, text: str) -> None:
        try:
            descriptor = self._stream.fileno()
        except io.UnsupportedOperation:
            self._stream.write(text)
            self._stream.flush()
        else:
            write_all(descriptor, text.encode(self._encoding, self._errors))


def write_all(descriptor: int, content: bytes) -> None:
    """Write all bytes, also where the descriptor does not block.

    Raises:
        OSError: it cannot be written to.
    """
    rest = memoryview(content)
    while rest:
        try:
            rest = rest[os.write(descriptor, rest) :]
        except BlockingIOError:
            select.select([], [descriptor], [])
