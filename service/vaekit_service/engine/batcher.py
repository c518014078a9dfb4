"""Joins waiting jobs into batches of rows. Plain data: no arrays, models or threads.

No job waits for a batch to fill: when the device is free, its thread asks for the next batch and gets the jobs that
have arrived meanwhile.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from vaekit_service.errors import Overloaded

INTERACTIVE = 8  # a job of at most this part of a full batch is interactive, and so is one of one row; others are bulk
TURNS = 4  # interactive batches in a row while bulk waits


class Job(Protocol):
    """What a batcher must know of a job."""

    @property
    def lane(self) -> Hashable:
        """Jobs of one lane may be joined into one call."""

    @property
    def n(self) -> int:
        """Rows; at least 1."""

    @property
    def most(self) -> int:
        """Rows of a full batch of its lane, at least 1: full batches of all lanes are about as much work."""


J = TypeVar("J", bound=Job)
R = TypeVar("R")


@dataclass(eq=False)
class Ticket(Generic[J, R]):
    """A job on its way: which of its rows were handed out, and which are answered."""

    job: J
    deadline: float  # when it need not be begun any more, by the clock of `Batcher.next`
    given: int = 0  # rows that are in batches, or were
    results: list[R] = field(default_factory=list)  # for its first rows
    is_alone: bool = False  # a batch that it was in has failed: from now on it is not joined with others
    is_over: bool = False  # answered, failed, late or withdrawn: what still comes of it is dropped

    @property
    def left(self) -> int:
        """Rows to give."""
        return self.job.n - self.given


@dataclass(frozen=True, eq=False)
class JobSlice(Generic[J, R]):
    """Rows start to stop of a job."""

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
    """Slices of one lane, each of another job, for one call."""

    slices: tuple[JobSlice[J, R], ...]

    @property
    def n(self) -> int:
        return sum(each.n for each in self.slices)


Queue = OrderedDict[Ticket[J, R], None]  # in the order they came; leaving from anywhere costs the same


class Batcher(Generic[J, R]):
    """Jobs in, batches out, answers in, whole answers out. One batch is out at a time.

    Not for two threads at once: hold a lock around it.

    The lanes take turns, a batch each. A batch is never larger than `job.most`, and jobs are cut to fit, so that full
    batches are alike in work and taking turns is deficit round-robin with nothing left of a quantum. Interactive jobs
    go first; while bulk waits, every fifth turn is bulk's, and what room a batch has left goes to the other class of
    its lane.
    """

    def __init__(self, *, max_queue_rows: int) -> None:
        self._max_rows = max_queue_rows
        self._queues: tuple[OrderedDict[Hashable, Queue[J, R]], OrderedDict[Hashable, Queue[J, R]]]
        self._queues = (OrderedDict(), OrderedDict())  # interactive, bulk: by lane, whose turn is next first
        self._in_a_row = 0  # interactive turns since bulk had one
        self.waiting = 0  # jobs with rows to give
        self.rows = 0  # rows to give

    def check_room(self, n: int = 1) -> None:
        """Refuse what there is no room for; a job that would be alone always has room.

        Raises:
            Overloaded: too many rows wait.
        """
        if self.rows and self.rows + n > self._max_rows:
            raise Overloaded(f"{self.rows} rows wait for the device, and at most {self._max_rows} may")

    def put(self, job: J, deadline: float = float("inf")) -> Ticket[J, R]:
        """Take in a job.

        Raises:
            Overloaded: too many rows wait.
        """
        self.check_room(job.n)
        ticket: Ticket[J, R] = Ticket(job, deadline)
        self._enqueue(ticket)
        return ticket

    def withdraw(self, ticket: Ticket[J, R]) -> None:
        """Nobody waits for it any more: its room is free at once, and rows that were not handed out never are."""
        if not ticket.is_over:
            ticket.is_over = True
            self._dequeue(ticket)

    def next(self, now: float) -> Batch[J, R] | None:
        """What to run next, or None where nothing waits. Jobs that are past their deadline are withdrawn."""
        for which in self._order():
            while self._queues[which]:
                lane = next(iter(self._queues[which]))
                self._queues[which].move_to_end(lane)
                if slices := tuple(self._fill(lane, which, now)):
                    self._in_a_row = 0 if which else self._in_a_row + 1
                    return Batch(slices)
        return None

    def answer(self, batch: Batch[J, R], results: Sequence[R]) -> list[Ticket[J, R]]:
        """Take in a batch's results, one per slice; return the tickets that are now complete and still wanted."""
        whole = []
        for part, result in zip(batch.slices, results, strict=True):
            ticket = part.ticket
            if ticket.is_over:
                continue
            ticket.results.append(result)
            if part.stop == ticket.job.n:
                ticket.is_over = True
                whole.append(ticket)
        return whole

    def fail(self, batch: Batch[J, R]) -> list[Ticket[J, R]]:
        """A batch raised: of several jobs each is tried again alone; one that was alone has failed, and is returned."""
        still = [part for part in batch.slices if not part.ticket.is_over]
        if len(batch.slices) == 1:
            for part in still:
                self.withdraw(part.ticket)
            return [part.ticket for part in still]
        for part in reversed(still):
            self._dequeue(part.ticket)
            part.ticket.given, part.ticket.is_alone = part.start, True
            self._enqueue(part.ticket, first=True)
        return []

    def _enqueue(self, ticket: Ticket[J, R], *, first: bool = False) -> None:
        queue = self._queues[_is_bulk(ticket.job)].setdefault(ticket.job.lane, OrderedDict())
        queue[ticket] = None
        queue.move_to_end(ticket, last=not first)
        self.waiting += 1
        self.rows += ticket.left

    def _dequeue(self, ticket: Ticket[J, R]) -> None:
        """Take out a ticket, where it has rows to give."""
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
        """Slices of a lane up to a full batch: of the class whose turn it is, then of the other."""
        room: int | None = None
        for which in (first, 1 - first):
            while queue := self._queues[which].get(lane):
                ticket = next(iter(queue))
                if not ticket.given and ticket.deadline <= now:
                    self.withdraw(ticket)
                    continue
                if room is not None and (ticket.is_alone or not room):
                    return
                room = ticket.job.most if room is None else room
                part = self._give(ticket, room)
                yield part
                room -= part.n
                if ticket.is_alone:
                    return

    def _give(self, ticket: Ticket[J, R], most: int) -> JobSlice[J, R]:
        """The next rows of a ticket, at most so many."""
        start, stop = ticket.given, min(ticket.job.n, ticket.given + most)
        if stop == ticket.job.n:
            self._dequeue(ticket)
        else:
            self.rows -= stop - start
        ticket.given = stop
        return JobSlice(ticket, start, stop)


def _is_bulk(job: Job) -> bool:
    return job.n > max(1, job.most // INTERACTIVE)
