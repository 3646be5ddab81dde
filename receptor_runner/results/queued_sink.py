"""A sink that works in a thread of its own, behind a queue with a bound.

Rules: results are delivered without waiting for such a sink. What does not fit into the queue, by number or by bytes,
is dropped and counted, and so is everything after an error. Whoever made it waits for it at the end, for a bounded
time, and the log says once how much was dropped."""

from __future__ import annotations

import collections
import contextlib
import logging
import threading
from typing import NamedTuple

from ..errors import ReceptorRunnerError, reason_of
from ..stream.messages import JSONObject
from .sinks import EventSink

__all__ = ["SETTLE_SECONDS", "QueuedSink"]

logger = logging.getLogger(__name__)

#: How much may wait: calls, and bytes of the lines of events.
_MOST_CALLS = 10_000
_MOST_BYTES = 16 * 1024 * 1024
#: How long the end of a job waits for its sinks, in seconds.
SETTLE_SECONDS = 10.0


class _Call(NamedTuple):
    method: str
    arguments: tuple[object, ...]
    size: int


class QueuedSink(EventSink):
    """Tells ``sink`` from a thread.

    :param size: the most calls that may wait for it.
    :param most_bytes: the most that the events that wait may have.
    :param seconds: how long :meth:`settle` waits for them, in seconds.
    :param name: what the log calls it.
    """

    def __init__(
        self,
        sink: EventSink,
        size: int = _MOST_CALLS,
        *,
        most_bytes: int = _MOST_BYTES,
        seconds: float = SETTLE_SECONDS,
        name: str = "",
    ) -> None:
        #: How many calls the sink did not get.
        self.dropped = 0
        #: The first error of the sink.
        self.error: Exception | None = None
        self.whole = sink.whole
        self._sink = sink
        self._size, self._most_bytes, self._seconds = size, most_bytes, seconds
        self._name = name or type(sink).__name__
        self._calls: collections.deque[_Call] = collections.deque()
        self._held = 0
        self._closed = False
        self._settled = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name=f"sink-{self._name}", daemon=True)
        self._thread.start()

    def event(self, name: str, data: JSONObject, raw: bytes) -> bool:
        self._put("event", name, dict(data), raw, size=len(raw))
        return True

    def status(self, data: JSONObject) -> None:
        self._put("status", data)

    def artifacts(self, directory: str) -> None:
        self._put("artifacts", directory)

    def finished(self, result: object) -> None:
        """The last call has room for itself: a sink that was slow still hears of the end."""
        self._put("finished", result, extra=True)

    def flush(self) -> None:
        with self._changed:
            if not self._calls or self._calls[-1].method != "flush":
                self._add(_Call("flush", (), 0), extra=True)

    def wait(self, seconds: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: not self._calls or self.error is not None, seconds)

    def close(self) -> None:
        """Nothing will come any more. Does not wait."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def settle(self, seconds: float | None = None) -> None:
        """Waits for what is still in the queue, and says what was dropped.

        :param seconds: how long; default: what was given when it was made.
        """
        self.close()
        if self._settled:
            return
        self._settled = True
        self._thread.join(self._seconds if seconds is None else seconds)
        with self._changed:
            late = self._thread.is_alive()
            self.dropped += sum(call.method != "flush" for call in self._calls) + late
            self._calls.clear()
        if self.dropped or self.error is not None:
            reason = _reason(self.error)
            what = "result" if self.dropped == 1 else "results"
            logger.warning("the sink %s missed %d %s of the job: %s", self._name, self.dropped, what, reason)

    def _put(self, method: str, *arguments: object, size: int = 0, extra: bool = False) -> None:
        with self._changed:
            self._add(_Call(method, arguments, size), extra=extra)

    def _add(self, call: _Call, *, extra: bool) -> None:
        if self._closed or (
            not extra and (len(self._calls) >= self._size or self._held + call.size > self._most_bytes)
        ):
            self.dropped += call.method != "flush"
            return
        self._held += call.size
        self._calls.append(call)
        self._changed.notify_all()

    def _next(self) -> _Call | None:
        with self._changed:
            while not self._calls:
                if self._closed:
                    return None
                self._changed.wait()
            return self._calls.popleft()

    def _work(self) -> None:
        while (call := self._next()) is not None:
            if self.error is None:
                try:
                    getattr(self._sink, call.method)(*call.arguments)
                except Exception as exc:
                    self.error = exc
                    self.dropped += max(1, self._sink.lost)
            else:
                self.dropped += call.method != "flush"
            with self._changed:
                self._held -= call.size
                self._changed.notify_all()
        with contextlib.suppress(Exception):
            self._sink.close()


def _reason(error: Exception | None) -> str:
    """Why results were missed."""
    if error is None:
        return "it was too slow"
    return reason_of(error) if isinstance(error, (ReceptorRunnerError, OSError)) else repr(error)
