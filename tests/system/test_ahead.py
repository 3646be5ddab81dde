"""Two threads at one thing: what comes out is in its order, whoever did which part of the work."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import closing

from receptor_runner.system.ahead import ahead

WEIGHT = 300_000
MOST = 4 * WEIGHT


def test_a_thread_that_is_far_ahead_does_a_part_of_its_takers_work() -> None:
    helped = threading.Event()

    def ease(item: tuple[int, bool]) -> tuple[int, bool]:
        helped.set()
        return item[0], True

    with closing(ahead(_items(100), lambda item: WEIGHT, MOST, ease)) as items:
        first = next(items)
        assert helped.wait(60), "nobody takes anything, and the thread does nothing for it"
        rest = list(items)
    assert [number for number, _ in [first, *rest]] == list(range(100))
    assert first == (0, False), "a thread that is not ahead has no time to help"


def _items(count: int) -> Generator[tuple[int, bool], None, None]:
    for number in range(count):
        yield number, False
