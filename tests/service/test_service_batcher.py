"""The batcher's promises, on a clock and an executor that the tests move by hand."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.batcher import INTERACTIVE, TURNS, Batch, Batcher, Ticket
from service.errors import Overloaded

MOST = 16
SMALL = MOST // INTERACTIVE  # rows of the largest interactive job


@dataclass(frozen=True, eq=False)
class Rows:
    """A job: its rows are numbers that tell it from others."""

    lane: str
    values: list[int]
    most: int = MOST

    @property
    def n(self) -> int:
        return len(self.values)


class Bad(Exception):
    pass


@dataclass
class World:
    """A batcher, a clock, and an executor that adds 1 to every row and cannot take a row below 0."""

    batcher: Batcher[Rows, list[int]] = field(default_factory=lambda: Batcher(max_queue_rows=10_000))
    now: float = 0.0
    answers: dict[Ticket[Any, Any], list[int]] = field(default_factory=dict)
    failed: list[Ticket[Any, Any]] = field(default_factory=list)
    late: list[Ticket[Any, Any]] = field(default_factory=list)
    ran: list[Batch[Rows, list[int]]] = field(default_factory=list)

    def put(self, *values: int, lane: str = "a", deadline: float = float("inf")) -> Ticket[Any, Any]:
        return self.batcher.put(Rows(lane, list(values)), deadline)

    def step(self) -> bool:
        """Run one batch; false where nothing waits."""
        batch = self.batcher.next(self.now)
        self.late += self.batcher.expired()
        if batch is None:
            return False
        self.ran.append(batch)
        parts = [piece.ticket.job.values[piece.start : piece.stop] for piece in batch.pieces]
        if min(v for part in parts for v in part) < 0:
            self.failed += self.batcher.fail(batch)
            return True
        for ticket in self.batcher.answer(batch, [[v + 1 for v in part] for part in parts]):
            self.answers[ticket] = [v for start in sorted(ticket.parts) for v in ticket.parts[start]]
        return True

    def finish(self) -> None:
        while self.step():
            pass


def many(n: int, first: int = 0) -> range:
    return range(first, first + n)


def test_what_came_meanwhile_goes_in_one_batch_in_order() -> None:
    world = World()
    tickets = [world.put(i) for i in range(5)]
    assert world.step()
    assert [piece.ticket for piece in world.ran[0].pieces] == tickets
    assert [world.answers[t] for t in tickets] == [[1], [2], [3], [4], [5]]
    assert not world.step()


def test_a_batch_is_never_larger_than_its_lane_takes() -> None:
    world = World()
    tickets = [world.put(*many(n)) for n in (1, 40, 2, 7, 16)]
    world.finish()
    assert all(batch.n <= MOST for batch in world.ran)
    assert [world.answers[t] for t in tickets] == [list(many(n, 1)) for n in (1, 40, 2, 7, 16)]


def test_a_large_job_is_cut_and_singles_go_between_its_pieces() -> None:
    world = World()
    large = world.put(*many(10 * MOST))
    world.step()
    single = world.put(7)
    world.step()
    assert single in world.answers
    assert large not in world.answers
    assert world.ran[1].n == MOST  # the room beside the single one is the large one's
    world.finish()
    assert world.answers[large] == list(many(10 * MOST, 1))


def test_lanes_take_turns() -> None:
    world = World()
    for lane in "abc":
        for i in range(3 * MOST):
            world.put(i, lane=lane)
    world.finish()
    assert "".join(batch.pieces[0].ticket.job.lane for batch in world.ran) == "abcabcabc"


def test_a_lane_that_asks_for_more_gets_no_more_turns() -> None:
    world = World()
    for i in range(20 * MOST):
        world.put(i, lane="greedy")
    little = world.put(1, lane="modest")
    world.step()
    world.step()
    assert little in world.answers


def test_interactive_goes_before_bulk_which_is_not_starved() -> None:
    world = World()
    bulk = world.put(*many(3 * MOST), lane="bulk")
    lanes = []
    for i in range(4 * TURNS):
        world.put(i, lane="interactive")
        world.step()
        lanes.append(world.ran[-1].pieces[0].ticket.job.lane)
    assert lanes[:TURNS] == ["interactive"] * TURNS
    assert lanes[TURNS] == "bulk"
    assert lanes.count("bulk") == 3
    assert bulk in world.answers


def test_a_full_queue_refuses_at_once_and_a_lone_job_always_has_room() -> None:
    batcher: Batcher[Rows, list[int]] = Batcher(max_queue_rows=10)
    ticket = batcher.put(Rows("a", list(many(25))))
    with pytest.raises(Overloaded, match="25 rows wait for the device, and at most 10 may"):
        batcher.put(Rows("a", [1]))
    with pytest.raises(Overloaded):
        batcher.check_room()
    batcher.withdraw(ticket)
    batcher.check_room(10)
    batcher.put(Rows("a", list(many(10))))
    with pytest.raises(Overloaded):
        batcher.put(Rows("b", [1]))


def test_rows_that_nobody_waits_for_are_not_run() -> None:
    world = World()
    gone, large, stays = world.put(1), world.put(*many(4 * MOST), lane="b"), world.put(2)
    world.batcher.withdraw(gone)
    world.step()
    assert [piece.ticket for piece in world.ran[0].pieces] == [stays]
    world.step()
    world.batcher.withdraw(large)
    assert (world.batcher.waiting, world.batcher.rows) == (0, 0)
    assert not world.step()
    assert large not in world.answers


def test_an_answer_for_a_caller_who_left_is_dropped() -> None:
    world = World()
    gone, stays = world.put(1), world.put(2)
    batch = world.batcher.next(0.0)
    assert batch is not None
    world.batcher.withdraw(gone)
    assert world.batcher.answer(batch, [[2], [3]]) == [stays]


def test_a_job_past_its_deadline_is_told_and_not_run() -> None:
    world = World()
    late, stays = world.put(1, deadline=5.0), world.put(2, deadline=5.1)
    world.now = 5.0
    world.step()
    assert world.late == [late]
    assert [piece.ticket for piece in world.ran[0].pieces] == [stays]
    assert (world.batcher.waiting, world.batcher.rows) == (0, 0)


def test_a_large_job_is_cut_short_at_its_deadline() -> None:
    world = World()
    large = world.put(*many(3 * MOST), deadline=1.0)
    world.step()
    world.now = 1.0
    assert not world.step()
    assert world.late == [large]


def test_one_bad_row_fails_its_own_job_alone() -> None:
    world = World()
    tickets = [world.put(v) for v in (1, -1, 2, 3)]
    world.finish()
    assert world.failed == [tickets[1]]
    assert [world.answers[t] for t in (tickets[0], *tickets[2:])] == [[2], [3], [4]]
    assert [batch.n for batch in world.ran] == [4, 1, 1, 1, 1]


def test_a_failed_job_is_tried_again_once() -> None:
    world = World()
    bad = world.put(-1)
    world.finish()
    assert world.failed == [bad]
    assert len(world.ran) == 1
    bad, mate = world.put(-1), world.put(1)
    world.finish()
    assert world.failed[1:] == [bad]
    assert mate in world.answers
    assert Counter(p.ticket for batch in world.ran[1:] for p in batch.pieces) == {bad: 2, mate: 2}


def test_the_rest_of_a_job_whose_piece_failed_is_not_run() -> None:
    world = World()
    bad = world.put(*many(MOST), -1, *many(5 * MOST))
    world.finish()
    assert world.failed == [bad]
    assert len(world.ran) == 2
    assert (world.batcher.waiting, world.batcher.rows) == (0, 0)


def test_draining_withdraws_all_that_wait() -> None:
    world = World()
    tickets = [world.put(1), world.put(*many(2 * MOST), lane="b")]
    assert set(world.batcher.drain()) == set(tickets)
    assert not world.step()


Action = tuple[str, int, int]
ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["put", "put", "put", "bad", "step", "withdraw", "wait"]), st.integers(1, 40), st.integers(0, 3)
    ),
    max_size=60,
)


@settings(max_examples=300, deadline=None)
@given(ACTIONS)
def test_whatever_happens_every_job_ends_once_and_as_it_would_alone(actions: list[Action]) -> None:
    world, tickets, withdrawn, fresh = World(), [], set(), 0
    for what, n, lane in actions:
        if what in ("put", "bad"):
            values = list(many(n, fresh))
            fresh += n
            if what == "bad":
                values[n // 2] = -1
            tickets.append(world.put(*values, lane=str(lane), deadline=world.now + n if lane == 3 else float("inf")))
        elif what == "step":
            world.step()
        elif what == "wait":
            world.now += lane
        elif tickets:
            ticket = tickets[n % len(tickets)]
            if not ticket.is_over:
                withdrawn.add(ticket)
            world.batcher.withdraw(ticket)
        waiting = [t for t in tickets if not t.is_over and t.given < t.job.n]
        assert world.batcher.waiting == len(waiting)
        assert world.batcher.rows == sum(t.job.n - t.given for t in waiting)
    world.finish()
    for ticket in tickets:
        is_bad = min(ticket.job.values) < 0
        ends = [ticket in world.answers, ticket in world.failed, ticket in world.late, ticket in withdrawn]
        assert ends.count(True) == 1, ends
        if ticket in world.answers:
            assert not is_bad
            assert world.answers[ticket] == [v + 1 for v in ticket.job.values]
        if ticket in world.failed:
            assert is_bad
    assert (world.batcher.waiting, world.batcher.rows) == (0, 0)
    for batch in world.ran:
        assert len({piece.ticket.job.lane for piece in batch.pieces}) == 1
        assert batch.n <= MOST
        for a, b in pairwise([p for p in batch.pieces if p.ticket.job.n <= SMALL]):
            assert tickets.index(a.ticket) < tickets.index(b.ticket)  # interactive ones in the order they came
