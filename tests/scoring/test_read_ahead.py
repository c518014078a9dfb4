"""read_ahead returns all items in order, produces at most `depth` in advance, and leaves no thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from vaekit.scoring.files.read_ahead import read_ahead


def threads() -> int:
    return sum(thread.name == "ahead" for thread in threading.enumerate())


@pytest.mark.parametrize("n", [0, 1, 5, 100])
def test_all_items_are_returned_in_order(n):
    assert list(read_ahead(iter(range(n)))) == [*range(n)]
    assert threads() == 0


def test_none_is_a_valid_item():
    assert list(read_ahead(iter([None, 1, None]))) == [None, 1, None]


def test_an_exception_is_raised_after_the_items_before_it():
    def items() -> Iterator[int]:
        yield 1
        raise KeyError("no more")

    got = read_ahead(items())
    assert next(got) == 1
    with pytest.raises(KeyError, match="no more"):
        next(got)
    assert threads() == 0


def test_only_the_next_items_are_produced_in_advance():
    made: list[int] = []

    def items() -> Iterator[int]:
        for i in range(100):
            made.append(i)
            yield i

    with closing(read_ahead(items(), depth=2)) as got:
        assert next(got) == 0
        until = time.monotonic() + 10
        while len(made) < 4 and time.monotonic() < until:  # one in use, two in the queue, one waiting for the queue
            time.sleep(0.01)
        time.sleep(0.05)
        assert made == [0, 1, 2, 3]
    assert threads() == 0


def test_closing_the_generator_ends_its_thread():
    with closing(read_ahead(iter(range(1000)))) as got:
        assert next(got) == 0
        assert threads() == 1
    assert threads() == 0
