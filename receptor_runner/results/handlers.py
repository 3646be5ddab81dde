"""A caller's handlers as a sink.

Rules: this is the only place where a caller's functions are called, with the arguments that ansible-runner gives them.
A handler that raises is not called again, and the others are. The first error is told when the job has ended."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..job.runner_config import RunnerConfig
from ..stream.messages import JSONObject
from ..stream.status import STARTING
from .sinks import EventSink

__all__ = ["HandlerSink", "Handlers"]


@dataclass
class Handlers:
    """A caller's functions; each may be missing."""

    event: Callable[[JSONObject], object] | None = None
    status: Callable[..., object] | None = None
    artifacts: Callable[[str], object] | None = None
    finished: Callable[[Any], object] | None = None


class HandlerSink(EventSink):
    """Calls ``handlers``. A false answer to an event means no event file, as with ansible-runner."""

    def __init__(self, handlers: Handlers, config: RunnerConfig) -> None:
        #: The traceback of the first handler that raised.
        self.error: str | None = None
        self.changes_events = handlers.event is not None
        self._handlers = handlers
        self._config = config

    def event(self, name: str, data: JSONObject, raw: bytes) -> bool:
        """The handler may change the event: what it leaves goes on, not the line that came."""
        return self._handlers.event is None or bool(self._call("event", data))

    def status(self, data: JSONObject) -> None:
        if data["status"] == STARTING:
            self._config.ident = str(data.get("runner_ident") or self._config.ident)
            self._config.command = data.get("command")
            self._config.env = data.get("env") or {}
            self._config.cwd = data.get("cwd")
        self._call("status", data, runner_config=self._config)

    def artifacts(self, directory: str) -> None:
        self._call("artifacts", directory)

    def finished(self, result: object) -> None:
        self._call("finished", result)

    def _call(self, kind: str, *arguments: object, **named: object) -> object:
        handler = getattr(self._handlers, kind)
        if handler is None:
            return True
        try:
            return handler(*arguments, **named)
        except Exception:
            setattr(self._handlers, kind, None)
            if self.error is None:
                self.error = traceback.format_exc()
            return True
