"""Hosts and tasks of a running job, live on a terminal: what ``--view`` shows instead of the output.

Rules: it is drawn four times a second, with what the terminal has room for, and wiped in the end and before anything
else is written there. What runs comes first, the longest first, then what failed."""

from __future__ import annotations

import collections
import time
from typing import TYPE_CHECKING

from ..results.history import CHANGED, FAILED, IGNORED, OK, SKIPPED, UNREACHABLE, HostTask, JobHistory
from ..results.sinks import EventSink
from ..results.terminal import one_line, plain
from ..stream.messages import JSONObject
from .progress import Progress, clock

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

__all__ = ["LiveView"]

_TICK_SECONDS = 0.25
#: How an outcome is drawn.
_MARKS = {OK: ".", CHANGED: "~", SKIPPED: "-", IGNORED: "i", UNREACHABLE: "U", FAILED: "F"}
_COLOURS = {
    OK: "green",
    CHANGED: "yellow",
    SKIPPED: "cyan",
    IGNORED: "magenta",
    UNREACHABLE: "magenta",
    FAILED: "red",
}
_LEGEND = "  ".join(f"{mark} {outcome}" for outcome, mark in _MARKS.items())
_MOST_MARKS = 40
_SHOWN_FAILURES = 4
_TOLD_FAILURES = 10
#: Events of a job without tasks.
_MOST_SAID = 20
_SLOWEST = 3
#: Lines that stay free, and how many make a terminal roomy.
_FREE_LINES = 2
_ROOMY = 14
_LONGEST_NAME = 40


class LiveView(Progress):
    """:param where: what runs the job."""

    def __init__(self, where: str) -> None:
        super().__init__()
        from rich.console import Console
        from rich.live import Live

        self._where = where
        self._begun = time.monotonic()
        self._state = "starting"
        self._history = JobHistory()
        self._said: collections.deque[str] = collections.deque(maxlen=_MOST_SAID)
        self._marks: dict[str, collections.deque[str]] = {}
        self._failures: list[HostTask] = []
        self._slowest: list[HostTask] = []
        #: When each running task was heard of, by our clock.
        self._since: dict[str, tuple[HostTask, float]] = {}
        self._console = Console(stderr=True)
        self._live = Live(
            console=self._console, auto_refresh=False, transient=True, redirect_stderr=False, redirect_stdout=False
        )
        self._begin(_TICK_SECONDS)

    def state(self, state: str) -> None:
        self._state = state

    def heard(self, data: JSONObject) -> None:
        super().heard(data)
        done = self._history.take(data)
        if not self._history.tasks and isinstance(data.get("stdout"), str):
            self._said.append(data["stdout"])
        begun = self._history.begun_by(data)
        if begun is not None:
            self._since[begun.host] = begun, time.monotonic()
        if done is not None:
            self._since.pop(done.host, None)
            self._marks.setdefault(done.host, collections.deque(maxlen=_MOST_MARKS)).append(done.outcome)
            if done.outcome in (FAILED, UNREACHABLE):
                self._failures.append(done)
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
        """What failed first stays on the terminal, and so does the output of a job that came to no task."""
        with self.lock:
            super().close()
            if self._counts():
                self._console.print(_text(f"hosts: {self._counts()}"))
            failed = [one for one in self._failures if one.outcome in (FAILED, UNREACHABLE)]
            for one in failed[:_TOLD_FAILURES]:
                self._console.print(_told(one))
            if len(failed) > _TOLD_FAILURES:
                self._console.print(
                    _text(f" ... and {len(failed) - _TOLD_FAILURES} more: receptor-runner report", "dim")
                )
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
        """What there is room for: what runs first, then what failed, then what was slow, then the rest."""
        from rich.console import Group

        history = self._history
        head = f"{history.playbook or 'job'} on {self._where}: {self._state} {clock(time.monotonic() - self._begun)}"
        if history.question:
            head += f"; it asks: {history.question}"
        parts: list[RenderableType] = [_text(one_line(head), "bold"), _text(f"hosts: {self._counts() or 'none yet'}")]
        room = max(1, self._console.height - len(parts) - _FREE_LINES)
        failed = self._listed("failed", self._failures[-_SHOWN_FAILURES:], room // 3)
        slow = self._listed("slowest", self._slowest, room // 3 if room > _ROOMY else 0)
        legend = [_text(_LEGEND, "dim")] if room > _ROOMY else []
        rest = room - len(failed) - len(slow) - len(legend)
        return Group(*parts, self._hosts(max(1, rest)), *failed, *slow, *legend)

    def _counts(self) -> str:
        return ", ".join(f"{count} {name}" for name, count in self._history.totals().items() if count)

    @staticmethod
    def _listed(title: str, found: list[HostTask], room: int) -> list[Text]:
        """As many as there is room for, with their title; none if there is none."""
        if not found or room < 2:
            return []
        return [_text(f"{title}:", "dim"), *map(_told, found[-(room - 1) :])]

    def _hosts(self, room: int) -> Table:
        from rich.table import Table

        history, now = self._history, time.monotonic()
        table = Table(box=None, padding=(0, 1), show_header=False, expand=False)
        for _ in range(3):
            table.add_column(no_wrap=True, overflow="ellipsis")
        running = [host for host, _ in sorted(self._since.items(), key=lambda pair: pair[1][1])]
        known = set(running)
        failed = [host for host in history.failed_hosts() if host not in known]
        known |= set(failed)
        names = [*running, *failed, *(host for host in self._marks if host not in known)]
        shown = names if len(names) <= room else names[: max(1, room - 1)]
        for host in shown:
            task = _text("")
            if host in self._since:
                one, since = self._since[host]
                items = f", {one.items} items" if one.items else ""
                task = _text(one_line(f"{one.task.name} {clock(now - since)}{items}"))
            table.add_row(_text(one_line(host)[:_LONGEST_NAME]), self._line(host), task)
        if len(names) > len(shown) and room > 1:
            table.add_row(_text(f"... and {len(names) - len(shown)} more", "dim"))
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
