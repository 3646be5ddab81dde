"""A job that is followed while a ``with`` lasts: its events one by one, and its outcome.

Rules: the job is followed in a thread of its own, which ends before the ``with`` does. Nothing is lost by a reader that
takes its time: the thread waits for it. To leave early ends the following, and not the job."""

from __future__ import annotations

import asyncio
import queue
import signal
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..errors import DetachedError
from ..stream.messages import JSONObject
from ..system.signals import StopFlag

if TYPE_CHECKING:
    from .submitted import Outcome

__all__ = ["Following"]

#: How many events wait for their reader.
_HELD = 1000
_LOOK_SECONDS = 0.1


class Following:
    """Made by :meth:`SubmittedJob.following <receptor_runner.SubmittedJob.following>`. It is a context, also an
    asynchronous one, and in it an iterator over the events of the job.

    :param follow: follows the job, and takes ``event_handler`` and ``flag``.
    """

    def __init__(self, follow: Callable[..., Outcome]) -> None:
        #: How the job ended; None if it was left before that.
        self.outcome: Outcome | None = None
        self._follow = follow
        self._events: queue.Queue[JSONObject | None] = queue.Queue(_HELD)
        self._flag = StopFlag()
        self._error: Exception | None = None
        self._read_out = False
        self._thread = threading.Thread(target=self._run, name="receptor-runner-following", daemon=True)

    def __repr__(self) -> str:
        state = self.outcome or ("following" if self._thread.is_alive() else "not following")
        return f"<Following {state}>"

    def _run(self) -> None:
        try:
            self.outcome = self._follow(event_handler=self._hand_over, flag=self._flag)
        except Exception as exc:
            self._error = exc
        self._hand_over(None)

    def _hand_over(self, event: JSONObject | None) -> bool:
        """Waits until there is room, or nobody reads any more."""
        while not self._flag.raised:
            try:
                self._events.put(event, timeout=_LOOK_SECONDS)
                return True
            except queue.Full:
                continue
        if event is None:
            for _ in range(2):  # a reader may have been given up while it waited
                self._make_room()
                self._events.put(None)
        return True

    def _make_room(self) -> None:
        while self._events.full():
            try:
                self._events.get_nowait()
            except queue.Empty:
                return

    def __enter__(self) -> Following:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *exc: object) -> None:
        """:raises ReceptorRunnerError: the job could not be followed."""
        if not self._read_out:
            self._flag.raise_(signal.SIGHUP)
        self._thread.join()
        self._flag.close()
        if self._error is not None and kind is None and not isinstance(self._error, DetachedError):
            raise self._error

    def __iter__(self) -> Following:
        return self

    def __next__(self) -> JSONObject:
        event = self._events.get()
        if event is None:
            self._conclude()
            raise StopIteration
        return event

    def _conclude(self) -> None:
        """All events were read."""
        self._read_out = True
        self._events.put(None)  # for who asks again
        if self._error is not None:
            raise self._error

    async def __aenter__(self) -> Following:
        return self.__enter__()

    async def __aexit__(self, kind: type[BaseException] | None, *exc: object) -> None:
        await asyncio.to_thread(self.__exit__, kind, *exc)

    def __aiter__(self) -> Following:
        return self

    async def __anext__(self) -> JSONObject:
        event: Any = await asyncio.to_thread(self._events.get)
        if event is None:
            self._conclude()
            raise StopAsyncIteration
        return event  # type: ignore[no-any-return]
