"""Lets a thread work ahead of whoever takes its items, so that two processors work on one thing.

Rules: no more than a bounded weight is ahead. A thread that is far ahead does a part of its taker's work. What it
raises is raised where its items are taken. When nobody takes them any more, the thread ends, and it has ended when its
iterator is closed."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator
from typing import TypeVar

__all__ = ["ahead"]

T = TypeVar("T")

#: So many items are handed over at once, or so much weight: a thread takes its time to wake up.
_ITEMS = 2048
_WEIGHT = 256 * 1024


class _Belt(Iterator[list[T]]):
    """Batches of items between two threads."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._batches: deque[tuple[list[T], int]] = deque()
        self._weight = 0
        self._changed = threading.Condition()
        self._ended = False
        self._left = False
        self._error: BaseException | None = None

    @property
    def is_far(self) -> bool:
        """Whether whoever takes the items has enough to do."""
        return self._weight > self._most // 2

    def put(self, batch: list[T], weight: int) -> bool:
        """Waits for room; false if nobody takes it."""
        with self._changed:
            while self._weight > self._most and not self._left:
                self._changed.wait()
            self._batches.append((batch, weight))
            self._weight += weight
            self._changed.notify_all()
            return not self._left

    def end(self, error: BaseException | None = None) -> None:
        with self._changed:
            self._ended, self._error = True, error
            self._changed.notify_all()

    def leave(self) -> None:
        with self._changed:
            self._left = True
            self._changed.notify_all()

    def __next__(self) -> list[T]:
        with self._changed:
            while not self._batches and not self._ended:
                self._changed.wait()
            if self._batches:
                batch, weight = self._batches.popleft()
                self._weight -= weight
                self._changed.notify_all()
                return batch
            if self._error is not None:
                raise self._error
            raise StopIteration


def ahead(
    items: Generator[T, None, None], weigh: Callable[[T], int], most: int, ease: Callable[[T], T]
) -> Generator[T, None, None]:
    """The items, which a thread takes from ``items`` ahead of time.

    :param weigh: how heavy an item is, in bytes, say.
    :param most: no more than about so much is ahead.
    :param ease: makes of an item another one that is less work for whoever takes it. The thread does it while more than
        half of ``most`` is ahead.
    """
    belt: _Belt[T] = _Belt(most)
    thread = threading.Thread(target=_take, args=(items, weigh, ease, belt), name="receptor-runner-ahead", daemon=True)
    thread.start()
    try:
        for batch in belt:
            yield from batch
    finally:
        belt.leave()
        thread.join()


def _take(items: Generator[T, None, None], weigh: Callable[[T], int], ease: Callable[[T], T], belt: _Belt[T]) -> None:
    try:
        batch: list[T] = []
        weight = 0
        for taken in items:
            item = ease(taken) if belt.is_far else taken
            batch.append(item)
            weight += weigh(item)
            if len(batch) >= _ITEMS or weight >= _WEIGHT:
                if not belt.put(batch, weight):
                    items.close()
                    break
                batch, weight = [], 0
        belt.put(batch, weight)
    except BaseException as exc:
        belt.end(exc)
    else:
        belt.end()
