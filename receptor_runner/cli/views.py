"""What the commands show of submitted jobs.

Rules: the keys of a view are stable, whatever a record looks like inside."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypedDict

import click

from ..errors import ReceptorRunnerError
from ..system.times import iso_time
from .context import name_job
from .output import complain, print_json, say, text_of

if TYPE_CHECKING:
    from ..mesh.submitted import SubmittedJob
    from ..records.record import Record

__all__ = ["AT_ONCE", "JobView", "chosen", "job_view", "show_each"]

#: How many jobs are worked on at once.
AT_ONCE = 16


class JobView(TypedDict):
    """One job. Times are ISO 8601 in UTC. ``rc`` and ``exit_code`` are there once the job has ended, and ``ended`` is
    when it did, as far as that is known. ``missing_events`` did not arrive; ``complete`` says whether that is none.
    """

    id: str
    state: str
    status: str | None
    rc: int | None
    exit_code: int | None
    explanation: str | None
    playbook: str
    node: str
    adopted: bool
    worktype: str
    unit: str | None
    remote_unit: str | None
    socket: str | None
    private_data_dir: str
    artifact_dir: str
    created: str
    ended: str | None
    complete: bool | None
    missing_events: int | None
    delivered: bool
    released: bool


def job_view(record: Record) -> JobView:
    unit = record.units[0] if record.units else None
    verdict = record.verdict
    return {
        "id": record.id,
        "state": record.state,
        "status": verdict.status if verdict is not None else None,
        "rc": verdict.rc if verdict is not None else None,
        "exit_code": verdict.exit_code if verdict is not None else None,
        "explanation": record.explanation,
        "playbook": record.playbook,
        "node": record.route.node,
        "adopted": record.adopted,
        "worktype": record.route.worktype,
        "unit": unit.unit if unit is not None else None,
        "remote_unit": unit.remote_unit if unit is not None else None,
        "socket": record.address.socket or None,
        "private_data_dir": record.private_data_dir,
        "artifact_dir": record.artifact_dir,
        "created": iso_time(record.created),
        "ended": iso_time(record.ended),
        "complete": verdict.complete if verdict is not None else None,
        "missing_events": verdict.missing_events if verdict is not None else None,
        "delivered": record.delivered,
        "released": record.released,
    }


def chosen(names: Sequence[str], everyone: bool, wanted: Callable[[SubmittedJob], bool]) -> list[str]:
    """The jobs that a command is about: those named, or with ``everyone`` all that are ``wanted``.

    :raises click.UsageError: neither is given, or both.
    """
    if bool(names) == everyone:
        raise click.UsageError("name jobs, or give --all")
    if names:
        return list(dict.fromkeys(names))
    from ..mesh.client import Mesh

    return [job.id for job in sorted(Mesh.jobs(), key=lambda job: job.record.created) if wanted(job)]


def show_each(names: Sequence[str], action: Callable[[str], Record], output: str, *, own_codes: bool = False) -> int:
    """Does ``action`` for every job at once, whatever happens to the others, and shows them in their order.

    :param own_codes: whether the exit statuses of the jobs count.
    :returns: the worst exit status.
    """
    from concurrent.futures import ThreadPoolExecutor

    if len(names) == 1:
        name_job(names[0])
    worst = 0
    views: list[JobView | dict[str, str]] = []
    with ThreadPoolExecutor(min(AT_ONCE, len(names) or 1)) as pool:
        tried = [pool.submit(action, name) for name in names]
    for name, one in zip(names, tried, strict=True):
        try:
            record = one.result()
        except ReceptorRunnerError as exc:
            worst = max(worst, exc.exit_code)
            complain(text_of(exc))
            views.append({"id": name, "error": text_of(exc)})
            continue
        if own_codes and record.verdict is not None:
            worst = max(worst, record.verdict.exit_code)
        views.append(job_view(record))
        if output == "text":
            say(f"{record.id} {record.state}")
    if output == "json":
        print_json(views)
    return worst
