"""The last step of a job's way: printer, handlers, event files.

Rules: the only place where a caller's handlers are called. A handler that raises is not called again; the job goes on
being read and saved, and ends as ``error`` with the traceback. What is printed or handled never decides whether it is
saved, except that an event handler's false answer means no event file (ansible-runner's rule). Handlers may change the
event: what they leave is saved."""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..errors import ReceptorRunnerError
from ..stream.messages import JSONObject
from ..stream.status import ERROR, STARTING, UNSTARTED, error_status
from .artifact_dir import ArtifactDir, event_file_name
from .printer import Printer

__all__ = ["Delivery", "Handlers", "RunnerConfig"]

logger = logging.getLogger(__name__)


@dataclass
class Handlers:
    """A caller's functions, with the arguments that ansible-runner gives them."""

    event: Callable[[JSONObject], Any] | None = None
    status: Callable[..., Any] | None = None
    artifacts: Callable[[str], Any] | None = None
    finished: Callable[[Any], Any] | None = None


@dataclass
class RunnerConfig:
    """What status handlers get as ``runner_config``."""

    settings: JSONObject
    command: Any = None
    env: Any = None
    cwd: Any = None


class Delivery:
    """Delivers one job. ``artifacts`` None: no event files."""

    def __init__(
        self, handlers: Handlers, config: RunnerConfig, artifacts: ArtifactDir | None, printer: Printer | None
    ) -> None:
        self.status = UNSTARTED
        #: The last status line.
        self.status_data: JSONObject = {}
        #: Events taken.
        self.events = 0
        self.stats: JSONObject | None = None
        #: The traceback of the first handler that raised.
        self.handler_error: str | None = None
        self._handler_error_told = False
        self.config = config
        self._handlers = handlers
        self._artifacts = artifacts
        #: None: nothing is printed.
        self.printer = printer

    def resume(self, events: int, status_data: JSONObject, stats: JSONObject | None) -> None:
        """Goes on where another delivery of the same job stopped."""
        self.events = events
        self.status_data = status_data
        self.status = str(status_data.get("status", UNSTARTED))
        self.stats = stats

    def event(self, data: JSONObject, raw: bytes) -> None:
        """:raises OutputError: the event file cannot be written."""
        name = event_file_name(data.get("counter"), data.get("uuid"))
        if name is None:
            logger.warning("an event without a usable counter and uuid is left out: %.200r", raw)
            return
        self.events += 1
        if data.get("event") == "playbook_on_stats":
            found = data.get("event_data")
            self.stats = dict(found) if isinstance(found, dict) else None
        if self.printer is not None:
            self.printer.event(data, raw)
        wanted: Any = True
        if self._handlers.event is not None:
            wanted = self._call("event", data)
            raw = b""
        if wanted and self._artifacts is not None:
            self._artifacts.write_event(name, raw or json.dumps(data, default=str).encode())

    def status_change(self, data: JSONObject) -> None:
        status = data["status"]
        self.status = status if isinstance(status, str) else str(status)
        self.status_data = data
        if self.status == STARTING:
            self.config.command = data.get("command")
            self.config.env = data.get("env")
            self.config.cwd = data.get("cwd")
        if self._handlers.status is not None:
            self._call("status", data, runner_config=self.config)

    def artifacts_ready(self, directory: str) -> None:
        if self._handlers.artifacts is not None:
            self._call("artifacts", directory)

    def finished(self, result: Any) -> None:
        if self._handlers.finished is not None:
            self._call("finished", result)

    def handler_failed(self, ident: str | None = None) -> bool:
        """Turns the first error of a handler into the status of the job, once, unless the job has an error of its own;
        whether it did so now.
        """
        if self.handler_error is None or self._handler_error_told or self.status == ERROR:
            return False
        self._handler_error_told = True
        text = "a handler of the controller failed: " + self.handler_error.strip().splitlines()[-1]
        self.status_change(error_status(text, self.handler_error, ReceptorRunnerError.exit_code, ident))
        return True

    def flush(self) -> None:
        if self.printer is not None:
            self.printer.flush()

    def _call(self, kind: str, *arguments: Any, **named: Any) -> Any:
        try:
            return getattr(self._handlers, kind)(*arguments, **named)
        except Exception:
            setattr(self._handlers, kind, None)
            if self.handler_error is None:
                self.handler_error = traceback.format_exc()
            return True
