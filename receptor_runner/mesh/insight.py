"""What is known of a job at one moment: its events, and what its node says, put together.

Rules: no IO. What the node does not tell is left out, and ``note`` says why. Times of both are those of the node, so
clocks that differ do no harm."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import NamedTuple

from ..inspection.answers import Inspection, ProcessSeen
from ..results.history import HostTask, JobHistory

__all__ = ["JobInsight", "Moment", "RunningTask", "insight_of"]


@dataclass(frozen=True, slots=True)
class RunningTask:
    """What a host works on. ``path`` is FILE:LINE, ``seconds`` how long it has, ``pids`` the processes at the node that
    work for it: empty if that is not known, or if it waits.
    """

    host: str
    play: str
    task: str
    path: str
    seconds: float
    pids: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class JobInsight:
    """One job. ``elapsed`` and ``silent_for`` are seconds, None if that is not known. ``hosts`` counts each host once,
    by the worst that happened to it. ``asks`` is a question of the job that waits for an answer. ``note`` says why the
    node did not tell about its processes, or about all of them.
    """

    job: str
    state: str
    node: str
    elapsed: float | None = None
    silent_for: float | None = None
    running: list[RunningTask] = field(default_factory=list)
    hosts: dict[str, int] = field(default_factory=dict)
    processes: list[ProcessSeen] = field(default_factory=list)
    asks: str | None = None
    note: str | None = None


class Moment(NamedTuple):
    """Which job, how and where it is. ``ended`` says that nothing more will come of it."""

    job: str
    state: str
    node: str
    ended: bool = False


def insight_of(now: Moment, history: JobHistory, seen: Inspection | None = None, note: str | None = None) -> JobInsight:
    """:param seen: what the node says, if it was asked and answered.
    :param note: why it did not.
    """
    clock = seen.time if seen is not None and seen.time else time.time()
    running = [] if now.ended else _running(history, seen, clock)
    processes = seen.processes if seen is not None else []
    line = history.last_line
    waits = history.question or (line.text if line.open and any(one.reads for one in processes) else "")
    age = seen.age if seen is not None else None
    if age is None and history.begun is not None:
        age = ((history.heard if now.ended else None) or clock) - history.begun
    return JobInsight(
        now.job,
        now.state,
        now.node,
        max(0.0, age) if age is not None else None,
        max(0.0, clock - history.heard) if history.heard is not None and not now.ended else None,
        running,
        history.totals(),
        processes,
        (waits or None) if not now.ended else None,
        note or (seen.silent if seen is not None else "") or None,
    )


def _running(history: JobHistory, seen: Inspection | None, now: float) -> list[RunningTask]:
    """What hosts work on. Ansible knows best for which: events come a moment later."""
    if seen is None or seen.silent:
        return [_told(one, seen, now) for one in history.running]
    works = {one.host: one for one in seen.work}
    told = [one for one in history.running if one.host in works and works[one.host].task in ("", one.task.name)]
    on_their_way = works.keys() - {one.host for one in told}
    return [
        *(_told(one, seen, now) for one in told),
        *(RunningTask(host, "", works[host].task, "", 0.0, _pids(host, seen)) for host in sorted(on_their_way)),
    ]


def _told(one: HostTask, seen: Inspection | None, now: float) -> RunningTask:
    seconds = max(0.0, now - one.started) if one.started is not None else 0.0
    return RunningTask(one.host, one.task.play, one.task.name, one.task.path, seconds, _pids(one.host, seen))


def _pids(host: str, seen: Inspection | None) -> list[int]:
    return [one.pid for one in seen.processes if one.host == host] if seen is not None else []
