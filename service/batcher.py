"""Joins waiting jobs into batches of rows. Knows rows, lanes and time; not arrays, models, threads or HTTP.

Nothing waits for a batch to fill: whoever is free asks for the next one, and gets what has come meanwhile.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from service.errors import Overloaded

INTERACTIVE = 8  # a job of at most this part of a full batch is interactive, a larger one is bulk
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
    deadline: float  # when nobody waits for it any more, by the clock of `Batcher.next`
    given: int = 0  # rows that are in batches, or were
    parts: dict[int, R] = field(default_factory=dict)  # answers by their first row
    answered: int = 0  # rows in parts
    is_over: bool = False  # answered, failed, expired or withdrawn: what still comes of it is dropped


@dataclass(frozen=True, eq=False)
class Piece(Generic[J, R]):
    """Rows start to stop of a job."""

    ticket: Ticket[J, R]
    start: int
    stop: int

    @property
    def n(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True, eq=False)
class Batch(Generic[J, R]):
    """Pieces of one lane, for one call."""

    pieces: tuple[Piece[J, R], ...]

    @property
    def n(self) -> int:
        return sum(piece.n for piece in self.pieces)


class Lane(Generic[J, R]):
    """Tickets of one lane with rows to give, in the order they came, interactive ones apart from bulk."""

    def __init__(self) -> None:
        self.queues: tuple[deque[Ticket[J, R]], deque[Ticket[J, R]]] = (deque(), deque())  # interactive, bulk


class Batcher(Generic[J, R]):
    """Jobs in, batches out, answers in, whole answers out. Not for two threads at once: hold a lock around it.

    The lanes take turns, a batch each. A batch is never larger than `job.most`, and jobs are cut to fit, so that full
    batches are alike in work and taking turns is deficit round-robin with nothing left of a quantum. Interactive jobs
    go first; while bulk waits, every fifth turn is bulk's, and what room a batch has left goes to bulk of its lane.
    """

    def __init__(self, *, max_queue_rows: int) -> None:
        self._max_rows = max_queue_rows
        self._lanes: dict[Hashable, Lane[J, R]] = {}
        self._turns: tuple[dict[Hashable, None], dict[Hashable, None]] = ({}, {})  # lanes in turn, by class
        self._again: deque[Batch[J, R]] = deque()  # pieces of batches that failed, each to be tried alone
        self._in_a_row = 0  # interactive batches since bulk had its turn
        self._expired: list[Ticket[J, R]] = []
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
        which = _is_bulk(job)
        self._lanes.setdefault(job.lane, Lane()).queues[which].append(ticket)
        self._turns[which].setdefault(job.lane)
        self.waiting += 1
        self.rows += job.n
        return ticket

    def withdraw(self, ticket: Ticket[J, R]) -> None:
        """Nobody waits for it any more: its room is free at once, and rows that were not handed out never are."""
        if ticket.is_over:
            return
        ticket.is_over = True
        self._forget(ticket)

    def next(self, now: float) -> Batch[J, R] | None:
        """What to run next, or None where nothing waits. Jobs found to be late are left out; see `expired`."""
        while self._again:
            batch = self._again.popleft()
            if not batch.pieces[0].ticket.is_over:
                return batch
        for which in self._order():
            while self._turns[which]:
                lane = next(iter(self._turns[which]))
                pieces = list(self._fill(lane, which, now))
                self._rotate(lane)
                if pieces:
                    self._in_a_row = 0 if any(_is_bulk(p.ticket.job) for p in pieces) else self._in_a_row + 1
                    return Batch(tuple(pieces))
        return None

    def expired(self) -> list[Ticket[J, R]]:
        """Tickets found to be past their deadline since this was last asked."""
        found, self._expired = self._expired, []
        return found

    def answer(self, batch: Batch[J, R], answers: Sequence[R]) -> list[Ticket[J, R]]:
        """Take in a batch's answers, one a piece; the tickets that are whole now, and that somebody waits for."""
        whole = []
        for piece, part in zip(batch.pieces, answers, strict=True):
            ticket = piece.ticket
            if ticket.is_over:
                continue
            ticket.parts[piece.start] = part
            ticket.answered += piece.n
            if ticket.answered == ticket.job.n:
                ticket.is_over = True
                whole.append(ticket)
        return whole

    def fail(self, batch: Batch[J, R]) -> list[Ticket[J, R]]:
        """A batch raised. Of several jobs each is tried alone, once; the ticket of one that was alone has failed."""
        if len({piece.ticket for piece in batch.pieces}) > 1:
            self._again.extend(Batch((piece,)) for piece in batch.pieces if not piece.ticket.is_over)
            return []
        ticket = batch.pieces[0].ticket
        if ticket.is_over:
            return []
        self.withdraw(ticket)
        return [ticket]

    def drain(self) -> list[Ticket[J, R]]:
        """Withdraw every ticket that has rows to give."""
        left = [t for lane in self._lanes.values() for queue in lane.queues for t in queue if not t.is_over]
        for ticket in left:
            self.withdraw(ticket)
        return left

    def _order(self) -> tuple[int, int]:
        return (1, 0) if self._in_a_row >= TURNS and self._turns[1] else (0, 1)

    def _fill(self, key: Hashable, first: int, now: float) -> Iterator[Piece[J, R]]:
        """Pieces of a lane up to a full batch: of the class whose turn it is, then of the other."""
        lane, room = self._lanes[key], 0
        for which in (first, 1 - first):
            queue = lane.queues[which]
            while queue:
                ticket = queue[0]
                if self._is_late(ticket, now):
                    queue.popleft()
                    continue
                room = room or ticket.job.most
                stop = min(ticket.job.n, ticket.given + room)
                yield Piece(ticket, ticket.given, stop)
                self.rows -= stop - ticket.given
                room -= stop - ticket.given
                ticket.given = stop
                if stop == ticket.job.n:
                    queue.popleft()
                    self.waiting -= 1
                if not room:
                    return

    def _is_late(self, ticket: Ticket[J, R], now: float) -> bool:
        """Whether nobody waits for it, as of now."""
        if not ticket.is_over and ticket.deadline <= now:
            self.withdraw(ticket)
            self._expired.append(ticket)
        return ticket.is_over

    def _rotate(self, key: Hashable) -> None:
        """Put a lane last in the turns it still has a part in."""
        lane = self._lanes[key]
        for which, queue in enumerate(lane.queues):
            self._turns[which].pop(key, None)
            if queue:
                self._turns[which][key] = None
        if not any(lane.queues):
            del self._lanes[key]

    def _forget(self, ticket: Ticket[J, R]) -> None:
        left = ticket.job.n - ticket.given
        self.rows -= left
        self.waiting -= 1 if left else 0


def _is_bulk(job: Job) -> bool:
    return job.n * INTERACTIVE > job.most
