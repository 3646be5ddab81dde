"""Hosts and tasks of a running job, live on a terminal: what ``--view`` shows instead of the output.

Rules: it is drawn four times a second, with what the terminal has room for, and wiped in the end and before anything
else is written there. What needs somebody comes first: hosts that failed, then those that have worked longest."""

from __future__ import annotations

import collections
import threading
import time
from typing import TYPE_CHECKING, Any

from ..errors import ConfigurationError
from ..results.history import CHANGED, FAILED, IGNORED, OK, SKIPPED, UNREACHABLE, HostTask, JobHistory
from ..results.sinks import EventSink
from ..results.terminal import one_line, plain
from ..stream.messages import JSONObject
from .context import about
from .progress import Progress, clock

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

__all__ = ["LiveView"]

_TICK_SECONDS = 0.25
#: How an outcome is drawn.
_MARKS = {OK: ".", CHANGED: "~", SKIPPED: "-", IGNORED: "i", UNREACHABLE: "U", FAILED: "F"}
_COLOURS = {OK: "green", CHANGED: "yellow", SKIPPED: "cyan", IGNORED: "magenta", UNREACHABLE: "magenta", FAILED: "red"}
_MOST_MARKS = 40
_FAILURES = 4
#: Events of a job without tasks.
_MOST_SAID = 20
_SLOWEST = 3
#: Lines that are no hosts: head, recap, titles, and a line that stays free.
_OTHER_LINES = 8
_LONGEST_NAME = 40


class LiveView(Progress):
    """:param where: what runs the job.
    :raises ConfigurationError: rich is not installed.
    """

    def __init__(self, where: str) -> None:
        super().__init__()
        try:
            from rich.console import Console
            from rich.live import Live
        except ImportError as exc:
            raise ConfigurationError("--view needs rich", hint="pip install 'receptor-runner[view]'") from exc
        self._where = where
        self._begun = time.monotonic()
        self._state = "starting"
        self._history = JobHistory()
        self._said: collections.deque[str] = collections.deque(maxlen=_MOST_SAID)
        self._marks: dict[str, collections.deque[str]] = {}
        self._failures: list[HostTask] = []
        self._slowest: list[HostTask] = []
        #: When each running task was heard of, by our clock.
        self._since: dict[str, tuple[Any, float]] = {}
        self._console = Console(stderr=True)
        self._live = Live(
            console=self._console, auto_refresh=False, transient=True, redirect_stderr=False, redirect_stdout=False
        )
        self._over = threading.Event()
        about.wipe = self.clear
        threading.Thread(target=self._tick, daemon=True).start()

    def _tick(self) -> None:
        while not self._over.wait(_TICK_SECONDS):
            self.draw()

    def state(self, state: str) -> None:
        self._state = state

    def heard(self, data: JSONObject) -> None:
        super().heard(data)
        done = self._history.take(data)
        if not self._history.tasks and isinstance(data.get("stdout"), str):
            self._said.append(data["stdout"])
        running = {one.host: one for one in self._history.running} if data.get("event") == "runner_on_start" else None
        if running is not None:
            now = time.monotonic()
            known = self._since
            self._since = {
                host: known[host] if host in known and known[host][0] is one else (one, now)
                for host, one in running.items()
            }
        if done is not None:
            self._since.pop(done.host, None)
            self._marks.setdefault(done.host, collections.deque(maxlen=_MOST_MARKS)).append(done.outcome)
            if done.outcome in (FAILED, UNREACHABLE):
                self._failures = [*self._failures, done][-_FAILURES:]
            slow = sorted([*self._slowest, done], key=lambda one: one.seconds or 0.0, reverse=True)
            self._slowest = slow[:_SLOWEST]

    def wrap(self, printer: EventSink | None) -> EventSink | None:
        """The output itself is not printed."""
        return _Listener(self)

    def clear(self) -> None:
        with self.lock:
            if self._live.is_started:
                self._live.stop()

    def close(self) -> None:
        """What failed stays on the terminal, and so does the output of a job that came to no task."""
        with self.lock:
            super().close()
            self._over.set()
            self.clear()
            about.wipe = about.nothing
            for one in self._failures:
                self._console.print(_told(one))
            if not self._history.tasks and self._said:
                self._console.print(_text(plain("\n".join(self._said))))

    def draw(self, *, at_once: bool = False) -> None:
        with self.lock:
            if self._over.is_set():
                return
            if not self._live.is_started:
                self._live.start()
            self._live.update(self._picture(), refresh=True)

    def _picture(self) -> RenderableType:
        from rich.console import Group

        history = self._history
        head = f"{history.playbook or 'job'} on {self._where}: {self._state} {clock(time.monotonic() - self._begun)}"
        if history.question:
            head += f"; it asks: {history.question}"
        parts: list[RenderableType] = [_text(one_line(head), "bold")]
        counts = ", ".join(f"{count} {name}" for name, count in history.totals().items() if count)
        parts.append(_text(f"hosts: {counts or 'none yet'}"))
        parts.append(
            self._hosts(max(1, self._console.height - _OTHER_LINES - len(self._failures) - len(self._slowest)))
        )
        for title, found in (("failed", self._failures), ("slowest", self._slowest)):
            if found:
                parts.append(_text(f"{title}:", "dim"))
                parts += [_told(one) for one in found]
        return Group(*parts)

    def _hosts(self, room: int) -> Table:
        from rich.table import Table

        history, now = self._history, time.monotonic()
        table = Table(box=None, padding=(0, 1), show_header=False, expand=False)
        for _ in range(3):
            table.add_column(no_wrap=True, overflow="ellipsis")
        running = sorted(self._since.items(), key=lambda pair: pair[1][1])
        failed = [host for host in history.failed_hosts() if host not in self._since]
        rest = [host for host in self._marks if host not in self._since and host not in set(failed)]
        names = [*failed, *(host for host, _ in running), *rest]
        for host in names[:room]:
            task = _text("")
            if host in self._since:
                one, since = self._since[host]
                items = f", {one.items} items" if one.items else ""
                task = _text(one_line(f"{one.task.name} {clock(now - since)}{items}"))
            table.add_row(_text(one_line(host)[:_LONGEST_NAME]), self._line(host), task)
        if len(names) > room:
            table.add_row(_text(f"... and {len(names) - room} more", "dim"))
        return table

    def _line(self, host: str) -> Text:
        from rich.text import Text

        line = Text()
        for outcome in self._marks.get(host, ()):
            line.append(_MARKS[outcome], _COLOURS[outcome])
        return line


class _Listener(EventSink):
    def __init__(self, view: LiveView) -> None:
        self._view = view

    def event(self, name: str, data: JSONObject, raw: bytes) -> bool:
        with self._view.lock:
            self._view.heard(data)
        return True


def _text(text: str, style: str = "") -> Text:
    """One that is cut at the width of the terminal."""
    from rich.text import Text

    return Text(text, style=style, no_wrap=True, overflow="ellipsis")


def _told(one: HostTask) -> Text:
    text = f" {one.host}: {one.task.name}, {one.seconds or 0.0:.1f} s"
    if one.outcome in (FAILED, UNREACHABLE):
        text += f": {one.text.partition(chr(10))[0]}"
    return _text(one_line(text), _COLOURS[one.outcome])
