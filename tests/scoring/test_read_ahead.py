"""Items that are made in a thread ahead: all of them, in order, no more than asked for, and no thread left."""

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
def test_items_come_all_and_in_order(n):
    assert list(read_ahead(iter(range(n)))) == [*range(n)]
    assert threads() == 0


def test_none_is_an_item_like_others():
    assert list(read_ahead(iter([None, 1, None]))) == [None, 1, None]


def test_what_making_an_item_raises_comes_after_the_items_before_it():
    def items() -> Iterator[int]:
        yield 1
        raise KeyError("no more")

    got = read_ahead(items())
    assert next(got) == 1
    with pytest.raises(KeyError, match="no more"):
        next(got)
    assert threads() == 0


def test_the_next_items_are_made_while_one_is_in_use_and_no_others():
    made: list[int] = []

    def items() -> Iterator[int]:
        for i in range(100):
            made.append(i)
            yield i

    with closing(read_ahead(items(), depth=2)) as got:
        assert next(got) == 0
        until = time.monotonic() + 10
        while len(made) < 4 and time.monotonic() < until:  # one in use, two ready, one in the hand
            time.sleep(0.01)
        time.sleep(0.05)
        assert made == [0, 1, 2, 3]
    assert threads() == 0


def test_an_iterator_that_is_closed_early_ends_its_thread():
    with closing(read_ahead(iter(range(1000)))) as got:
        assert next(got) == 0
        assert threads() == 1
    assert threads() == 0
