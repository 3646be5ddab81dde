"""A report as data: the same as JSON, with keys that stay.

Rules: no IO. Times are ISO 8601 in UTC, and durations seconds."""

from __future__ import annotations

from typing import TypedDict

from ..results.history import HostTask, TaskRun
from ..system.times import iso_time
from .collect import JobReport

__all__ = ["ReportView", "report_view", "seconds_of_tasks"]


class TaskView(TypedDict):
    """A task. ``path`` is FILE:LINE; ``seconds`` is the longest that a host took."""

    name: str
    play: str
    action: str
    path: str
    role: str
    seconds: float | None


class ResultView(TypedDict):
    """What a host did in a task; ``task`` is its place in ``tasks``."""

    host: str
    task: int
    outcome: str
    started: str | None
    seconds: float | None
    text: str


class ReportView(TypedDict):
    """A job. ``hosts`` says for each how often each outcome came: ``ok``, ``changed``, ``skipped``, ``ignored``,
    ``rescued``, ``unreachable``, ``failed``. ``running`` is what hosts do now, if the job goes on. ``explanation`` says
    why it failed, if no host did.
    """

    job: str
    playbook: str
    state: str
    rc: int | None
    explanation: str | None
    node: str | None
    started: str | None
    seconds: float | None
    events: int
    hosts: dict[str, dict[str, int]]
    tasks: list[TaskView]
    results: list[ResultView]
    running: list[ResultView]


def report_view(report: JobReport) -> ReportView:
    head = report.head
    longest = {id(task): seconds for seconds, task in seconds_of_tasks(report)}
    places = {id(task): place for place, task in enumerate(report.history.tasks)}
    return {
        "job": head.job,
        "playbook": report.history.playbook,
        "state": report.state,
        "rc": head.rc,
        "explanation": report.reason or head.explanation or None,
        "node": head.node or None,
        "started": iso_time(report.history.begun),
        "seconds": report.seconds,
        "events": report.history.events,
        "hosts": {
            host: {name: count for name, count in counts.items() if count}
            for host, counts in report.history.counts.items()
        },
        "tasks": [
            {
                "name": task.name,
                "play": task.play,
                "action": task.action,
                "path": task.path,
                "role": task.role,
                "seconds": longest.get(id(task)),
            }
            for task in report.history.tasks
        ],
        "results": [_result(one, places) for one in report.results],
        "running": [_result(one, places) for one in report.running],
    }


def _result(one: HostTask, places: dict[int, int]) -> ResultView:
    return {
        "host": one.host,
        "task": places[id(one.task)],
        "outcome": one.outcome,
        "started": iso_time(one.started),
        "seconds": one.seconds,
        "text": one.text,
    }


def seconds_of_tasks(report: JobReport) -> list[tuple[float, TaskRun]]:
    """How long each task took at the host that took longest, the longest first."""
    longest: dict[int, float] = {}
    for one in report.results:
        if one.seconds is not None:
            longest[id(one.task)] = max(longest.get(id(one.task), 0.0), one.seconds)
    found = [(longest[id(task)], task) for task in report.history.tasks if id(task) in longest]
    return sorted(found, key=lambda pair: pair[0], reverse=True)
