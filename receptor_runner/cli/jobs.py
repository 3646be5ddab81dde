"""The command ``jobs``."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from .options import bare_option, command, log_options, output_option
from .output import print_json, print_table
from .progress import clock
from .views import AT_ONCE, job_view

if TYPE_CHECKING:
    from ..mesh.submitted import SubmittedJob
    from ..records.record import Record

__all__ = ["jobs"]

_STATES = (
    "pending", "running", "detached", "unreachable", "successful", "failed", "canceled", "timeout", "error", "lost",
    "truncated",
)  # fmt: skip


@command(
    examples=(
        "receptor-runner jobs",
        "receptor-runner jobs --state running --node exec1",
        "receptor-runner jobs --last 5 -o json",
    ),
)
@bare_option(
    "--state", "states", multiple=True, type=click.Choice(_STATES), help="Only jobs in this state. They add up."
)
@bare_option("--node", "nodes", multiple=True, metavar="NODE", help="Only jobs of this node. They add up.")
@bare_option("--last", type=click.IntRange(min=1), metavar="N", help="Only the newest N.")
@output_option
@log_options
def jobs(states: tuple[str, ...], nodes: tuple[str, ...], last: int | None, output: str) -> int:
    """List the submitted jobs, the oldest first."""
    from ..mesh.client import Mesh

    known = sorted(Mesh.jobs(), key=lambda job: job.record.created)
    records = _refreshed([job for job in known if not nodes or job.record.route.node in nodes])
    records = [record for record in records if not states or record.state in states][-(last or 0) :]
    if output == "json":
        print_json([job_view(record) for record in records])
    else:
        head = ("JOB", "STATE", "AGE", "DURATION", "PLAYBOOK", "NODE", "RC", "SAVED")
        print_table(head, [_row(record) for record in records])
    return 0


def _refreshed(known: list[SubmittedJob]) -> list[Record]:
    """Several nodes are asked at once, because one that is away takes its time."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(lambda job: job.refresh(), known))


def _row(record: Record) -> tuple[str, ...]:
    now = time.time()
    rc = record.verdict.rc if record.verdict is not None else None
    return (
        record.id,
        record.state,
        clock(max(0.0, now - record.created)),
        clock(max(0.0, (record.ended or now) - record.created)),
        record.playbook or "-",
        record.route.node,
        "-" if rc is None else str(rc),
        "yes" if record.delivered else "no",
    )
