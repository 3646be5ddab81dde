"""The name of a job that is taken: whose it is, when it is free again, and what a submit that did not end well leaves.

Rules: what is left of a job is forgotten only by whoever holds its name (``records/claims.py``)."""

from __future__ import annotations

from typing import NamedTuple

from ..errors import ReceptorRunnerError, UsageError
from ..records.record import Record
from ..records.store import BusyError, NoJobError, Records
from ..stream.messages import Extension
from ..system.signals import StopFlag
from .job import Job
from .sending import job_digest
from .submission import release_unwanted
from .submitted import SubmittedJob
from .units import UnitGoneError, UnitHandle
from .waiting import run

__all__ = ["Place", "adopted_before", "forget_rejected", "known_job"]


class Place(NamedTuple):
    """Where a job is to go: by which socket, empty for a private node, and to which node; None where the mesh is to
    decide.
    """

    socket: str
    node: str | None


def known_job(
    records: Records, job: Job, place: Place, *, again: bool, mine: bool, flag: StopFlag | None = None
) -> Record | None:
    """The record of a job of this ident, if it is this very work, at this place, and has not ended.

    :param again: it is not: one that has ended is forgotten, if its results are saved.
    :param mine: whether its name is ours: what is left of an older job is forgotten only then.
    :raises UsageError: it is another one, or has ended.
    :raises BusyError: another process submits it.
    """
    try:
        record = records.load(job.ident)
    except NoJobError:
        return None
    if not record.units or not record.accepted:
        if not mine:
            raise BusyError(f"the job {job.ident} is being submitted by another process")
        _forget_unaccepted(records, record)
        return None
    if again:
        _forget_delivered(records, record, mine=mine)
        return None
    record = SubmittedJob(record, records).refresh(flag)
    difference = _difference(record, job, place, flag)
    if difference is None:
        return record
    raise UsageError(f"the ident {job.ident} is taken: {difference}", hint=_way_out(record))


def _difference(record: Record, job: Job, place: Place, flag: StopFlag | None) -> str | None:
    """Why the job of ``record`` is not the one that is to be submitted; None if it is."""
    if record.verdict is not None:
        return f"that job has ended ({record.state})"
    if record.private_data_dir != str(job.private_data.path):
        return f"it is that of a job of {record.private_data_dir}"
    if _is_elsewhere(record, place):
        return f"that job runs on {record.route.node} by {record.address.socket}"
    digest = job.transmitter(Extension()).digested(flag)
    if record.digest != job_digest(digest, sealed=record.sealed):
        return "that job runs other work: its parameters or its files were others"
    return None


def _is_elsewhere(record: Record, place: Place) -> bool:
    if not place.socket:
        return record.private_node is None
    other_node = place.node is not None and place.node not in (record.route.node, "localhost")
    return record.address.socket != place.socket or other_node


def _way_out(record: Record) -> str:
    if record.delivered:
        return "choose another, or submit it --again"
    return (
        f"choose another; receptor-runner attach {record.id} follows that job and saves its results, "
        f"release --force {record.id} drops them"
    )


def _forget_delivered(records: Records, record: Record, *, mine: bool) -> None:
    """:raises UsageError: its results are not saved, or its unit is not released."""
    if not (mine and record.delivered and SubmittedJob(record, records).released()):
        raise UsageError(f"the job {record.id} exists already, {record.state}", hint=_way_out(record))
    records.clear(record.id)


def _forget_unaccepted(records: Records, record: Record) -> None:
    """Its submitter ended before it was accepted. What came of it is not whole, and no worker runs it."""
    for unit in record.units:
        release_unwanted(record.address, unit.unit)
    records.clear(record.id)


def forget_rejected(records: Records, job: str) -> None:
    """A job that was not accepted leaves a record only if it may have left a unit."""
    try:
        record = records.load(job)
        if record.units:
            status = run(UnitHandle(record.address, record.units[0].unit).status())
            if not status.remote("LocalReleased"):  # else the daemon is about to remove it
                return
    except (NoJobError, UnitGoneError):
        pass
    except ReceptorRunnerError:
        return
    records.remove(job)


def adopted_before(records: Records, name: str, node: str, unit: str) -> Record | None:
    """:raises UsageError: the name is that of another job."""
    try:
        known = records.load(name)
    except NoJobError:
        return None
    if [one.unit for one in known.units] != [unit] or known.route.node != node:
        raise UsageError(f"the ident {name} is that of another job", hint="choose one with --ident")
    return known
