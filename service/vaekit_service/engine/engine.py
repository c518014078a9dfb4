"""Runs batches on the device, one at a time, in its own thread.

The thread itself asks for the next batch the moment it is free. It waits only for the event loop to come round, so that
requests which arrive together go together, and not one by one in the order in which they were parsed. A job that is
alone, and over sooner than a thread could be woken and heard, is run in the event loop itself.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic, perf_counter
from typing import Protocol
from weakref import WeakKeyDictionary

from vaekit.runtime import Model
from vaekit.runtime.results import RowArrays
from vaekit_service.engine import jobs
from vaekit_service.engine.batcher import Batch, Batcher, Ticket
from vaekit_service.engine.jobs import Job
from vaekit_service.errors import DeadlineExceeded, NotReady

Outcome = RowArrays | BaseException
GATHERING = 0.002  # seconds that the device waits at most while every round of the event loop brings more jobs
AT_ONCE = 0.0005  # seconds of a job on a processor for which no thread is woken: what JSON of the same size may take
CLOSING = 5.0  # seconds that closing waits for the batch on the device


class Report(Protocol):
    """Told of every batch, in the engine's thread."""

    def ran(self, batch: Batch[Job, RowArrays], seconds: float) -> None: ...

    def failed(self, batch: Batch[Job, RowArrays], error: Exception) -> None: ...


@dataclass(eq=False)
class Call:
    """Something else than a batch for the device's thread to do."""

    work: Callable[[], None]
    future: Future[None] = field(default_factory=Future)

    def run(self) -> tuple[()]:
        """Run it; its result is not reported."""
        if self.future.set_running_or_notify_cancel():
            try:
                self.work()
            except Exception as exc:  # noqa: BLE001 - whatever it was, who waits must hear of it
                self.future.set_exception(exc)
            else:
                self.future.set_result(None)
        return ()


