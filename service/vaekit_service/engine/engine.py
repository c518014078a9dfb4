"""Runs batches on the device, one at a time, in its own thread.

The thread takes the next batch as soon as it is free. If the queue was empty, the thread first waits until the event
loop has handled the requests that arrived together, so that they share a batch. A small job that is alone in the queue
runs in the event loop itself if that takes less time than waking the thread.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from time import monotonic, perf_counter
from typing import Protocol
from weakref import WeakKeyDictionary

from vaekit.runtime import Model
from vaekit.runtime.results import RowArrays
from vaekit_service.engine import jobs
from vaekit_service.engine.batcher import Batch, Batcher, Ticket
from vaekit_service.engine.device_call import DeviceCall
from vaekit_service.engine.expiry import LATE, Expiry
from vaekit_service.engine.jobs import Job
from vaekit_service.errors import DeadlineExceeded, NotReady

Outcome = RowArrays | BaseException
MAX_GATHER_SECONDS = 0.002  # the device waits at most so long while each round of the event loop brings more jobs
INLINE_SECONDS = 0.0005  # CPU jobs of at most this time run in the event loop; parsing the same rows takes as long
CLOSE_SECONDS = 5.0  # closing waits at most so long for the batch on the device


class BatchReport(Protocol):
    """Its methods are called for every batch, in the thread that ran it."""

    def ran(self, batch: Batch[Job, RowArrays], seconds: float) -> None: ...

    def failed(self, batch: Batch[Job, RowArrays], error: Exception) -> None: ...


class Engine:
    """Queues jobs, joins them into batches, and runs these in one thread. Cancelled jobs are dropped from the queue.

    Args:
        max_queue_rows: largest number of waiting rows.
        report: its methods are called for every batch.
        inline_seconds: jobs that take at most this time may run in the event loop; 0: all jobs run in the thread.
    """

    def __init__(self, *, max_queue_rows: int, report: BatchReport | None = None, inline_seconds: float = 0.0) -> None:
        self._batcher: Batcher[Job, RowArrays] = Batcher(max_queue_rows=max_queue_rows)
        self._changed = threading.Condition()  # guards the batcher; notified when a job arrives
        self._report, self._inline_seconds = report, inline_seconds
        # seconds per row of the last batch, by model and kind of job
        self._paces: WeakKeyDictionary[Model, dict[Hashable, float]] = WeakKeyDictionary()
        self._futures: dict[Ticket[Job, RowArrays], asyncio.Future[RowArrays]] = {}  # used in the event loop only
        self._expiry = Expiry(self._expire)
        self._calls: deque[DeviceCall] = deque()
        self._thread: threading.Thread | None = None
        self._submitted, self._is_running = 0, False  # jobs so far; whether the thread is busy
        self._is_gathering = False  # the queue was empty, and the event loop may be about to add more jobs
        # since when the thread is in one batch or call, or has left work waiting (monotonic clock); None: no work.
        # Only the thread ends that time, or the event loop by running the work: jobs that are late do not.
        self._stalled_since: float | None = None
        self._is_closed = False
        self.fault: BaseException | None = None  # the error that ended the thread

    @property
    def depth(self) -> int:
        """Number of waiting jobs, without those on the device."""
        return self._batcher.waiting

    @property
    def rows(self) -> int:
        """Number of waiting rows."""
        return self._batcher.rows

    @property
    def is_running(self) -> bool:
        """Whether the thread is in a batch or a call."""
        return self._is_running

    @property
    def stalled_seconds(self) -> float:
        """Seconds since the thread took its batch or call, or has left work waiting; 0 without work."""
        since = self._stalled_since
        return 0.0 if since is None else monotonic() - since

    def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._serve, args=(loop,), name="device", daemon=True)
        self._thread.start()

    async def close(self) -> None:
        """Stop. Waiting jobs are cancelled; the batch on the device gets CLOSE_SECONDS to finish."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._expiry.stop()
        for future in self._futures.values():
            future.cancel()
        for call in self._calls:
            call.future.cancel()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join, CLOSE_SECONDS)

    def check_room(self) -> None:
        """Check that the queue has room, before any work is done on a request.

        Raises:
            Overloaded: too many rows are waiting.
        """
        self._batcher.check_room()

    async def submit(self, job: Job, deadline: float = float("inf")) -> RowArrays:
        """Run a job and return its result. If the call is cancelled, the rest of the job leaves the queue.

        Args:
            job: the job to run.
            deadline: the latest start, by time.monotonic.

        Raises:
            Overloaded: too many rows are waiting.
            DeadlineExceeded: the job was not started by its deadline.
            NotReady: the engine is closed.
            VaeError: the model cannot run the job.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[RowArrays] = loop.create_future()
        job.stages.waiting_since = perf_counter()
        with self._changed:
            self._check_open()
            is_first = not self._batcher.rows
            ticket = self._batcher.put(job, deadline)
            self._submitted += 1
            self._stalled_since = self._stalled_since or monotonic()
            if is_first and not self._is_gathering:
                self._is_gathering = True
                loop.call_soon(self._gather, ticket, self._submitted, monotonic() + MAX_GATHER_SECONDS)
        self._futures[ticket] = future
        self._expiry.by(deadline)
        try:
            return await future
        finally:
            del self._futures[ticket]
            with self._changed:
                self._batcher.withdraw(ticket)

    async def call(self, work: Callable[[], None]) -> None:
        """Call a function in the device's thread, before the next batch.

        Raises:
            NotReady: the engine is closed.
            Exception: any error that the function raises.
        """
        with self._changed:
            self._check_open()
            self._calls.append(call := DeviceCall(work))
            self._stalled_since = self._stalled_since or monotonic()
            self._changed.notify()
        await asyncio.wrap_future(call.future)

    def _check_open(self) -> None:
        if self._is_closed:
            if self.fault is None:
                raise NotReady("the service is shutting down")
            raise NotReady("the thread that runs the models ended with an error; restart the service")

    def _gather(self, ticket: Ticket[Job, RowArrays], submitted: int, until: float) -> None:
        """Wait another round of the event loop if the last one brought more jobs; else run what is queued.

        Runs in the event loop.

        Args:
            ticket: the job that came to an empty queue.
            submitted: jobs submitted by the last round.
            until: the end of the waiting, by the monotonic clock.
        """
        if self._submitted != submitted and self._batcher.rows < ticket.job.max_batch_rows and monotonic() < until:
            asyncio.get_running_loop().call_soon(self._gather, ticket, self._submitted, until)
            return
        with self._changed:
            self._is_gathering = False
            if not self._runs_inline(ticket):
                self._changed.notify()
                return
            batch = self._batcher.next(monotonic())
            self._stalled_since = None
        if batch is not None:
            self._deliver(self._run(batch))

    def _runs_inline(self, ticket: Ticket[Job, RowArrays]) -> bool:
        """Whether to run the job in the event loop: it waits alone, is one batch, and takes at most inline_seconds."""
        job = ticket.job
        if not self._inline_seconds or self._is_running or self._calls or self._is_closed or self._batcher.waiting != 1:
            return False
        if ticket.is_over or ticket.left != job.n or job.n > job.max_batch_rows:
            return False
        pace = self._paces.get(job.model, {}).get(job.kind, float("inf"))
        return job.n * pace <= self._inline_seconds and job.model.device == "cpu"

    def _expire(self, now: float) -> float:
        """Drop the jobs that were not started by their deadlines; return the next one. Runs in the event loop."""
        with self._changed:
            waiting = [ticket for ticket in self._futures if not ticket.taken and not ticket.is_over]
            late = [ticket for ticket in waiting if ticket.deadline <= now]
            for ticket in late:
                self._batcher.withdraw(ticket)
        self._deliver([(ticket, DeadlineExceeded(LATE)) for ticket in late])
        return min((ticket.deadline for ticket in waiting if ticket.deadline > now), default=float("inf"))

    def _serve(self, loop: asyncio.AbstractEventLoop) -> None:
        """The main loop of the thread."""
        try:
            while (task := self._next()) is not None:
                outcomes = self._run(task) if isinstance(task, Batch) else task.run()
                self._is_running = False
                self._send(loop, outcomes)
                del task, outcomes  # an idle engine holds no arrays
        except BaseException as exc:
            with self._changed:
                self._is_closed, self.fault = True, exc
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(self._abandon, exc)
            raise

    def _next(self) -> Batch[Job, RowArrays] | DeviceCall | None:
        """Wait for the next batch or call; None once the engine is closed."""
        with self._changed:
            while not self._is_closed:
                if (task := self._waiting()) is not None:
                    self._is_running, self._stalled_since = True, monotonic()
                    return task
                if not self._is_gathering:
                    self._stalled_since = None
                self._changed.wait()
        return None

    def _waiting(self) -> Batch[Job, RowArrays] | DeviceCall | None:
        if self._calls:
            return self._calls.popleft()
        return None if self._is_gathering else self._batcher.next(monotonic())

    def _run(self, batch: Batch[Job, RowArrays]) -> list[tuple[Ticket[Job, RowArrays], Outcome]]:
        """Run a batch; return the tickets that it completes, each with its result or the error."""
        start = perf_counter()
        for part in batch.slices:
            if part.start == 0:
                stages = part.job.stages
                stages.queue += start - stages.waiting_since
                stages.waiting_since = start
        try:
            results = jobs.run(batch.slices)
        except Exception as exc:  # noqa: BLE001 - the waiting callers must get any error
            if self._report is not None:
                self._report.failed(batch, exc)
            with self._changed:
                return [(ticket, exc) for ticket in self._batcher.fail(batch)]
        seconds, job = perf_counter() - start, batch.slices[0].job
        self._paces.setdefault(job.model, {})[job.kind] = seconds / batch.n
        for part in batch.slices:
            part.job.stages.run += seconds
        if self._report is not None:
            self._report.ran(batch, seconds)
        with self._changed:
            done = self._batcher.answer(batch, results)
        return [(ticket, _joined(ticket)) for ticket in done]

    def _send(
        self, loop: asyncio.AbstractEventLoop, outcomes: Sequence[tuple[Ticket[Job, RowArrays], Outcome]]
    ) -> None:
        if outcomes:
            with suppress(RuntimeError):  # the loop is closed: no caller is waiting
                loop.call_soon_threadsafe(self._deliver, outcomes)

    def _deliver(self, outcomes: Sequence[tuple[Ticket[Job, RowArrays], Outcome]]) -> None:
        """Set the futures of the callers that still wait. Runs in the event loop."""
        for ticket, outcome in outcomes:
            future = self._futures.get(ticket)
            if future is None or future.done():
                continue
            if isinstance(outcome, BaseException):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)

    def _abandon(self, fault: BaseException) -> None:
        """Give waiting callers an error, because the thread has ended. Runs in the event loop."""
        reason = f"the device's thread ended: {fault!r}"
        self._deliver([(ticket, RuntimeError(reason)) for ticket in self._futures])
        for call in self._calls:
            call.future.set_exception(RuntimeError(reason))


def _joined(ticket: Ticket[Job, RowArrays]) -> Outcome:
    try:
        return jobs.joined(ticket.results)
    except MemoryError as exc:
        return exc
