"""Collects what every form of a report is made of.

Rules: no IO. Results are kept without what they said; that goes to :class:`Details` as it comes, because it may be
large."""

from __future__ import annotations

import collections
import json
import time
from dataclasses import dataclass, field
from typing import Protocol

from ..results.history import FAILED, UNREACHABLE, HostTask, JobHistory
from ..results.masked_events import EventMasker
from ..results.terminal import plain
from ..stream.messages import JSONObject

__all__ = ["NO_FAULT", "Details", "JobReport", "ReportHead"]

_NOT_ENDED = "not ended"
#: States of a job that nobody need explain.
NO_FAULT = ("successful", "running", "pending", "detached", "unreachable", _NOT_ENDED)
#: How much of what one result said is kept, and of what no host said, in characters.
_LONGEST_OUTPUT = 60_000
_LONGEST_REST = 200_000
#: Failures are told in full, so many of them.
_MOST_FAILURES = 1000
_UNTOLD = ("invocation", "_ansible_no_log", "ansible_facts", "diff")


@dataclass(frozen=True)
class ReportHead:
    """What is known of a job beside its events. ``state`` is empty if that is not known."""

    job: str
    state: str = ""
    rc: int | None = None
    explanation: str = ""
    node: str = ""
    #: Whether it may still go on.
    goes_on: bool = False


class Details(Protocol):
    """Keeps what results said."""

    def add(self, result: HostTask, text: str) -> None:
        """What the result said, with the output of its items."""


@dataclass
class JobReport:
    """Feed it events; ``details`` gets what each result said."""

    head: ReportHead
    masker: EventMasker
    details: Details | None = None
    history: JobHistory = field(default_factory=JobHistory)
    results: list[HostTask] = field(default_factory=list)
    #: The first results that failed, in their order; some may be rescued later.
    _failed: list[HostTask] = field(default_factory=list)
    _rest: collections.deque[str] = field(default_factory=collections.deque)
    _rest_size: int = 0
    _items: dict[str, list[str]] = field(default_factory=dict)

    def take(self, event: JSONObject) -> None:
        event = self.masker.event(event)
        done = self.history.take(event)
        found = event.get("event_data")
        data: JSONObject = found if isinstance(found, dict) else {}
        stdout = event.get("stdout")
        text = plain(stdout).strip("\n") if isinstance(stdout, str) else ""
        host = data.get("host")
        if done is not None:
            self.results.append(done)
            if done.outcome in (FAILED, UNREACHABLE) and len(self._failed) < _MOST_FAILURES:
                self._failed.append(done)
            if self.details is not None:
                before = self._items.pop(done.host, [])
                self.details.add(done, _joined([*before, text], data.get("res")))
        elif isinstance(host, str) and text:
            if self.details is not None:
                self._items.setdefault(host, []).append(text)
        elif text and event.get("event") not in ("playbook_on_task_start", "playbook_on_play_start"):
            self._rest.append(text)
            self._rest_size += len(text)
            while self._rest_size > _LONGEST_REST and len(self._rest) > 1:
                self._rest_size -= len(self._rest.popleft())

    @property
    def rest(self) -> str:
        """What the job said beside the results of hosts; the end of it, if it is long."""
        return "\n".join(self._rest)[-_LONGEST_REST:]

    @property
    def state(self) -> str:
        """How the job ended, or what can be said of it."""
        if self.head.state:
            return self.head.state
        if self.history.stats is None:
            return _NOT_ENDED
        return "failed" if any(True for _ in self.history.failed_hosts()) else "successful"

    @property
    def failures(self) -> list[HostTask]:
        """What failed for good, the first of all first."""
        return [one for one in self._failed if one.outcome in (FAILED, UNREACHABLE)]

    @property
    def reason(self) -> str:
        """Why it failed, if no host did: what is known beside its events, or what it said before any task."""
        return "" if self.state in NO_FAULT or self.failures else self.head.explanation or self.history.prelude.strip()

    @property
    def running(self) -> list[HostTask]:
        """What is being done now, if it goes on."""
        return self.history.running if self.head.goes_on else []

    @property
    def seconds(self) -> float | None:
        """How long it took, from its first event to its last; or takes, until now."""
        history = self.history
        if self.head.goes_on and history.begun is not None:
            return max(0.0, time.time() - history.begun)
        return history.heard - history.begun if history.heard is not None and history.begun is not None else None


def _joined(texts: list[str], result: object) -> str:
    """What was shown, and behind it what the result says and was not shown."""
    shown = "\n".join(texts)[:_LONGEST_OUTPUT]
    if not isinstance(result, dict):
        return shown
    kept = {name: value for name, value in result.items() if name not in _UNTOLD and value not in ("", [], {}, None)}
    for name in ("stdout", "stderr"):
        if name in kept:
            kept.pop(f"{name}_lines", None)
    parts = [shown]
    for name in ("stdout", "stderr", "msg"):
        value = kept.get(name)
        if isinstance(value, str) and "\n" in value:
            parts.append(f"{name}:\n{plain(value)}"[:_LONGEST_OUTPUT])
            del kept[name]
    if kept:
        parts.append(json.dumps(kept, indent=1, ensure_ascii=False, default=str)[:_LONGEST_OUTPUT])
    return "\n\n".join(parts)