class Engine:
    """One thread for one device, behind a batcher. Cancelled jobs are dropped from the queue.

    Args:
        max_queue_rows: rows that wait, at most.
        report: called with every batch.
        at_once: seconds that a job may keep the event loop, so that the thread need not be woken for it; 0: none.
    """

    def __init__(self, *, max_queue_rows: int, report: Report | None = None, at_once: float = 0.0) -> None:
        self._batcher: Batcher[Job, RowArrays] = Batcher(max_queue_rows=max_queue_rows)
        self._changed = threading.Condition()  # guards the batcher; notified when a job arrives
        self._report, self._at_once = report, at_once
        self._paces: WeakKeyDictionary[Model, dict[Hashable, float]] = WeakKeyDictionary()  # seconds a row, lately
        self._futures: dict[Ticket[Job, RowArrays], asyncio.Future[RowArrays]] = {}  # the event loop's alone
        self._calls: deque[Call] = deque()
        self._thread: threading.Thread | None = None
        self._came = 0  # jobs so far
        self._is_gathering = False  # whether the event loop may be about to bring more to what was an empty queue
        self._is_running = False  # whether the thread has something to do
        self._is_closed = False
        self.fault: BaseException | None = None  # what ended the thread, where it was not closing

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
        """Stop; jobs that still wait are dropped, and the batch on the device has some seconds to end."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        for future in self._futures.values():
            future.cancel()
        for call in self._calls:
            call.future.cancel()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join, CLOSING)

    def check_room(self) -> None:
        """Refuse before any work is done on a request.

        Raises:
            Overloaded: too many rows wait.
        """
        self._batcher.check_room()

    async def submit(self, job: Job, deadline: float = float("inf")) -> RowArrays:
        """The job's answer. Cancelling the call takes what is left of the job out of the queue.

        Args:
            job: what to run.
            deadline: by time.monotonic, when it need not be begun any more.

        Raises:
            Overloaded: too many rows wait.
            DeadlineExceeded: none of it was begun by its deadline.
            NotReady: the engine is closed.
            VaeError: what the model says to the job.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[RowArrays] = loop.create_future()
        with self._changed:
            self._check_open()
            is_first = not self._batcher.rows
            ticket = self._batcher.put(job, deadline)
            self._came += 1
            if is_first and not self._is_gathering:
                self._is_gathering = True
                loop.call_soon(self._come_round, ticket, self._came, monotonic() + GATHERING)
        self._futures[ticket] = future
        timer = None if deadline == float("inf") else loop.call_later(deadline - monotonic(), self._late, ticket)
        try:
            return await future
        finally:
            if timer is not None:
                timer.cancel()
            del self._futures[ticket]
            with self._changed:
                self._batcher.withdraw(ticket)

    async def call(self, work: Callable[[], None]) -> None:
        """Have something else done in the device's thread, before its next batch.

        Raises:
            NotReady: the engine is closed.
            Exception: what the work raises.
        """
        call = Call(work)
        with self._changed:
            self._check_open()
            self._calls.append(call)
            self._changed.notify()
        await asyncio.wrap_future(call.future)

    def _check_open(self) -> None:
        if self._is_closed:
            raise NotReady("shutting down" if self.fault is None else "the device's thread ended")

    def _come_round(self, ticket: Ticket[Job, RowArrays], came: int, until: float) -> None:
        """In the event loop, once it has come round: go on as long as each round brings more jobs, then run them."""
        if self._came != came and self._batcher.rows < ticket.job.most and monotonic() < until:
            asyncio.get_running_loop().call_soon(self._come_round, ticket, self._came, until)
            return
        with self._changed:
            self._is_gathering = False
            if not self._is_at_once(ticket):
                self._changed.notify()
                return
            batch = self._batcher.next(monotonic())
        if batch is not None:
            self._deliver(self._run(batch))

    def _is_at_once(self, ticket: Ticket[Job, RowArrays]) -> bool:
        """Whether the job waits alone, is one batch, and takes so little that the event loop may as well run it."""
        if not self._at_once or self._is_running or self._calls or self._is_closed or self._batcher.waiting != 1:
            return False
        job = ticket.job
        if ticket.is_over or ticket.left != job.n or job.n > job.most:
            return False
        pace = self._paces.get(job.model, {}).get(job.kind, float("inf"))
        return job.n * pace <= self._at_once and job.model.device == "cpu"

    def _late(self, ticket: Ticket[Job, RowArrays]) -> None:
        """In the event loop, at a ticket's deadline."""
        with self._changed:
            if ticket.given:
                return
            self._batcher.withdraw(ticket)
        self._deliver([(ticket, DeadlineExceeded("its time was over before the device was free for it"))])

    def _serve(self, loop: asyncio.AbstractEventLoop) -> None:
        """The thread."""
        try:
            while (task := self._next()) is not None:
                outcomes = self._run(task) if isinstance(task, Batch) else task.run()
                self._is_running = False
                self._tell(loop, outcomes)
                del task, outcomes  # an idle engine holds no arrays
        except BaseException as exc:
            with self._changed:
                self._is_closed, self.fault = True, exc
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(self._abandon, exc)
            raise

    def _next(self) -> Batch[Job, RowArrays] | Call | None:
        """Wait for something to do; None once the engine is closed."""
        with self._changed:
            while not self._is_closed:
                if self._calls:
                    self._is_running = True
                    return self._calls.popleft()
                if not self._is_gathering and (batch := self._batcher.next(monotonic())) is not None:
                    self._is_running = True
                    return batch
                self._changed.wait()
        return None

    def _run(self, batch: Batch[Job, RowArrays]) -> list[tuple[Ticket[Job, RowArrays], Outcome]]:
        """The tickets that are answered by it, or by its failure."""
        start = perf_counter()
        try:
            results = jobs.run(batch.slices)
        except Exception as exc:  # noqa: BLE001 - whatever it was, the waiters must hear of it
            if self._report is not None:
                self._report.failed(batch, exc)
            with self._changed:
                return [(ticket, exc) for ticket in self._batcher.fail(batch)]
        seconds, job = perf_counter() - start, batch.slices[0].job
        self._paces.setdefault(job.model, {})[job.kind] = seconds / batch.n
        if self._report is not None:
            self._report.ran(batch, seconds)
        with self._changed:
            whole = self._batcher.answer(batch, results)
        return [(ticket, _joined(ticket)) for ticket in whole]

    def _tell(
        self, loop: asyncio.AbstractEventLoop, outcomes: Sequence[tuple[Ticket[Job, RowArrays], Outcome]]
    ) -> None:
        if outcomes:
            with suppress(RuntimeError):  # the loop is closed: no caller is waiting
                loop.call_soon_threadsafe(self._deliver, outcomes)

    def _deliver(self, outcomes: Sequence[tuple[Ticket[Job, RowArrays], Outcome]]) -> None:
        """In the event loop: an answer for each waiter that is still there."""
        for ticket, outcome in outcomes:
            future = self._futures.get(ticket)
            if future is None or future.done():
                continue
            if isinstance(outcome, BaseException):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)

    def _abandon(self, fault: BaseException) -> None:
        """In the event loop: the thread has ended, so waiting callers get an error."""
        reason = f"the device's thread ended: {fault!r}"
        self._deliver([(ticket, RuntimeError(reason)) for ticket in self._futures])
        for call in self._calls:
            call.future.set_exception(RuntimeError(reason))


def _joined(ticket: Ticket[Job, RowArrays]) -> Outcome:
    try:
        return jobs.joined(ticket.results)
    except MemoryError as exc:
        return exc
