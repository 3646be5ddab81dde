"""The command ``inspect``.

Rules: nothing is saved, and who follows the job is not disturbed. With ``--watch`` on a terminal the screen is drawn
again; anywhere else one answer follows the other."""

from __future__ import annotations

import dataclasses
import json
import shutil
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, TypedDict

import click

from .context import name_job
from .mesh_options import OtherOptions, SocketOptions, chosen_job, other_options, socket_options
from .options import bare_option, command, job_argument, log_options, output_option
from .output import print_json, say, table_lines
from .progress import clock

if TYPE_CHECKING:
    from ..mesh.insight import JobInsight

__all__ = ["InsightView", "inspect"]

_CLEAR = "\x1b[H\x1b[2J"
_MOST_ROWS = 200


class RunningView(TypedDict):
    """What a host works on now. ``path`` is FILE:LINE. ``pids`` are processes at the node."""

    host: str
    play: str
    task: str
    path: str
    seconds: float
    pids: list[int]


class HostsView(TypedDict):
    """How many hosts there are of each sort. Each counts once, for the worst that happened to it."""

    ok: int
    changed: int
    failed: int
    unreachable: int
    skipped: int


class ProcessView(TypedDict):
    """A process at the node. ``age`` and ``cpu`` are seconds. ``host`` is null if it is not known for whom it works.
    ``reads`` says that it waits for input from its terminal.
    """

    pid: int
    parent: int
    age: float
    cpu: float
    state: str
    arguments: str
    host: str | None
    reads: bool


class InsightView(TypedDict):
    """One job at one moment. ``elapsed`` and ``silent_for`` are seconds. ``asks`` is a question that waits. ``note``
    says why the node did not tell about processes.
    """

    job: str
    state: str
    node: str
    elapsed: float | None
    silent_for: float | None
    running: list[RunningView]
    hosts: HostsView
    processes: list[ProcessView]
    asks: str | None
    note: str | None


@command(
    examples=(
        "receptor-runner inspect nightly",
        "receptor-runner inspect nightly --watch",
        "receptor-runner inspect --node exec1 --unit 8T3nXqYd -o json",
    ),
)
@job_argument(required=False)
@other_options
@bare_option("--watch", is_flag=True, help="Look again and again, until the job has ended.")
@bare_option(
    "--interval", type=click.FloatRange(min=0.2), default=2.0, metavar="SECONDS", help="How often to look with --watch."
)
@socket_options
@log_options
@output_option
def inspect(
    *, job: str | None, other: OtherOptions, watch: bool, interval: float, at: SocketOptions, output: str
) -> int:
    """Show what a job does now: which host works on which task since when, and its processes at the node.

    JOB is a submitted job. With --node N and --unit U it is the job of another controller. Nobody who follows the job
    is disturbed.
    """
    from ..mesh.looking import JobLook
    from ..system.signals import pause, stop_on_signals

    name_job(str(job or other.unit))
    with stop_on_signals() as flag:
        found = chosen_job(job, other, at, flag)
        with JobLook(found) as look:
            while True:
                insight = look.look(flag)
                _show(insight, output, watch=watch)
                if not watch or found.record.verdict is not None:
                    return 0
                pause(flag, interval)


def _show(insight: JobInsight, output: str, *, watch: bool) -> None:
    """On a terminal that is drawn again, lines are as long and as many as it has room for."""
    data = dataclasses.asdict(insight)
    if output == "json":
        if watch:
            click.echo(json.dumps(data))
        else:
            print_json(data)
        return
    lines = list(_lines(insight))
    if watch and sys.stdout.isatty():
        click.echo(_CLEAR, nl=False)
        columns, rows = shutil.get_terminal_size()
        if len(lines) >= rows:
            lines = [*lines[: rows - 2], "..."]
        lines = [line[: columns - 1] for line in lines]
    elif watch:
        lines.append("")
    for line in lines:
        say(line)


def _lines(insight: JobInsight) -> Iterator[str]:
    yield _headline(insight)
    if insight.asks:
        yield f"it asks: {insight.asks}"
    if insight.running:
        yield ""
        yield from _running_lines(insight)
    counts = ", ".join(f"{count} {name}" for name, count in insight.hosts.items() if count)
    if counts:
        yield from ("", f"hosts: {counts}")
    if insight.processes:
        yield ""
        yield from _process_lines(insight)
    if insight.note:
        yield from ("", f"no more is known: {insight.note}")


def _headline(insight: JobInsight) -> str:
    from ..records.record import GOING_ON

    parts = [f"{insight.job}: {insight.state} on {insight.node}"]
    if insight.elapsed is not None:
        parts.append(f"{'for' if insight.state in GOING_ON else 'took'} {clock(insight.elapsed)}")
    if insight.silent_for is not None:
        parts.append(f"silent for {clock(insight.silent_for)}")
    return ", ".join(parts)


def _running_lines(insight: JobInsight) -> Iterator[str]:
    rows = [
        (one.host, clock(one.seconds), one.task, one.path, " ".join(map(str, one.pids)) or "-")
        for one in insight.running[:_MOST_ROWS]
    ]
    yield from table_lines(("HOST", "FOR", "TASK", "WHERE", "PROCESSES"), rows)
    yield from _rest(len(insight.running), "hosts")


def _process_lines(insight: JobInsight) -> Iterator[str]:
    rows = [
        (
            str(one.pid), one.host or "-", clock(one.age), f"{one.cpu:.1f}", "asks" if one.reads else one.state,
            one.arguments,
        )
        for one in insight.processes[:_MOST_ROWS]
    ]  # fmt: skip
    yield from table_lines(("PID", "HOST", "AGE", "CPU", "STATE", "COMMAND"), rows)
    yield from _rest(len(insight.processes), "processes")


def _rest(count: int, what: str) -> Iterator[str]:
    if count > _MOST_ROWS:
        yield f"... and {count - _MOST_ROWS} more {what}; -o json has all of them"
