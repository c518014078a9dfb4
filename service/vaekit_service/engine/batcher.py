"""Joins waiting jobs into batches of rows. No arrays, models or threads here.

No job waits for a batch to fill. When the device is free, its thread takes the next batch: the jobs that
have arrived in the meantime.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from vaekit_service.errors import Overloaded

INTERACTIVE = 8  # jobs of one row, or of at most 1/8 of a full batch, are interactive; all others are bulk
TURNS = 4  # successive interactive batches while bulk jobs wait


class Batchable(Protocol):
    """What the batcher needs of a job; jobs.Job is one."""

    @property
    def lane(self) -> Hashable:
        """Jobs of the same lane may share one call of the model."""

    @property
    def n(self) -> int:
        """Number of rows; at least 1."""

    @property
    def max_batch_rows(self) -> int:
        """Rows of a full batch of its lane, at least 1. Full batches of all lanes take about the same time."""


J = TypeVar("J", bound=Batchable)
R = TypeVar("R")


@dataclass(eq=False)
class Ticket(Generic[J, R]):
    """The progress of one job in the batcher."""

    job: J
    deadline: float  # the latest start, by the clock of `Batcher.next`
    taken: int = 0  # rows that were put into batches
    results: list[R] = field(default_factory=list)  # of the rows that are answered, in order
    is_alone: bool = False  # a batch with this job failed; from now on the job gets its own batches
    is_over: bool = False  # answered, failed, late or withdrawn; later results are dropped

    @property
    def left(self) -> int:
        """Rows that are not in a batch yet."""
        return self.job.n - self.taken


@dataclass(frozen=True, eq=False)
class JobSlice(Generic[J, R]):
    """Rows `start` (inclusive) to `stop` (exclusive) of a job."""

    ticket: Ticket[J, R]
    start: int
    stop: int

    @property
    def job(self) -> J:
        return self.ticket.job

    @property
    def n(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True, eq=False)
class Batch(Generic[J, R]):
    """Slices of different jobs of one lane, for one call of the model."""

    slices: tuple[JobSlice[J, R], ...]

    @property
    def n(self) -> int:
        return sum(each.n for each in self.slices)


Queue = OrderedDict[Ticket[J, R], None]  # in order of arrival; removing any ticket takes constant time


class Batcher(Generic[J, R]):
    """Takes jobs, gives out batches, takes their results, and returns completed jobs.

    Only one batch runs at a time. The class is not thread-safe: hold a lock around each call.

    The lanes take turns: one batch each. A batch is never larger than `job.max_batch_rows`; larger jobs are split. Full
    batches of all lanes take about the same time, so taking turns is fair (deficit round-robin without a remainder).
    Interactive jobs go first. While bulk jobs wait, every fifth batch starts with bulk jobs. Room that is left in a
    batch goes to the jobs of the other class (interactive or bulk) in the same lane.
    """

    def __init__(self, *, max_queue_rows: int) -> None:
        self._max_rows = max_queue_rows
        self._queues: tuple[OrderedDict[Hashable, Queue[J, R]], OrderedDict[Hashable, Queue[J, R]]]
        self._queues = (OrderedDict(), OrderedDict())  # interactive, bulk: queues by lane; the next lane is first
        self._in_a_row = 0  # interactive batches since the last bulk batch
        self.waiting = 0  # jobs with rows that are not in a batch yet
        self.rows = 0  # rows that are not in a batch yet

    def check_room(self, n: int = 1) -> None:
        """Check that n more rows may wait. An empty queue accepts a job of any size.

        Raises:
            Overloaded: too many rows are waiting.
        """
        if self.rows and self.rows + n > self._max_rows:
            raise Overloaded(
                f"the queue is full: {self.rows} rows are waiting for the device, at most {self._max_rows} may wait; "
                "retry later"
            )

    def put(self, job: J, deadline: float = float("inf")) -> Ticket[J, R]:
        """Add a job to its queue.

        Raises:
            Overloaded: too many rows are waiting.
        """
        self.check_room(job.n)
        ticket: Ticket[J, R] = Ticket(job, deadline)
        self._enqueue(ticket)
        return ticket

    def withdraw(self, ticket: Ticket[J, R]) -> None:
        """Drop a job whose caller has disconnected. Its waiting rows leave the queue and never run."""
        if not ticket.is_over:
            ticket.is_over = True
            self._dequeue(ticket)

    def next(self, now: float) -> Batch[J, R] | None:
        """The batch to run next, or None if no job waits. Jobs that are past their deadline are withdrawn."""
        for which in self._order():
            while self._queues[which]:
                lane = next(iter(self._queues[which]))
                self._queues[which].move_to_end(lane)
                if slices := tuple(self._fill(lane, which, now)):
                    self._in_a_row = 0 if which else self._in_a_row + 1
                    return Batch(slices)
        return None

    def answer(self, batch: Batch[J, R], results: Sequence[R]) -> list[Ticket[J, R]]:
        """Store the results of a batch, one per slice; return the tickets that are now complete."""
        complete = []
        for part, result in zip(batch.slices, results, strict=True):
            ticket = part.ticket
            if ticket.is_over:
                continue
            ticket.results.append(result)
            if part.stop == ticket.job.n:
                ticket.is_over = True
                complete.append(ticket)
        return complete

    def fail(self, batch: Batch[J, R]) -> list[Ticket[J, R]]:
        """Handle a batch that raised an error.

        If the batch had several jobs, each is queued again, to run alone. If it had one job, that job has failed; its
        ticket is returned.
        """
        open_slices = [part for part in batch.slices if not part.ticket.is_over]
        if len(batch.slices) == 1:
            for part in open_slices:
                self.withdraw(part.ticket)
            return [part.ticket for part in open_slices]
        for part in reversed(open_slices):
            self._dequeue(part.ticket)
            part.ticket.taken, part.ticket.is_alone = part.start, True
            self._enqueue(part.ticket, first=True)
        return []

    def _enqueue(self, ticket: Ticket[J, R], *, first: bool = False) -> None:
        queue = self._queues[_is_bulk(ticket.job)].setdefault(ticket.job.lane, OrderedDict())
        queue[ticket] = None
        queue.move_to_end(ticket, last=not first)
        self.waiting += 1
        self.rows += ticket.left

    def _dequeue(self, ticket: Ticket[J, R]) -> None:
        """Remove a ticket from its queue, if it is still in there."""
        queues, lane = self._queues[_is_bulk(ticket.job)], ticket.job.lane
        if not ticket.left:
            return
        del queues[lane][ticket]
        if not queues[lane]:
            del queues[lane]
        self.waiting -= 1
        self.rows -= ticket.left

    def _order(self) -> tuple[int, int]:
        return (1, 0) if self._in_a_row >= TURNS else (0, 1)

    def _fill(self, lane: Hashable, first: int, now: float) -> Iterator[JobSlice[J, R]]:
        """Slices of a lane up to a full batch: of the class `first` (0: interactive, 1: bulk), then of the other."""
        room: int | None = None
        for which in (first, 1 - first):
            while queue := self._queues[which].get(lane):
                ticket = next(iter(queue))
                if not ticket.taken and ticket.deadline <= now:
                    self.withdraw(ticket)
                    continue
                if room is not None and (ticket.is_alone or not room):
                    return
                room = ticket.job.max_batch_rows if room is None else room
                part = self._take(ticket, room)
                yield part
                room -= part.n
                if ticket.is_alone:
                    return

    def _take(self, ticket: Ticket[J, R], room: int) -> JobSlice[J, R]:
        """The next rows of a ticket, at most `room` of them."""
        start, stop = ticket.taken, min(ticket.job.n, ticket.taken + room)
        if stop == ticket.job.n:
            self._dequeue(ticket)
        else:
            self.rows -= stop - start
        ticket.taken = stop
        return JobSlice(ticket, start, stop)


def _is_bulk(job: Batchable) -> bool:
    return job.n > max(1, job.max_batch_rows // INTERACTIVE)
