"""What happened in a job, from its events: plays, tasks, and what each host did when.

Rules: no IO. Events are a stranger's: what has another type than it should counts as missing. A host works on one task
at a time, so a task whose end was lost has ended when its host begins the next. Times are seconds since the epoch, by
the clock of the node. Nothing of an event is kept but what is here: results are as large as they like."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..stream.messages import JSONObject
from .questions import LastLine, last_line
from .terminal import plain

__all__ = [
    "CHANGED", "FAILED", "IGNORED", "OK", "OUTCOMES", "RESCUED", "SKIPPED", "UNREACHABLE", "HostTask", "JobHistory",
    "TaskRun", "moment", "result_text",
]  # fmt: skip

OK, CHANGED, SKIPPED, IGNORED, RESCUED = "ok", "changed", "skipped", "ignored", "rescued"
UNREACHABLE, FAILED = "unreachable", "failed"
#: How a task ended for a host. A host has the last of them that it met: what it got over counts less than what it did.
OUTCOMES = (SKIPPED, IGNORED, RESCUED, OK, CHANGED, UNREACHABLE, FAILED)
_RUNNING = "running"

_ENDS = {
    "runner_on_ok": OK,
    "runner_on_failed": FAILED,
    "runner_on_unreachable": UNREACHABLE,
    "runner_on_skipped": SKIPPED,
}
_ITEMS = ("runner_item_on_ok", "runner_item_on_failed", "runner_item_on_skipped")
#: Events whose text is a heading: it has a line of its own, and asks nobody.
_HEADINGS = ("playbook_on_play_start", "playbook_on_task_start", "playbook_on_handler_task_start")
_LONGEST_TEXT = 2000
_LONGEST_PRELUDE = 4000
#: Where a worker, or a container, has the project of a job.
_PROJECTS = re.compile(r"^(?:/runner|.*?/receptor-runner-[^/]+)/project/")
#: What a result says, by the names of what it is in.
_SAID = ("msg", "stderr", "module_stderr", "stdout", "module_stdout", "reason", "skip_reason")
#: The year 2477. A clock that says more is wrong, and some formats cannot hold more.
_LATEST = 16_000_000_000.0
#: What the module pause says when it waits for a time, and for nobody.
_INTERRUPTIBLE = "(ctrl+C"


@dataclass(slots=True)
class TaskRun:
    """One task of one play. ``path`` is FILE:LINE where Ansible told it."""

    uuid: str
    name: str
    play: str
    play_uuid: str
    action: str
    path: str
    role: str
    started: float | None


@dataclass(slots=True)
class HostTask:
    """One task as one host did it, or does it. ``counter`` is that of the event that ended it."""

    host: str
    task: TaskRun
    started: float | None
    ended: float | None = None
    outcome: str = _RUNNING
    text: str = ""
    items: int = 0
    counter: int = 0

    @property
    def seconds(self) -> float | None:
        """How long it took."""
        if self.started is None or self.ended is None:
            return None
        return max(0.0, self.ended - self.started)


class JobHistory:
    """Feed it events in their order."""

    def __init__(self) -> None:
        self.playbook = ""
        #: When the first event came, and the last.
        self.begun: float | None = None
        self.heard: float | None = None
        self.events = 0
        #: The tasks in the order in which they began.
        self.tasks: list[TaskRun] = []
        #: The worst that happened to each host.
        self.hosts: dict[str, str] = {}
        #: How often each outcome came for each host.
        self.counts: dict[str, dict[str, int]] = {}
        #: The data of ``playbook_on_stats``.
        self.stats: JSONObject | None = None
        #: What was said before any task began; the end of it.
        self.prelude = ""
        #: The last line of the output, and whether it is no more than the heading of a play or a task.
        self.last_line = LastLine("", open=False)
        self._heading = False
        self._running: dict[str, HostTask] = {}
        self._known: dict[tuple[str, str], TaskRun] = {}
        #: The failures of each host that may be rescued yet.
        self._failures: dict[str, list[HostTask]] = {}
        #: Where the project is at the node, with a slash behind it.
        self._project = ""

    @property
    def running(self) -> list[HostTask]:
        """What is being done now, the oldest first."""
        return sorted(self._running.values(), key=lambda one: (one.started or 0.0, one.host))

    def take(self, event: JSONObject) -> HostTask | None:
        """What ``event`` is the end of, if it is one."""
        now = moment(event.get("created"))
        self.events += 1
        self.begun = self.begun if self.begun is not None else now
        self.heard = now if now is not None else self.heard
        stdout = event.get("stdout")
        if stdout and isinstance(stdout, str):
            self.last_line = last_line(event)
            self._heading = event.get("event") in _HEADINGS
            if not self.tasks:
                self.prelude = f"{self.prelude}{plain(stdout)}\n"[-_LONGEST_PRELUDE:]
        found = event.get("event_data")
        data: JSONObject = found if isinstance(found, dict) else {}
        name = _text(event, "event")
        self.playbook = self.playbook or _text(data, "playbook")
        if name == "playbook_on_task_start":
            self._task(data, now)
        elif name == "playbook_on_stats":
            self.stats = data
            self._running.clear()
            self._rescue(data.get("rescued"))
        elif name in _ENDS and isinstance(data.get("host"), str):
            return self._end(_ENDS[name], data, now, event.get("counter"))
        elif isinstance(data.get("host"), str):
            self._progress(name, data, now)
        return None

    def begun_by(self, event: JSONObject) -> HostTask | None:
        """What ``event``, the last one taken, is the beginning of, if it is one."""
        data = event.get("event_data")
        if event.get("event") != "runner_on_start" or not isinstance(data, dict):
            return None
        return self._running.get(str(data.get("host")))

    @property
    def question(self) -> str:
        """What the job seems to ask; empty if nothing."""
        line = self.last_line
        if self._heading:
            return ""
        pauses = any(one.task.action.rpartition(".")[2] == "pause" for one in self._running.values())
        return line.question or (line.text if pauses and not line.text.startswith(_INTERRUPTIBLE) else "")

    def totals(self) -> dict[str, int]:
        """How many hosts there are of each sort; each is of one, the worst. One that goes on after a failure has got
        over it, as far as is known.
        """
        found = dict.fromkeys((OK, CHANGED, FAILED, UNREACHABLE, SKIPPED), 0)
        for host, outcome in self.hosts.items():
            good = outcome in (IGNORED, RESCUED) or (outcome == FAILED and host in self._running)
            found[OK if good else outcome] += 1
        return found

    def failed_hosts(self) -> Iterator[str]:
        """The hosts that failed or could not be reached."""
        return (host for host, outcome in self.hosts.items() if outcome in (FAILED, UNREACHABLE))

    def _task(self, data: JSONObject, now: float | None) -> TaskRun:
        """The task that ``data`` is about. A task of the same identifier in another batch is another one."""
        uuid = _text(data, "task_uuid") or _text(data, "uuid")
        key = uuid, _text(data, "play_uuid")
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = TaskRun(
                uuid,
                _text(data, "task") or _text(data, "name"),
                _text(data, "play"),
                key[1],
                _text(data, "resolved_action") or _text(data, "task_action"),
                self._shown(_text(data, "task_path")),
                _text(data, "role"),
                now,
            )
            self.tasks.append(known)
        return known

    def _shown(self, path: str) -> str:
        """``path`` as somebody knows it who has the project: a node has it in another place each time."""
        file, colon, line = path.rpartition(":")
        own = file.endswith(f"/{self.playbook}") and "/roles/" not in file
        if not self._project and self.playbook and own:
            self._project = file[: -len(self.playbook)]
        for project in (self._project, *_PROJECTS.findall(file)[:1]):
            if project and file.startswith(project):
                return f"{file[len(project) :]}{colon}{line}"
        return path

    def _rescue(self, counts: Any) -> None:
        """What was rescued is no failure. A host is rescued first, and fails for good last."""
        if not isinstance(counts, dict):
            return
        for host, failures in self._failures.items():
            count = counts.get(host)
            rescued = failures[: count if type(count) is int and count > 0 else 0]
            del failures[: len(rescued)]
            for one in rescued:
                one.outcome = RESCUED
                found = self.counts[host]
                found[FAILED] -= 1
                found[RESCUED] = found.get(RESCUED, 0) + 1
            self.hosts[host] = max(
                (name for name, number in self.counts[host].items() if number > 0), key=OUTCOMES.index
            )

    def _progress(self, name: str, data: JSONObject, now: float | None) -> None:
        host = str(data["host"])
        if name == "runner_on_start":
            self.counts.setdefault(host, {})
            self._running[host] = HostTask(host, self._task(data, now), now)
            return
        current = self._running.get(host)
        if current is not None:
            current.items += name in _ITEMS

    def _end(self, outcome: str, data: JSONObject, now: float | None, counter: Any) -> HostTask:
        host, task = str(data["host"]), self._task(data, now)
        current = self._running.get(host)
        if current is not None and current.task is task:
            del self._running[host]
        else:
            current = HostTask(host, task, moment(data.get("start")))
        found = data.get("res")
        result: JSONObject = found if isinstance(found, dict) else {}
        if outcome == OK and result.get("changed") is True:
            outcome = CHANGED
        elif outcome == FAILED and data.get("ignore_errors") is True:
            outcome = IGNORED
        current.outcome = outcome
        current.ended = moment(data.get("end")) or now
        current.text = result_text(result, failed=outcome in (FAILED, IGNORED, UNREACHABLE))
        if outcome == FAILED:
            self._failures.setdefault(host, []).append(current)
        current.counter = counter if type(counter) is int else 0
        counts = self.counts.setdefault(host, {})
        counts[outcome] = counts.get(outcome, 0) + 1
        self.hosts[host] = max(self.hosts.get(host, SKIPPED), outcome, key=OUTCOMES.index)
        return current


def moment(text: object) -> float | None:
    """Seconds since the epoch, of a time as events have it: ISO 8601, in UTC unless it says otherwise."""
    if not isinstance(text, str):
        return None
    try:
        found = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
        seconds = (found if found.tzinfo else found.replace(tzinfo=datetime.timezone.utc)).timestamp()
    except (ValueError, OverflowError):
        return None
    return seconds if 0 <= seconds < _LATEST else None


def result_text(result: JSONObject, *, failed: bool) -> str:
    """What a result says in a few words: why it failed, or what came out.

    :param failed: all that may say why is told.
    """
    if isinstance(result.get("censored"), str):
        return str(result["censored"])
    said = [text for name in _SAID if (text := _said(result.get(name)))]
    if not failed:
        return (said[0] if said else "")[:_LONGEST_TEXT]
    items = result.get("results")
    said += [
        f"(item={one.get('item')}) {result_text(one, failed=True)}"
        for one in (items if isinstance(items, list) else [])
        if isinstance(one, dict) and (one.get("failed") or one.get("unreachable"))
    ]
    if "rc" in result and said:
        said[0] = f"{said[0]} (rc {result['rc']})"
    return "\n".join(dict.fromkeys(said))[:_LONGEST_TEXT]


def _said(value: object) -> str:
    if isinstance(value, str):
        return value.strip()
    return str(value) if value and isinstance(value, (dict, list)) else ""


def _text(data: JSONObject, name: str) -> str:
    value = data.get(name)
    return value[:_LONGEST_TEXT] if isinstance(value, str) else ""
