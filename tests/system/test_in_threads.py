"""Threads at one piece of work: what comes out is in its order, whoever did which part of it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from receptor_runner.system.in_threads import in_threads

#: So heavy that it is handed over at once.
HEAVY = 1_000_000


def test_what_is_heavy_goes_through_other_threads_and_keeps_its_place() -> None:
    taken = threading.Event()

    def work(item: int) -> int:
        if item == HEAVY:
            assert taken.wait(60), "the others were not taken in while this one was under way"
        assert threading.current_thread() is not threading.main_thread()
        return -item

    def items() -> Iterator[int]:
        yield from (1, HEAVY, 2, HEAVY + 1, 3)
        taken.set()

    found = list(in_threads(items(), work, lambda item: item, HEAVY))
    assert found == [1, -HEAVY, 2, -HEAVY - 1, 3]


def test_what_goes_wrong_in_a_thread_is_raised_where_its_item_is_taken() -> None:
    def work(item: int) -> int:
        raise ValueError(item)

    with closing(in_threads(iter([1, HEAVY, 2]), work, lambda item: item, HEAVY)) as items:
        assert next(items) == 1
        with pytest.raises(ValueError, match=str(HEAVY)):
            next(items)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("receptor-runner-work")]


def test_a_bounded_weight_is_under_way() -> None:
    most = 0
    begun = 0

    def items() -> Iterator[bytes]:
        nonlocal begun
        for _ in range(200):
            begun += 1
            yield bytes(1_000_000)

    with closing(in_threads(items(), lambda item: item, len, HEAVY)) as found:
        for number, _ in enumerate(found):
            most = max(most, begun - number)
    assert most < 40
