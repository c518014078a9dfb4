"""Writes the entries of the score log to files, in a thread of its own."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa

from vaekit_service.logs import Log
from vaekit_service.score_log.columns import schema_of, table_of
from vaekit_service.score_log.entry import Entry
from vaekit_service.score_log.files import GrowingFile, recover, remove_oldest, rotate

POLL_SECONDS = 0.1  # between two looks at the queue: entries need not wake the thread, which would cost the caller
WRITE_SECONDS = 1.0  # rows are handed to the operating system so often: what a killed process loses
CHUNK = 512  # entries made into columns at once, so that the event loop does not wait long for the interpreter

DROPPED = "score log cannot be written; rows are dropped"
UNTIDY = "score log: files cannot be finished or removed; they stay"

Key = tuple[str, int]  # model and version


class Writer:
    """Takes entries from a queue and writes them, one growing file per model version.

    Args:
        folder: where the files are.
        queue: the entries; others append, this object removes them.
        log: where troubles are said, once each.
        payloads: whether the rows themselves are written.
        file_bytes, seconds: a file is finished at this size, or this long after its first row.
        max_bytes: the size of all files together.
    """

    def __init__(
        self, folder: Path, queue: deque[Entry], log: Log, *, payloads: bool, file_bytes: int, seconds: float,
        max_bytes: int,
    ) -> None:  # fmt: skip
        self._folder, self._queue, self._log, self._payloads = folder, queue, log, payloads
        self._file_bytes, self._seconds, self._max_bytes = file_bytes, seconds, max_bytes
        self.taken_cost = 0  # of all entries written or dropped so far
        self.written = self.dropped = 0  # rows
        self._files: dict[Key, GrowingFile] = {}
        self._troubles: dict[str, str] = {}  # the last one of each event, so that it is said once
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run, name="score log", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self, seconds: float) -> None:
        """Write what waits and finish the files, for at most so many seconds."""
        self._ends.set()
        if self._thread.ident is not None:
            self._thread.join(seconds)

    def _run(self) -> None:
        self._tidy()
        while not self._ends.is_set():
            until = time.monotonic() + WRITE_SECONDS
            while time.monotonic() < until and len(self._queue) < CHUNK and not self._ends.wait(POLL_SECONDS):
                pass
            self._write_waiting()
            self._finish_due()
        self._write_waiting()
        self._finish(list(self._files))

    def _write_waiting(self) -> None:
        """Write the entries that wait now, by model version."""
        by_version: dict[Key, list[Entry]] = {}
        for _ in range(len(self._queue)):
            entry = self._queue.popleft()
            by_version.setdefault((entry.model.manifest.name, entry.model.manifest.version), []).append(entry)
        for key, entries in by_version.items():
            rows = sum(entry.n for entry in entries)
            try:
                self._append(key, entries)
                self.written += rows
            except Exception as exc:  # noqa: BLE001 - the thread must go on, whatever one batch of rows does to it
                self.dropped += rows
                self._abandon(key)
                self._say(exc)
            self.taken_cost += sum(entry.cost for entry in entries)

    def _append(self, key: Key, entries: list[Entry]) -> None:
        tables = []
        for start in range(0, len(entries), CHUNK):
            tables.append(table_of(entries[start : start + CHUNK], payloads=self._payloads))
            time.sleep(0)  # lets the event loop have the interpreter
        if key in self._files and not self._files[key].is_there:
            self._finish([key])
        if key not in self._files:
            schema = schema_of(entries[0].model.manifest.input, payloads=self._payloads)
            self._files[key] = GrowingFile(self._folder, *key, schema)
        self._files[key].append(pa.concat_tables(tables))
        self._troubles.pop(DROPPED, None)

    def _finish_due(self) -> None:
        now = time.monotonic()
        self._finish([
            key for key, file in self._files.items()
            if file.bytes >= self._file_bytes or now - file.began >= self._seconds
        ])  # fmt: skip

    def _finish(self, keys: list[Key]) -> None:
        for key in keys:
            file = self._files.pop(key)
            try:
                rotate(file.path)
            except FileNotFoundError as exc:  # others removed the file or its folder, and its rows with it
                self.dropped += file.rows
                self._say(exc)
            except (OSError, pa.ArrowException) as exc:  # the stream stays, for the next start
                self._say(exc, UNTIDY)
            file.close()
        if keys:
            self._tidy()

    def _abandon(self, key: Key) -> None:
        """Stop appending to a file after an error, and finish what is complete in it."""
        if key in self._files:
            self._finish([key])

    def _tidy(self) -> None:
        """Recover what ended processes left, and keep to the size of all files, even if some cannot be recovered."""
        tidy = [self._tidied(self._recover), self._tidied(self._remove_oldest)]
        if all(tidy):
            self._troubles.pop(UNTIDY, None)

    def _tidied(self, work: Callable[[], None]) -> bool:
        try:
            work()
        except (OSError, pa.ArrowException) as exc:
            self._say(exc, UNTIDY)
            return False
        return True

    def _recover(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        if found := recover(self._folder):
            self._log.info("score log: leftovers recovered", files=len(found))

    def _remove_oldest(self) -> None:
        if removed := remove_oldest(self._folder, self._max_bytes):
            self._log.info("score log: oldest files removed", files=len(removed))

    def _say(self, exc: Exception, event: str = DROPPED) -> None:
        reason = f"{type(exc).__name__}: {exc}"
        kind = f"{type(exc).__name__} {getattr(exc, 'errno', '')}"
        if kind != self._troubles.get(event):
            self._log.error(event, folder=str(self._folder), reason=reason)
        self._troubles[event] = kind
