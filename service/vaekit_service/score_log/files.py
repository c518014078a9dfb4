"""The files of the score log: a stream that grows, its rotation into Parquet, and the recovery of leftovers.

Rows are appended to `<stem>.partial`, an Arrow stream that this process locks. Rotation writes them to `<stem>.parquet`
by way of a temporary name and a rename. A process that is killed leaves its stream behind; the next start of any
replica finds it unlocked and rotates what is complete in it. File names are unique, so replicas may share a folder.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

PREFIX = "scores-"
GROWING, FINISHED, UNFINISHED = ".partial", ".parquet", ".parquet.tmp"  # endings of names
ROW_GROUP = 2**17  # rows


class GrowingFile:
    """One Arrow stream that this process appends to.

    Raises:
        OSError: the folder cannot be written.
    """

    def __init__(self, folder: Path, model: str, version: int, schema: pa.Schema) -> None:
        self.path, self._file = _new_locked(folder, f"{PREFIX}{model}-{version}")
        self.began, self.rows = time.monotonic(), 0
        self._writer = pa.ipc.new_stream(self._file, schema)

    @property
    def bytes(self) -> int:
        return int(self._file.tell())

    @property
    def is_there(self) -> bool:
        """Whether the file still has its name: others may remove it, or its folder."""
        return self.path.exists()

    def append(self, table: pa.Table) -> None:
        """Append rows and hand them to the operating system, so that they outlive this process.

        Raises:
            OSError: they cannot be written; the file ends before them, or within them.
        """
        for batch in table.combine_chunks().to_batches():
            self._writer.write_batch(batch)
        self._file.flush()
        self.rows += table.num_rows

    def close(self) -> None:
        """Stop appending and unlock the file."""
        with suppress(OSError, pa.ArrowException):
            self._writer.close()
        with suppress(OSError):
            self._file.close()


def rotate(path: Path) -> int:
    """Turn a stream into a finished Parquet file; returns the rows in it. Rows after a damaged place are lost.

    Raises:
        OSError: it cannot be written; the stream stays.
    """
    target, temporary = path.with_suffix(FINISHED), path.with_suffix(UNFINISHED)
    rows = 0
    if not target.exists():
        with path.open("rb") as source:
            batches = list(_complete_batches(source))
        if rows := sum(batch.num_rows for batch in batches):
            try:
                with temporary.open("wb") as file:
                    pq.write_table(pa.Table.from_batches(batches), file, compression="zstd", row_group_size=ROW_GROUP)
                    file.flush()
                    os.fsync(file.fileno())
                temporary.rename(target)
            except BaseException:
                temporary.unlink(missing_ok=True)  # on a full disk it would only take more room
                raise
    path.unlink(missing_ok=True)
    return rows


def recover(folder: Path) -> list[str]:
    """Rotate the streams of processes that have ended; returns their names.

    Raises:
        OSError, ArrowException: the first error, after all streams were tried.
    """
    found: list[str] = []
    first: OSError | pa.ArrowException | None = None
    for path in sorted(folder.glob(f"{PREFIX}*{GROWING}")):
        try:
            if _rotated(path):
                found.append(path.name)
        except FileNotFoundError:  # another replica was faster
            continue
        except (OSError, pa.ArrowException) as exc:
            first = first or exc
    if first is not None:
        raise first
    return found


def _rotated(path: Path) -> bool:
    """Rotate a stream unless a process has it in use; returns whether it was rotated."""
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # in use
            return False
        rotate(path)
        return True


def remove_oldest(folder: Path, most: int) -> list[str]:
    """Remove the oldest finished files until all files of the log together have at most `most` bytes.

    Raises:
        OSError: the folder cannot be read or written.
    """
    sizes: dict[Path, os.stat_result] = {}
    for path in folder.glob(f"{PREFIX}*"):
        with suppress(FileNotFoundError):
            sizes[path] = path.stat()
    total, removed = sum(found.st_size for found in sizes.values()), []
    finished = (path for path in sizes if path.name.endswith(FINISHED))
    for path in sorted(finished, key=lambda path: (sizes[path].st_mtime_ns, path.name)):
        if total <= most:
            break
        path.unlink(missing_ok=True)  # another replica may have removed it
        total -= sizes[path].st_size
        removed.append(path.name)
    return removed


def _complete_batches(source: Any) -> Iterator[pa.RecordBatch]:
    """The batches of a stream up to the first that is not complete."""
    with suppress(pa.ArrowException, OSError, EOFError):
        yield from pa.ipc.open_stream(source)


def _new_locked(folder: Path, start: str) -> tuple[Path, Any]:
    """A new file under a unique name, locked by this process."""
    folder.mkdir(parents=True, exist_ok=True)
    while True:
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        path = folder / f"{start}-{stamp}-{secrets.token_hex(4)}{GROWING}"
        file = path.open("xb")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.exists():
                return path, file
        except BlockingIOError:
            pass  # another replica took it for a leftover in the moment between
        file.close()
