"""The batcher, with a clock and an executor that the tests control."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vaekit_service.engine.batcher import INTERACTIVE, TURNS, Batch, Batcher, Ticket
from vaekit_service.errors import Overloaded

MOST = 16
SMALL = MOST // INTERACTIVE  # rows of the largest interactive job


@dataclass(frozen=True, eq=False)
class Rows:
    """A job whose rows are distinct numbers."""

    lane: str
    values: list[int]
    max_batch_rows: int = MOST

    @property
    def n(self) -> int:
        return len(self.values)


class Bad(Exception):
    pass


@dataclass
class World:
    """A batcher, a clock, and an executor that adds 1 to every row and fails for rows below 0."""

    batcher: Batcher[Rows, list[int]] = field(default_factory=lambda: Batcher(max_queue_rows=1_000_000))
    now: float = 0.0
    answers: dict[Ticket[Any, Any], list[int]] = field(default_factory=dict)
    failed: list[Ticket[Any, Any]] = field(default_factory=list)
    ran: list[Batch[Rows, list[int]]] = field(default_factory=list)
    out: Batch[Rows, list[int]] | None = None  # on the executor

    def put(self, *values: int, lane: str = "a", deadline: float = float("inf"), most: int = MOST) -> Ticket[Any, Any]:
        return self.batcher.put(Rows(lane, list(values), most), deadline)

    def take(self) -> bool:
        """Give the executor a batch; False if no job waits."""
        assert self.out is None
        self.out = self.batcher.next(self.now)
        if self.out is not None:
            self.ran.append(self.out)
        return self.out is not None

    def end(self) -> None:
        """Let the executor finish its batch."""
        batch, self.out = self.out, None
        assert batch is not None
        parts = [piece.ticket.job.values[piece.start : piece.stop] for piece in batch.slices]
        if min(v for part in parts for v in part) < 0:
            self.failed += self.batcher.fail(batch)
            return
        for ticket in self.batcher.answer(batch, [[v + 1 for v in part] for part in parts]):
            self.answers[ticket] = [v for part in ticket.results for v in part]

    def step(self) -> bool:
        taken = self.take()
        if taken:
            self.end()
        return taken

    def finish(self) -> None:
        while self.step():
            pass


def many(n: int, first: int = 0) -> range:
    return range(first, first + n)


def test_jobs_that_arrived_in_the_meantime_share_a_batch_in_order() -> None:
    world = World()
    tickets = [world.put(i) for i in range(5)]
    assert world.step()
    assert [piece.ticket for piece in world.ran[0].slices] == tickets
    assert [world.answers[t] for t in tickets] == [[1], [2], [3], [4], [5]]
    assert not world.step()


def test_a_batch_is_never_larger_than_a_full_batch_of_its_lane() -> None:
    world = World()
    tickets = [world.put(*many(n)) for n in (1, 40, 2, 7, 16)]
    world.finish()
    assert all(batch.n <= MOST for batch in world.ran)
    assert [world.answers[t] for t in tickets] == [list(many(n, 1)) for n in (1, 40, 2, 7, 16)]


def test_a_large_job_is_split_and_single_rows_run_between_its_batches() -> None:
    world = World()
    large = world.put(*many(10 * MOST))
    world.step()
    single = world.put(7)
    world.step()
    assert single in world.answers
    assert large not in world.answers
    assert world.ran[1].n == MOST  # rows of the large job fill the batch of the single row
    world.finish()
    assert world.answers[large] == list(many(10 * MOST, 1))


def test_lanes_take_turns() -> None:
    world = World()
    for lane in "abc":
        for i in range(3 * MOST):
            world.put(i, lane=lane)
    world.finish()
    assert "".join(batch.slices[0].ticket.job.lane for batch in world.ran) == "abcabcabc"


def test_a_lane_with_more_jobs_gets_no_more_turns() -> None:
    world = World()
    for i in range(20 * MOST):
        world.put(i, lane="greedy")
    little = world.put(1, lane="modest")
    world.step()
    world.step()
    assert little in world.answers


def test_interactive_jobs_go_first_without_starving_bulk_jobs() -> None:
    world = World()
    bulk = world.put(*many(3 * MOST), lane="bulk")
    lanes = []
    for i in range(4 * TURNS):
        world.put(i, lane="interactive")
        world.step()
        lanes.append(world.ran[-1].slices[0].ticket.job.lane)
    assert lanes[:TURNS] == ["interactive"] * TURNS
    assert lanes[TURNS] == "bulk"
    assert lanes.count("bulk") == 3
    assert bulk in world.answers


def test_a_full_queue_refuses_jobs_and_an_empty_one_accepts_any_job() -> None:
    batcher: Batcher[Rows, list[int]] = Batcher(max_queue_rows=10)
    ticket = batcher.put(Rows("a", list(many(25))))
    with pytest.raises(Overloaded, match="25 rows are waiting for the device, at most 10 may wait"):
        batcher.put(Rows("a", [1]))
    with pytest.raises(Overloaded):
        batcher.check_room()
    batcher.withdraw(ticket)
    batcher.check_room(10)
    batcher.put(Rows("a", list(many(10))))
    with pytest.raises(Overloaded):
        batcher.put(Rows("b", [1]))


def test_bulk_jobs_are_not_starved_by_a_lane_with_both_classes_of_jobs() -> None:
    world = World()
    world.put(*many(1000 * MOST), lane="a")
    bulk = world.put(*many(MOST), lane="b")
    for i in range(3 * TURNS):
        world.put(i, lane="a")
        world.step()
    assert bulk in world.answers


def test_interactive_jobs_of_a_lane_with_bulk_jobs_are_not_delayed() -> None:
    world = World()
    world.put(*many(1000 * MOST), lane="a")
    waits: dict[str, int] = Counter()
    for i in range(300):
        asked = {lane: world.put(i, lane=lane) for lane in "abcde"}
        steps = 0
        while not all(ticket in world.answers for ticket in asked.values()):
            world.step()
            steps += 1
        waits["most"] = max(waits["most"], steps)
    assert waits["most"] <= 5 + 2  # one turn per lane, and those of bulk jobs


def test_a_single_row_is_interactive_even_if_batches_are_small() -> None:
    world = World()
    world.put(*many(100), most=3)
    world.step()
    single = world.put(7, most=3)
    world.step()
    assert single in world.answers


def test_jobs_of_more_than_an_eighth_of_a_batch_are_bulk() -> None:
    for n, waited in ((SMALL, 1), (SMALL + 1, 2)):
        world = World()
        job, other = world.put(*many(n), lane="b"), world.put(1, lane="c")
        first = world.put(2, lane="a")
        for _ in range(waited):
            assert job not in world.answers
            world.step()
        assert (job in world.answers) == (n == SMALL)
        world.finish()
        assert {job, other, first} <= set(world.answers)


Action = tuple[str, int, int]
ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["put", "put", "put", "bad", "run", "run", "withdraw", "wait"]),
        st.integers(1, 40),
        st.integers(0, 3),
    ),
    max_size=60,
)


@settings(max_examples=300)
@given(ACTIONS)
def test_every_job_ends_exactly_once_with_the_result_it_would_have_alone(actions: list[Action]) -> None:
    world, tickets, withdrawn, fresh = World(), [], set(), 0
    for what, n, lane in actions:
        if what in ("put", "bad"):
            values = list(many(n, fresh))
            fresh += n
            if what == "bad":
                values[n // 2] = -1
            tickets.append(world.put(*values, lane=str(lane), deadline=world.now + n if lane == 3 else float("inf")))
        elif what == "run":  # take a batch, or end the one that was taken: jobs come and go in between
            if world.out is None:
                world.take()
            else:
                world.end()
        elif what == "wait":
            world.now += lane
        elif tickets:
            ticket = tickets[n % len(tickets)]
            if not ticket.is_over:
                withdrawn.add(ticket)
            world.batcher.withdraw(ticket)
        waiting = [t for t in tickets if not t.is_over and t.taken < t.job.n]
        assert world.batcher.waiting == len(waiting)
        assert world.batcher.rows == sum(t.job.n - t.taken for t in waiting)
    if world.out is not None:
        world.end()
    world.finish()
    for ticket in tickets:
        is_bad = min(ticket.job.values) < 0
        late = ticket.is_over and not ticket.taken and ticket.deadline <= world.now
        ends = [ticket in world.answers, ticket in world.failed, ticket in withdrawn or late]
        assert ends.count(True) == 1, ends
        if ticket in world.answers:
            assert not is_bad
            assert world.answers[ticket] == [v + 1 for v in ticket.job.values]
        if ticket in world.failed:
            assert is_bad
    assert (world.batcher.waiting, world.batcher.rows) == (0, 0)
    assert not any(world.batcher._queues)
    for batch in world.ran:
        assert len({piece.ticket.job.lane for piece in batch.slices}) == 1
        assert batch.n <= MOST
        for a, b in pairwise([p for p in batch.slices if p.ticket.job.n <= SMALL]):
            assert tickets.index(a.ticket) < tickets.index(b.ticket)  # interactive jobs are in order of arrival
    tries = Counter(p.ticket for batch in world.ran for p in batch.slices if p.ticket.job.n <= SMALL)
    assert max(tries.values(), default=0) <= 2
