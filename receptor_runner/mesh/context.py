"""A job that is followed while a ``with`` lasts: its events one by one, and its outcome.

Rules: the job is followed in a thread of its own, which ends before the ``with`` does. Nothing is lost by a reader that
takes its time: the thread waits for it. To leave early ends the following, and not the job. As an asynchronous context
it takes no thread of the loop's own, and a read that is cancelled takes no event."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import signal
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..errors import DetachedError, UsageError
from ..stream.messages import JSONObject
from ..system.signals import StopFlag

if TYPE_CHECKING:
    from .outcome import Outcome

__all__ = ["Following"]

#: How many events wait for their reader.
_HELD = 1000
_LOOK_SECONDS = 0.1


class Following:
    """Made by :meth:`SubmittedJob.following <receptor_runner.SubmittedJob.following>`. It is a context, also an
    asynchronous one, and in it an iterator over the events of the job. It is entered once.

    :param follow: follows the job, and takes ``event_handler`` and ``flag``.
    """

    def __init__(self, follow: Callable[..., Outcome]) -> None:
        #: How the job ended; None if it was left before that.
        self.outcome: Outcome | None = None
        self._follow = follow
        self._room = threading.Semaphore(_HELD)
        self._events: queue.SimpleQueue[JSONObject | None] = queue.SimpleQueue()
        self._awaited: asyncio.Queue[JSONObject | None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._error: Exception | None = None
        self._read_out = False
        self._left = threading.Event()
        #: Guards the flag, which the thread closes.
        self._lock = threading.Lock()
        self._flag: StopFlag | None = None
        self._thread: threading.Thread | None = None

    def __repr__(self) -> str:
        following = self._thread is not None and self._thread.is_alive()
        return f"<Following {self.outcome or ('following' if following else 'not following')}>"

    def _check_new(self) -> None:
        if self._thread is not None:
            raise UsageError("this following was entered before; ask the job for another")

    def _start(self) -> None:
        self._check_new()
        self._flag = StopFlag()
        self._thread = threading.Thread(
            target=self._run, args=(self._flag,), name="receptor-runner-following", daemon=True
        )
        self._thread.start()

    def _run(self, flag: StopFlag) -> None:
        try:
            self.outcome = self._follow(event_handler=self._hand_over, flag=flag)
        except Exception as exc:
            self._error = exc
        with self._lock:
            self._flag = None
            flag.close()
        self._deliver(None)

    def _hand_over(self, event: JSONObject) -> bool:
        """Waits until there is room, or nobody reads any more."""
        while not self._left.is_set():
            if self._room.acquire(timeout=_LOOK_SECONDS):
                self._deliver(event)
                break
        return True

    def _deliver(self, event: JSONObject | None) -> None:
        """None is behind the last one."""
        if self._loop is None or self._awaited is None:
            self._events.put(event)
            return
        with contextlib.suppress(RuntimeError):  # the loop is closed, and nobody reads
            self._loop.call_soon_threadsafe(self._awaited.put_nowait, event)

    def _leave(self) -> None:
        """Ends the following, unless all of it was read."""
        self._left.set()
        with self._lock:
            if self._flag is not None and not self._read_out:
                self._flag.raise_(signal.SIGHUP)

    def _end_reading(self) -> None:
        """Lets every other reader of the loop know, too."""
        assert self._awaited is not None
        self._read_out = True
        self._awaited.put_nowait(None)

    def _conclude(self) -> None:
        """All events were read."""
        self._read_out = True
        if self._error is not None:
            raise self._error

    def _check_left(self, kind: type[BaseException] | None) -> None:
        if self._error is not None and kind is None and not isinstance(self._error, DetachedError):
            raise self._error

    def __enter__(self) -> Following:
        self._start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *exc: object) -> None:
        """:raises ReceptorRunnerError: the job could not be followed."""
        self._leave()
        assert self._thread is not None
        self._thread.join()
        self._check_left(kind)

    def __iter__(self) -> Following:
        return self

    def __next__(self) -> JSONObject:
        if self._thread is None:
            raise UsageError("enter it first: with job.following() as followed")
        event = None if self._read_out else self._events.get()
        if event is None:
            self._events.put(None)  # for another reader
            self._conclude()
            raise StopIteration
        self._room.release()
        return event

    async def __aenter__(self) -> Following:
        self._check_new()
        self._loop, self._awaited = asyncio.get_running_loop(), asyncio.Queue()
        self._start()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *exc: object) -> None:
        self._leave()
        assert self._awaited is not None
        assert self._thread is not None
        while not self._read_out and await self._awaited.get() is not None:
            continue
        self._end_reading()
        self._thread.join()
        self._check_left(kind)

    def __aiter__(self) -> Following:
        return self

    async def __anext__(self) -> JSONObject:
        if self._awaited is None:
            raise UsageError("enter it first: async with job.following() as followed")
        event = None if self._read_out else await self._awaited.get()
        if event is None:
            self._end_reading()
            self._conclude()
            raise StopAsyncIteration
        self._room.release()
        return event
