"""What the commands show of submitted jobs.

Rules: the keys of a view are stable, whatever a record looks like inside."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypedDict

from ..errors import ReceptorRunnerError
from .context import name_job
from .output import complain, print_json, say, text_of

if TYPE_CHECKING:
    from ..records.record import Record

__all__ = ["JobView", "iso_time", "job_view", "show_each"]


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
        "node": record.route.node,
        "adopted": record.adopted,
        "worktype": record.route.worktype,
        "unit": unit.unit if unit is not None else None,
        "remote_unit": unit.remote_unit if unit is not None else None,
        "socket": record.address.socket or None,
        "private_data_dir": record.private_data_dir,
        "artifact_dir": record.artifact_dir,
        "created": iso_time(record.created),
        "ended": iso_time(record.ended) if record.ended is not None else None,
        "complete": verdict.complete if verdict is not None else None,
        "missing_events": verdict.missing_events if verdict is not None else None,
        "delivered": record.delivered,
        "released": record.released,
    }


def iso_time(seconds: float) -> str:
    """ISO 8601 in UTC, to the millisecond.

    :param seconds: since the epoch.
    """
    import datetime

    moment = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def show_each(names: Sequence[str], action: Callable[[str], Record], output: str, *, own_codes: bool = False) -> int:
    """Does ``action`` for every job, whatever happens to the others, and shows it.

    :param own_codes: whether the exit statuses of the jobs count.
    :returns: the worst exit status.
    """
    worst = 0
    views: list[JobView | dict[str, str]] = []
    for name in names:
        name_job(name)
        try:
            record = action(name)
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
