"""Withdrawn, late and failing jobs in the batcher."""

from __future__ import annotations

import gc
import weakref
from collections import Counter

from tests.service.test_service_batcher import MOST, World, many


def test_rows_of_a_withdrawn_job_do_not_run() -> None:
    world = World()
    gone, large, stays = world.put(1), world.put(*many(4 * MOST), lane="b"), world.put(2)
    world.batcher.withdraw(gone)
    world.step()
    assert [piece.ticket for piece in world.ran[0].slices] == [stays]
    world.step()
    world.batcher.withdraw(large)
    assert (world.batcher.waiting, world.batcher.rows) == (0, 0)
    assert not world.step()
    assert large not in world.answers


def test_the_result_of_a_withdrawn_job_is_dropped() -> None:
    world = World()
    gone, stays = world.put(1), world.put(2)
    batch = world.batcher.next(0.0)
    assert batch is not None
    world.batcher.withdraw(gone)
    assert world.batcher.answer(batch, [[2], [3]]) == [stays]


def test_a_job_past_its_deadline_is_not_started() -> None:
    world = World()
    late, stays = world.put(1, deadline=5.0), world.put(2, deadline=5.1)
    world.now = 5.0
    world.step()
    assert late.is_over
    assert late not in world.answers
    assert [piece.ticket for piece in world.ran[0].slices] == [stays]
    assert (world.batcher.waiting, world.batcher.rows) == (0, 0)


def test_a_job_that_was_started_by_its_deadline_is_completed() -> None:
    world = World()
    large = world.put(*many(3 * MOST), deadline=1.0)
    world.step()
    world.now = 1.0
    world.finish()
    assert world.answers[large] == list(many(3 * MOST, 1))


def test_a_bad_row_fails_only_its_own_job() -> None:
    world = World()
    tickets = [world.put(v) for v in (1, -1, 2, 3)]
    world.finish()
    assert world.failed == [tickets[1]]
    assert [world.answers[t] for t in (tickets[0], *tickets[2:])] == [[2], [3], [4]]
    assert [batch.n for batch in world.ran] == [4, 1, 1, 1, 1]
    assert [batch.slices[0].ticket for batch in world.ran[1:]] == tickets  # in order of arrival


def test_a_job_of_a_failed_batch_is_run_again_once() -> None:
    world = World()
    bad = world.put(-1)
    world.finish()
    assert world.failed == [bad]
    assert len(world.ran) == 1
    bad, mate = world.put(-1), world.put(1)
    world.finish()
    assert world.failed[1:] == [bad]
    assert mate in world.answers
    assert Counter(p.ticket for batch in world.ran[1:] for p in batch.slices) == {bad: 2, mate: 2}


def test_the_rest_of_a_failed_job_does_not_run() -> None:
    world = World()
    bad = world.put(*many(MOST), -1, *many(5 * MOST))
    world.finish()
    assert world.failed == [bad]
    assert len(world.ran) == 2
    assert (world.batcher.waiting, world.batcher.rows) == (0, 0)


def test_jobs_that_run_again_count_as_waiting_and_take_turns() -> None:
    world = World()
    tickets = [world.put(v) for v in (1, -1, 2)]
    world.step()
    assert (world.batcher.waiting, world.batcher.rows) == (3, 3)
    other, late = world.put(9, lane="b"), world.put(8)
    world.step()
    world.step()
    assert other in world.answers
    world.batcher.withdraw(tickets[2])
    world.finish()
    assert (late in world.answers, tickets[2] in world.answers) == (True, False)
    assert (world.batcher.waiting, world.batcher.rows) == (0, 0)


def test_a_job_that_is_withdrawn_while_it_runs_gets_no_answer() -> None:
    for value, gone in ((1, 0), (-1, 0), (-1, 1)):
        world = World()
        tickets = [world.put(value), world.put(2)]
        world.take()
        world.batcher.withdraw(tickets[gone])
        world.end()
        world.finish()
        assert tickets[gone] not in world.answers
        assert tickets[gone] not in world.failed
        assert (tickets[1 - gone] in world.answers) == (value > 0 or gone == 0)
        assert (world.batcher.waiting, world.batcher.rows) == (0, 0)


def test_withdrawn_jobs_are_freed() -> None:
    world = World()
    world.put(*many(5 * MOST))
    gone = [weakref.ref(ticket) for ticket in (world.put(*many(3 * MOST)) for _ in range(50))]
    for reference in gone:
        world.batcher.withdraw(reference())  # type: ignore[arg-type]  # still alive
    gc.collect()
    assert not any(reference() for reference in gone)
    world.finish()
    assert not any(world.batcher._queues)
