"""One line on a terminal that says what is going on; nothing anywhere else.

Rules: it goes to standard error, and only if that is a terminal. The job's own output comes first: the line is wiped
before it and drawn again after it, a few times a second at most."""

from __future__ import annotations

import os
import shutil
import sys
import time
from typing import TextIO

from ..results.sinks import EventSink
from ..results.terminal import one_line
from ..stream.messages import JSONObject

__all__ = ["Progress", "progress"]

_REDRAW_SECONDS = 0.2
_CLEAR = "\r\x1b[K"
_UNITS = ("B", "kB", "MB", "GB", "TB")


class Progress:
    """Shows nothing; what a pipe or file gets."""

    def sent(self, size: int) -> None:
        """So many bytes of the payload have left."""

    def state(self, state: str) -> None:
        """The job is in this state now."""

    def close(self) -> None:
        """Wipes the line."""

    def wrap(self, printer: EventSink | None) -> EventSink | None:
        """``printer``, taking turns with the line."""
        return printer


class _TerminalProgress(Progress):
    def __init__(self, where: str) -> None:
        self._where = where
        self._begun = time.monotonic()
        self._drawn_at = 0.0
        self._state = "starting"
        self._sent = 0
        self._hosts: set[str] = set()
        self._tasks = 0
        self._shown = False

    def sent(self, size: int) -> None:
        self._sent = size
        self._state = "sending"
        self.draw()

    def state(self, state: str) -> None:
        self._state = state
        self.draw(at_once=True)

    def count(self, data: JSONObject) -> None:
        details = data.get("event_data")
        if not isinstance(details, dict):
            return
        if str(data.get("event", "")).startswith("playbook_on_task"):
            self._tasks += 1
        host = details.get("host")
        if isinstance(host, str):
            self._hosts.add(host)

    def clear(self) -> None:
        if self._shown:
            self._shown = False
            self._write(_CLEAR)

    close = clear

    def draw(self, *, at_once: bool = False) -> None:
        now = time.monotonic()
        if not at_once and now - self._drawn_at < _REDRAW_SECONDS:
            return
        self._drawn_at = now
        width = shutil.get_terminal_size().columns - 1
        self._write(_CLEAR + one_line(self._text(now))[:width])
        self._shown = True

    def _text(self, now: float) -> str:
        elapsed = now - self._begun
        if self._state == "sending":
            rate = self._sent / elapsed if elapsed > 0 else 0.0
            return f"{self._where}: sent {_size(self._sent)}, {_size(rate)}/s"
        minutes, seconds = divmod(int(elapsed), 60)
        counted = f", {len(self._hosts)} hosts, {self._tasks} tasks" if self._tasks else ""
        return f"{self._where}: {self._state}{counted}, {minutes}:{seconds:02}"

    @staticmethod
    def _write(text: str) -> None:
        try:
            sys.stderr.write(text)
            sys.stderr.flush()
        except (OSError, ValueError):
            return

    def wrap(self, printer: EventSink | None) -> EventSink | None:
        return _TurnTaker(self, printer)


class _TurnTaker(EventSink):
    def __init__(self, line: _TerminalProgress, printer: EventSink | None) -> None:
        self._line = line
        self._printer = printer

    def event(self, name: str, data: JSONObject, raw: bytes) -> bool:
        self._line.count(data)
        if self._printer is not None:
            self._line.clear()
            self._printer.event(name, data, raw)
        return True

    def flush(self) -> None:
        if self._printer is not None:
            self._printer.flush()
        self._line.draw()


def _size(count: float) -> str:
    unit = 0
    while count >= 1000 and unit < len(_UNITS) - 1:
        count /= 1000
        unit += 1
    return f"{count:.0f} {_UNITS[unit]}" if unit == 0 else f"{count:.1f} {_UNITS[unit]}"


def progress(where: str, stream: TextIO | None = None) -> Progress:
    """For the terminal on standard error, if there is one."""
    stream = stream or sys.stderr
    try:
        terminal = stream.isatty() and os.environ.get("TERM") != "dumb"
    except (AttributeError, OSError, ValueError):
        terminal = False
    return _TerminalProgress(where) if terminal else Progress()
