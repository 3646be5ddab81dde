"""Lets threads do the heavy part of a piece of work, so that all processors have a share in it.

Rules: items come out in the order in which they went in. No more than a bounded weight is on its way. What is light
goes through no thread: to hand it over would take longer. What a thread raises is raised where its item is taken. The
threads have ended when the iterator is closed."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future

__all__ = ["in_threads"]

T = TypeVar("T")

#: So many threads at most: whoever takes the items has his own share of the work.
_THREADS = 4
#: So much weight is handed over at once, or so many items: a thread takes its time to wake up.
_AT_ONCE = 256 * 1024
_ITEMS_AT_ONCE = 64
#: So much is on its way to each thread.
_OF_EACH = 4 * 1024 * 1024


def in_threads(
    items: Iterable[T], work: Callable[[T], T], weigh: Callable[[T], int], heavy: int
) -> Generator[T, None, None]:
    """The items. In the place of each that is ``heavy`` or heavier there is what ``work`` makes of it.

    :param work: called in any thread. It gains nothing unless it lets other threads run meanwhile, as what compresses,
        digests, reads and writes does.
    :param weigh: how heavy an item is, in bytes, say.
    """
    with closing(_Line(work, weigh, heavy)) as line:
        for item in items:
            yield from line.put(item)
        yield from line.rest()


class _Line(Generic[T]):
    """Items on their way, in batches."""

    def __init__(self, work: Callable[[T], T], weigh: Callable[[T], int], heavy: int) -> None:
        self._work = work
        self._weigh = weigh
        self._heavy = heavy
        self._batch: list[T] = []
        self._weight = 0
        self._under_way: deque[tuple[Future[list[T]], int]] = deque()
        self._weight_under_way = 0
        self._threads = min(_THREADS, len(os.sched_getaffinity(0)))
        self._pool: Executor | None = None

    def put(self, item: T) -> Iterator[T]:
        """Yields what is to be taken before more is put."""
        own = self._weigh(item)
        if own < self._heavy and not self._batch and not self._under_way:
            yield item
            return
        self._batch.append(item)
        self._weight += own
        if self._weight >= _AT_ONCE or len(self._batch) >= _ITEMS_AT_ONCE:
            self._hand_over()
            while self._under_way and (self._is_full() or self._under_way[0][0].done()):
                yield from self._first()

    def rest(self) -> Iterator[T]:
        while self._under_way:
            yield from self._first()
        yield from self._worked(self._batch)

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def _hand_over(self) -> None:
        if self._pool is None:
            from concurrent.futures import ThreadPoolExecutor

            self._pool = ThreadPoolExecutor(self._threads, "receptor-runner-work")
        self._under_way.append((self._pool.submit(self._worked, self._batch), self._weight))
        self._weight_under_way += self._weight
        self._batch, self._weight = [], 0

    def _is_full(self) -> bool:
        return self._weight_under_way > self._threads * _OF_EACH

    def _first(self) -> list[T]:
        done, weight = self._under_way.popleft()
        self._weight_under_way -= weight
        return done.result()

    def _worked(self, batch: list[T]) -> list[T]:
        return [self._work(item) if self._weigh(item) >= self._heavy else item for item in batch]
