"""The stages of a request and the seconds that each took, and the totals of all requests to a model."""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass, field
from threading import Lock
from typing import NamedTuple

STAGES = ("read", "decode", "queue", "run", "encode")


@dataclass(slots=True)
class Stages:
    """Seconds of each stage of one request; a stage that it did not reach has 0."""

    read: float = 0.0  # from the head of the request to the last byte of its body
    decode: float = 0.0  # making rows of the body, and checking them
    queue: float = 0.0  # waiting for the device
    run: float = 0.0  # on the device, with the other requests of the same batches
    encode: float = 0.0  # making the body of the reply
    waiting_since: float = 0.0  # by time.perf_counter, while in the queue

    def header(self) -> bytes:
        """The value of the header Server-Timing, in milliseconds (W3C Server Timing)."""
        return b"read;dur=%.3f, decode;dur=%.3f, queue;dur=%.3f, run;dur=%.3f, encode;dur=%.3f" % (
            1e3 * self.read,
            1e3 * self.decode,
            1e3 * self.queue,
            1e3 * self.run,
            1e3 * self.encode,
        )


class Key(NamedTuple):
    """One operation of one model version."""

    model: str
    version: int
    operation: str


@dataclass
class Total:
    """How often something happened, and the seconds that it took."""

    count: int = 0
    seconds: float = 0.0

    def add(self, seconds: float) -> None:
        self.count += 1
        self.seconds += seconds


@dataclass
class OperationStatistics:
    """The counts of one operation."""

    last: float = 0.0  # seconds since 1970 of the last answer; 0: none yet
    rows: int = 0  # that ran on the device
    success: Total = field(default_factory=Total)  # answered requests, from the head to the reply
    fail: Total = field(default_factory=Total)  # requests that got an error after their model was found
    queue: Total = field(default_factory=Total)
    decode: Total = field(default_factory=Total)
    run: Total = field(default_factory=Total)
    encode: Total = field(default_factory=Total)
    batches: dict[int, Total] = field(default_factory=lambda: defaultdict(Total))  # by number of rows


class ModelStatistics:
    """The statistics of one service. Batches are counted in the device's thread, the others in the event loop."""

    def __init__(self) -> None:
        self._of: dict[Key, OperationStatistics] = defaultdict(OperationStatistics)
        self._lock = Lock()

    def answered(self, key: Key, stages: Stages) -> None:
        """Count an answered request."""
        with self._lock:
            found = self._of[key]
            found.last = time.time()
            found.success.add(stages.read + stages.decode + stages.queue + stages.run + stages.encode)
            found.queue.add(stages.queue)
            found.decode.add(stages.decode)
            found.run.add(stages.run)
            found.encode.add(stages.encode)

    def failed(self, key: Key, seconds: float) -> None:
        """Count a request that got an error after its model was found."""
        with self._lock:
            self._of[key].fail.add(seconds)

    def ran(self, key: Key, rows: int, seconds: float) -> None:
        """Count a batch."""
        with self._lock:
            found = self._of[key]
            found.rows += rows
            found.batches[rows].add(seconds)

    def of(self, key: Key) -> OperationStatistics:
        """A copy of the counts of one operation, which are 0 if nothing happened yet."""
        with self._lock:
            found = self._of.get(key, OperationStatistics())
            batches = {rows: Total(total.count, total.seconds) for rows, total in sorted(found.batches.items())}
            totals = {
                name: Total(total.count, total.seconds)
                for name, total in vars(found).items()
                if isinstance(total, Total)
            }
            return OperationStatistics(found.last, found.rows, **totals, batches=batches)
