"""A sink that works in a thread of its own, behind a queue with a bound.

Rules: events are delivered without waiting for such a sink, and the end of a job waits for it for a bounded time. What
does not fit into the queue is dropped and counted, and so is everything after an error. The log says once, when the
job has ended, how much was dropped."""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
from typing import NamedTuple

from ..stream.messages import JSONObject
from .sinks import EventSink

__all__ = ["QueuedSink"]

logger = logging.getLogger(__name__)

#: How long the end of a job waits for what is still in the queue, in seconds.
_CLOSE_SECONDS = 5.0


class _Call(NamedTuple):
    method: str
    arguments: tuple[object, ...]


class QueuedSink(EventSink):
    """Tells ``sink`` from a thread.

    :param size: the most calls that may wait for it.
    :param close_seconds: how long :meth:`close` waits for them, in seconds.
    """

    def __init__(self, sink: EventSink, size: int, close_seconds: float = _CLOSE_SECONDS) -> None:
        #: How many calls the sink did not get.
        self.dropped = 0
        #: The first error of the sink.
        self.error: Exception | None = None
        self._sink = sink
        self._queue: queue.Queue[_Call | None] = queue.Queue(size)
        self._close_seconds = close_seconds
        self._thread = threading.Thread(target=self._work, name=f"sink-{type(sink).__name__}", daemon=True)
        self._thread.start()

    def event(self, name: str, data: JSONObject, raw: bytes) -> bool:
        self._put("event", name, dict(data), raw)
        return True

    def status(self, data: JSONObject) -> None:
        self._put("status", data)

    def artifacts(self, directory: str) -> None:
        self._put("artifacts", directory)

    def finished(self, result: object) -> None:
        self._put("finished", result)

    def flush(self) -> None:
        with contextlib.suppress(queue.Full):  # a full queue is not quiet: another flush will come
            self._queue.put_nowait(_Call("flush", ()))

    def close(self) -> None:
        until = time.monotonic() + self._close_seconds
        with contextlib.suppress(queue.Full):
            self._queue.put(None, timeout=self._close_seconds)
        self._thread.join(max(0.0, until - time.monotonic()))
        if self._thread.is_alive():
            self.dropped += self._queue.qsize()
        if self.dropped or self.error is not None:
            reason = f": {self.error!r}" if self.error is not None else " because it was too slow"
            logger.warning("%s missed %d results of the job%s", type(self._sink).__name__, self.dropped, reason)

    def _put(self, method: str, *arguments: object) -> None:
        try:
            self._queue.put_nowait(_Call(method, arguments))
        except queue.Full:
            self.dropped += 1

    def _work(self) -> None:
        while (call := self._queue.get()) is not None:
            if self.error is not None:
                self.dropped += call.method != "flush"
                continue
            try:
                getattr(self._sink, call.method)(*call.arguments)
            except Exception as exc:
                self.error = exc
                self.dropped += 1
        with contextlib.suppress(Exception):
            self._sink.close()
