"""One line on a terminal that says what is going on. Anywhere else, a job that asks something is told about, once.

Rules: the line goes to standard error, and only if that is a terminal that can wipe a line. The job's own output comes
first: the line is wiped before it and drawn again after it. It ticks by itself, once a second. Whatever else this
process writes to standard error wipes it first."""

from __future__ import annotations

import os
import re
import sys
import threading
import time
from typing import TextIO

from ..results.questions import last_line
from ..results.sinks import EventSink
from ..results.terminal import one_line
from ..stream.messages import JSONObject
from .context import about

__all__ = ["Progress", "clock", "on_terminal", "progress"]

_REDRAW_SECONDS = 0.2
_TICK_SECONDS = 1.0
#: A job that says nothing for so long is quiet, and one whose last line has no end then may be asking something.
_QUIET_SECONDS = 5.0
_CLEAR = "\r\x1b[K"
_UNITS = ("B", "kB", "MB", "GB", "TB")
_LONGEST_QUESTION = 60
_USUAL_COLUMNS = 80


class Progress:
    """Shows nothing of what goes on, and tells of a question: what a pipe or file gets. Used by two threads: the one
    that follows the job, and the one that ticks, or waits for an answer that nobody gives.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._heard_at = time.monotonic()
        self._question = ""
        self._asked = False
        self._waiting: threading.Timer | None = None
        self._over = threading.Event()

    def _begin(self, seconds: float) -> None:
        """It is drawn every so many seconds from now on, and wiped before anything else is written there."""
        about.wipe = self.clear
        threading.Thread(target=self._tick, args=(seconds,), daemon=True).start()

    def _tick(self, seconds: float) -> None:
        while not self._over.wait(seconds):
            self.draw(at_once=True)

    def sent(self, size: int) -> None:
        """So many bytes of the payload have left."""

    def state(self, state: str) -> None:
        """The job is in this state now."""

    def draw(self, *, at_once: bool = False) -> None:
        """Shows the line as it is now."""

    def clear(self) -> None:
        """Wipes the line."""

    def close(self) -> None:
        """Wipes the line for good."""
        with self.lock:
            self._stop_waiting()
            self._over.set()
            self.clear()
            about.wipe = about.nothing

    def heard(self, data: JSONObject) -> None:
        """One event of the job."""
        self._stop_waiting()
        self._heard_at = time.monotonic()
        self._asked = False
        self._question = last_line(data).question
        if self._question:
            self._waiting = threading.Timer(_QUIET_SECONDS, self._advise, (self._question,))
            self._waiting.daemon = True
            self._waiting.start()

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _advise(self, question: str) -> None:
        with self.lock:
            if self._question == question and self._waiting is not None:
                self._asked = True
                self.clear()
                _write(_advice(question))

    def wrap(self, printer: EventSink | None) -> EventSink | None:
        """``printer``, taking turns with the line."""
        return _TurnTaker(self, printer)


class _TerminalProgress(Progress):
    def __init__(self, where: str) -> None:
        super().__init__()
        self._where = where
        self._begun = self._heard_at
        self._drawn_at = 0.0
        self._state = "starting"
        self._sent = 0
        self._hosts: set[str] = set()
        self._tasks = 0
        self._shown = False
        self._begin(_TICK_SECONDS)

    def sent(self, size: int) -> None:
        self._sent = size
        self._state = "sending"
        self.draw()

    def state(self, state: str) -> None:
        self._state = state
        self.draw(at_once=True)

    def heard(self, data: JSONObject) -> None:
        super().heard(data)
        details = data.get("event_data")
        if not isinstance(details, dict):
            return
        if str(data.get("event", "")).startswith("playbook_on_task"):
            self._tasks += 1
        host = details.get("host")
        if isinstance(host, str):
            self._hosts.add(host)

    def clear(self) -> None:
        with self.lock:
            if self._shown:
                self._shown = False
                _write(_CLEAR)

    def draw(self, *, at_once: bool = False) -> None:
        now = time.monotonic()
        with self.lock:
            if self._over.is_set() or (not at_once and now - self._drawn_at < _REDRAW_SECONDS):
                return
            self._drawn_at = now
            quiet = now - self._heard_at
            _write(_CLEAR + _fitting(self._text(now, quiet), _columns() - 1))
            self._shown = True

    def _text(self, now: float, quiet: float) -> list[str]:
        """The most important first."""
        elapsed = now - self._begun
        if self._state == "sending":
            rate = self._sent / elapsed if elapsed > 0 else 0.0
            return [f"{self._where}: sent {_size(self._sent)}", f"{_size(rate)}/s"]
        state = "asks" if self._asked else self._state
        parts = [f"{self._where}: {state} {clock(elapsed)}"]
        if quiet >= _QUIET_SECONDS:
            parts.append(f"quiet {clock(quiet)}")
        if self._tasks:
            parts += [_count(self._tasks, "task"), _count(len(self._hosts), "host")]
        return parts


class _TurnTaker(EventSink):
    def __init__(self, line: Progress, printer: EventSink | None) -> None:
        self._line = line
        self._printer = printer

    def event(self, name: str, data: JSONObject, raw: bytes) -> bool:
        with self._line.lock:
            self._line.heard(data)
            if self._printer is not None:
                self._line.clear()
                self._printer.event(name, data, raw)
        return True

    def flush(self) -> None:
        with self._line.lock:
            if self._printer is not None:
                self._printer.flush()
            self._line.draw()


def _write(text: str) -> None:
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except (AttributeError, OSError, ValueError):
        return


def _advice(question: str) -> str:
    short = question[-_LONGEST_QUESTION:]
    return (
        f"receptor-runner: the job waits, and its last line looks like a question: {short}\n"
        f"receptor-runner: only DIR/env/passwords answers it, with a line like '{re.escape(short)}': ANSWER\n"
    )


def clock(seconds: float) -> str:
    """``1:02``, or ``1:01:02`` from an hour on."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _fitting(parts: list[str], width: int) -> str:
    """As many of the parts as there is room for."""
    line = one_line(parts[0])[:width]
    for part in map(one_line, parts[1:]):
        if len(line) + 2 + len(part) > width:
            break
        line += f", {part}"
    return line


def _columns() -> int:
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or _USUAL_COLUMNS
    except (OSError, ValueError):
        return _USUAL_COLUMNS


def _size(count: float) -> str:
    unit = 0
    while count >= 1000 and unit < len(_UNITS) - 1:
        count /= 1000
        unit += 1
    return f"{count:.0f} {_UNITS[unit]}" if unit == 0 else f"{count:.1f} {_UNITS[unit]}"


def progress(where: str, stream: TextIO | None = None) -> Progress:
    """For the terminal on standard error, if there is one."""
    return _TerminalProgress(where) if on_terminal(stream) else Progress()


def on_terminal(stream: TextIO | None = None) -> bool:
    """Whether standard error is a terminal that can wipe a line."""
    stream = stream or sys.stderr
    try:
        return stream.isatty() and os.environ.get("TERM") != "dumb"
    except (AttributeError, OSError, ValueError):
        return False
