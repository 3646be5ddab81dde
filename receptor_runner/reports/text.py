"""A report of a few lines: how the job ended, what failed, which hosts, and what took long.

Rules: no IO. Every line is plain."""

from __future__ import annotations

import time
from collections.abc import Iterator

from ..results.history import OUTCOMES
from ..results.terminal import one_line, plain
from .collect import JobReport
from .data import seconds_of_tasks

__all__ = ["text_report"]

_MOST_FAILURES = 20
_MOST_LINES = 12
_SLOWEST = 10


def text_report(report: JobReport) -> str:
    return "\n".join(plain(line) for line in _lines(report)) + "\n"


def _lines(report: JobReport) -> Iterator[str]:
    yield from _head(report)
    yield from _running(report)
    yield from _failures(report)
    yield from _hosts(report)
    slow = seconds_of_tasks(report)[:_SLOWEST]
    if slow:
        yield from ("", "Longest tasks:")
        for seconds, task in slow:
            yield f"  {seconds:8.1f} s  {one_line(task.name)}"


def _head(report: JobReport) -> Iterator[str]:
    head = report.head
    rc = f" (rc {head.rc})" if head.rc else ""
    word = "for" if report.head.goes_on else "after"
    took = f" {word} {report.seconds:.1f} s" if report.seconds is not None else ""
    where = f" on {head.node}" if head.node else ""
    yield f"{head.job}: {report.history.playbook or 'job'} {report.state}{rc}{where}{took}"
    if report.reason:
        yield report.reason
    elif head.explanation:
        yield head.explanation


def _running(report: JobReport) -> Iterator[str]:
    if report.running:
        yield from ("", "Now:")
    for one in report.running[:_MOST_FAILURES]:
        seconds = max(0.0, time.time() - one.started) if one.started is not None else 0.0
        yield f"  {one.host}: {one.task.name} ({one.task.path or one.task.action}) for {seconds:.1f} s"


def _failures(report: JobReport) -> Iterator[str]:
    if report.failures:
        yield from ("", "Failed:")
    for one in report.failures[:_MOST_FAILURES]:
        yield f"  {one.host}: {one.task.name} ({one.task.path or one.task.action}): {one.outcome}"
        for line in one.text.splitlines()[:_MOST_LINES]:
            yield f"      {line}"
    if len(report.failures) > _MOST_FAILURES:
        yield f"  ... and {len(report.failures) - _MOST_FAILURES} more"


def _hosts(report: JobReport) -> Iterator[str]:
    counts = report.history.counts
    if counts:
        yield from ("", "Hosts:")
        width = max(map(len, counts))
        for host, found in sorted(counts.items()):
            told = [f"{found[name]} {name}" for name in reversed(OUTCOMES) if found.get(name)]
            yield f"  {host.ljust(width)}  {', '.join(told) or 'nothing yet'}"
