"""Runs batches on the device, one at a time, in a thread of its own. Knows jobs, futures and time, not HTTP.

The thread itself asks for the next batch the moment it is free, so that the device never waits for the event loop.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from time import monotonic, perf_counter

from service import jobs
from service.batcher import Batch, Batcher, Ticket
from service.errors import DeadlineExceeded
from service.jobs import Job
from vaekit.runtime.results import Rows

Outcome = Rows | BaseException
Report = Callable[[Batch[Job, Rows], float], None]  # a batch that ran, and its seconds on the device


class Engine:
    """One thread for one device, behind a batcher. What nobody waits for is not run."""

    def __init__(self, *, max_queue_rows: int, report: Report | None = None) -> None:
        self._batcher: Batcher[Job, Rows] = Batcher(max_queue_rows=max_queue_rows)
        self._changed = threading.Condition()  # around the batcher, and told of whatever comes into it
        self._report = report
        self._futures: dict[Ticket[Job, Rows], asyncio.Future[Rows]] = {}  # the event loop's alone
        self._thread: threading.Thread | None = None
        self._is_closed = False

    @property
    def depth(self) -> int:
        """Jobs that wait, those on the device not counted."""
        return self._batcher.waiting

    @property
    def rows(self) -> int:
        """Rows that wait."""
        return self._batcher.rows

    def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._serve, args=(loop,), name="device", daemon=True)
        self._thread.start()

    async def close(self) -> None:
        """Stop; jobs that still wait are dropped, the batch on the device runs to its end."""
        with self._changed:
            self._is_closed = True
            self._batcher.drain()
            self._changed.notify()
        for future in self._futures.values():
            future.cancel()
        await asyncio.sleep(0)  # the waiters hear of it

    def check_room(self) -> None:
        """Refuse before any work is done on a request.

        Raises:
            Overloaded: too many rows wait.
        """
        self._batcher.check_room()

    async def submit(self, job: Job, deadline: float = float("inf")) -> Rows:
        """The job's answer. Cancelling the call takes what is left of the job out of the queue.

        Args:
            job: what to run.
            deadline: by time.monotonic, when it need not be begun any more.

        Raises:
            Overloaded: too many rows wait.
            DeadlineExceeded: it was still waiting at its deadline.
            VaeError: what the model says to the job.
        """
        future: asyncio.Future[Rows] = asyncio.get_running_loop().create_future()
        with self._changed:
            ticket = self._batcher.put(job, deadline)
            self._changed.notify()
        self._futures[ticket] = future
        try:
            return await future
        finally:
            del self._futures[ticket]
            with self._changed:
                self._batcher.withdraw(ticket)

    def _serve(self, loop: asyncio.AbstractEventLoop) -> None:
        """The thread."""
        while (batch := self._next(loop)) is not None:
            start = perf_counter()
            outcomes = self._run(batch)
            if self._report is not None:
                self._report(batch, perf_counter() - start)
            self._tell(loop, outcomes)

    def _next(self, loop: asyncio.AbstractEventLoop) -> Batch[Job, Rows] | None:
        """Wait for a batch; None once the engine is closed."""
        with self._changed:
            while not self._is_closed:
                batch = self._batcher.next(monotonic())
                late = DeadlineExceeded("its deadline passed while it waited for the device")
                self._tell(loop, [(ticket, late) for ticket in self._batcher.expired()])
                if batch is not None:
                    return batch
                self._changed.wait()
        return None

    def _run(self, batch: Batch[Job, Rows]) -> list[tuple[Ticket[Job, Rows], Outcome]]:
        """The tickets that are answered by it, or by its failure."""
        try:
            answers = jobs.run([(piece.ticket.job, piece.start, piece.stop) for piece in batch.pieces])
        except Exception as exc:  # noqa: BLE001 - whatever it was, the waiters must hear of it
            with self._changed:
                return [(ticket, exc) for ticket in self._batcher.fail(batch)]
        with self._changed:
            whole = self._batcher.answer(batch, answers)
        return [(ticket, jobs.joined([ticket.parts[start] for start in sorted(ticket.parts)])) for ticket in whole]

    def _tell(self, loop: asyncio.AbstractEventLoop, outcomes: list[tuple[Ticket[Job, Rows], Outcome]]) -> None:
        if outcomes and not loop.is_closed():
            loop.call_soon_threadsafe(self._deliver, outcomes)

    def _deliver(self, outcomes: list[tuple[Ticket[Job, Rows], Outcome]]) -> None:
        """In the event loop: an answer for each waiter that is still there."""
        for ticket, outcome in outcomes:
            future = self._futures.get(ticket)
            if future is None or future.done():
                continue
            if isinstance(outcome, BaseException):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)
