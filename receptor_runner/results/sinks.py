"""Where a job's results go: any number of sinks, each told in turn.

Rules: sinks are told in order, and one that answers an event with false keeps it from those behind it. An error of an
essential sink ends whoever delivers, and not the job. Any other sink that raises is told about once, in the log, and
gets nothing more: a sink cannot harm the job. What is printed or handled never decides how a job ended."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from ..stream.messages import JSONObject
from ..stream.status import UNSTARTED
from .artifact_dir import event_file_name

__all__ = ["EventSink", "Sinks"]

logger = logging.getLogger(__name__)


class EventSink:
    """Takes the results of one job. A method that a sink does not define does nothing."""

    #: Whether results that this sink cannot take end whoever delivers them.
    essential = False
    #: Whether this sink may change the data of an event. The sinks behind it do not get the line as it came, then.
    changes_events = False

    #: How many results it had taken and could not hand on, when it failed.
    lost = 0
    #: Whether this sink needs all events of a job, also those that came to an earlier follower.
    whole = False

    def event(self, name: str, data: JSONObject, raw: bytes) -> bool:
        """One job event. False keeps it from the sinks behind this one.

        :param name: what its file is called.
        :param raw: its line as it came, without the newline; empty if ``data`` may have been changed.
        """
        return True

    def status(self, data: JSONObject) -> None:
        """A status line."""

    def artifacts(self, directory: str) -> None:
        """The artifacts of the job are in ``directory``."""

    def finished(self, result: object) -> None:
        """The job has ended; ``result`` is what the caller gets."""

    def flush(self) -> None:
        """Nothing more came for now."""

    def wait(self, seconds: float) -> None:
        """Waits until what was told is taken, at most so long."""

    def close(self) -> None:
        """Nothing will come any more."""


class Sinks:
    """Hands the results of one job to ``sinks``, and counts what came."""

    def __init__(self, sinks: Iterable[EventSink]) -> None:
        #: The last status, and its line.
        self.status = UNSTARTED
        self.status_data: JSONObject = {}
        #: How many events came.
        self.events = 0
        #: The highest counter among them.
        self.highest = 0
        #: The data of ``playbook_on_stats``; None if that did not come.
        self.stats: JSONObject | None = None
        self._sinks = list(sinks)
        self._holding = any(type(sink).flush is not EventSink.flush for sink in self._sinks)

    def resume(self, events: int, status_data: JSONObject, stats: JSONObject | None) -> None:
        """Goes on where the sinks of another process stopped."""
        self.events = events
        self.status_data = status_data
        self.status = str(status_data.get("status", UNSTARTED))
        self.stats = stats

    def mute(self, sink: EventSink | None) -> None:
        """``sink`` gets nothing from here on."""
        self._sinks = [one for one in self._sinks if one is not sink]

    def event(self, data: JSONObject, raw: bytes) -> None:
        """:raises OutputError: an essential sink cannot take it."""
        name = event_file_name(data.get("counter"), data.get("uuid"))
        if name is None:
            logger.warning("an event without a usable counter and uuid is left out: %.200r", raw)
            return
        self.events += 1
        self.highest = max(self.highest, data["counter"])
        if data.get("event") == "playbook_on_stats":
            found = data.get("event_data")
            self.stats = dict(found) if isinstance(found, dict) else None
        for sink in self._sinks:
            try:
                if not sink.event(name, data, raw):
                    return
                if sink.changes_events:
                    raw = b""
            except Exception as exc:
                self._failed(sink, exc)

    def status_change(self, data: JSONObject) -> None:
        status = data["status"]
        self.status = status if isinstance(status, str) else str(status)
        self.status_data = data
        self._tell("status", data)

    def artifacts_ready(self, directory: str) -> None:
        self._tell("artifacts", directory)

    def finished(self, result: object) -> None:
        self._tell("finished", result)

    def flush(self) -> None:
        """Called after each piece of the stream, so it costs nothing for sinks that hold nothing back."""
        if self._holding:
            self._tell("flush")

    def close(self) -> None:
        self._tell("close")

    def _tell(self, what: str, *arguments: object) -> None:
        for sink in self._sinks:
            try:
                getattr(sink, what)(*arguments)
            except Exception as exc:
                self._failed(sink, exc)

    def _failed(self, sink: EventSink, exc: Exception) -> None:
        if sink.essential:
            raise exc
        logger.warning("%s failed and gets nothing more of this job: %r", type(sink).__name__, exc)
        self.mute(sink)
