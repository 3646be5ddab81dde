"""Waits for sockets without holding a thread: the commands of this package are coroutines.

Rules: a coroutine says what it waits for (:class:`Wait`), and goes on when that is there or when it is too late.
:func:`run` drives one to its end and waits in between. ``following.driver`` drives many in one thread. Nothing here
knows what the bytes mean."""

from __future__ import annotations

import contextlib
import os
import select
import time
import types
from collections.abc import Callable, Coroutine, Generator
from functools import partial
from typing import Any, NamedTuple, TypeVar

from ..errors import Interrupted, ReceptorRunnerError
from ..system.signals import StopFlag
from ..system.timeouts import milliseconds

__all__ = ["Wait", "abandon", "ready", "run", "sleep"]

T = TypeVar("T")
_BEGIN: Any = None


class Wait(NamedTuple):
    """A descriptor, the poll events that are waited for, and until when (``time.monotonic()``; None for ever).
    ``undisturbed``: a stop flag does not end this wait.
    """

    fd: int
    events: int
    until: float | None
    undisturbed: bool = False


@types.coroutine
def ready(wait: Wait) -> Generator[Wait, bool, bool]:
    """Waits; whether the descriptor became ready in time."""
    return (yield wait)


async def sleep(seconds: float) -> None:
    """Waits for so long, and holds up nobody else."""
    read_end, write_end = os.pipe()
    try:
        await ready(Wait(read_end, select.POLLIN, time.monotonic() + seconds))
    finally:
        os.close(read_end)
        os.close(write_end)


def run(coroutine: Coroutine[Wait, bool, T], flag: StopFlag | None = None) -> T:
    """The result of ``coroutine``.

    :raises Interrupted: ``flag`` was raised while it waited.
    """
    return _driven(coroutine, partial(coroutine.send, _BEGIN), flag)


def abandon(coroutine: Coroutine[Wait, bool, object]) -> None:
    """Ends a coroutine that waits: it is interrupted, and what it does to clean up is done."""
    with contextlib.suppress(ReceptorRunnerError, OSError):
        _driven(coroutine, partial(coroutine.throw, Interrupted("interrupted")), None)


def _driven(coroutine: Coroutine[Wait, bool, T], step: Callable[[], Wait], flag: StopFlag | None) -> T:
    try:
        while True:
            wait = step()
            try:
                answer = _wait(wait, None if wait.undisturbed else flag)
                step = partial(coroutine.send, answer)
            except BaseException as exc:
                step = partial(coroutine.throw, exc)
    except StopIteration as end:
        result: T = end.value
        return result


def _wait(wait: Wait, flag: StopFlag | None = None) -> bool:
    """Waits; whether the descriptor became ready in time.

    :raises Interrupted: ``flag`` was raised.
    """
    poll = select.poll()
    poll.register(wait.fd, wait.events)
    if flag is not None:
        poll.register(flag.fileno(), select.POLLIN)
    left = None if wait.until is None else wait.until - time.monotonic()
    found = {fd for fd, _ in poll.poll(milliseconds(left))}
    if flag is not None and flag.fileno() in found:
        raise Interrupted("interrupted")
    return wait.fd in found
