"""Starts a job on this machine, in its own directory, so that it outlives whoever started it.

Rules: the job becomes a work unit of a private node of its own. The unit is started before the node is: whoever looks
at the job needs the node, and the job does not. Nothing is made before it is known that the job can be started."""

from __future__ import annotations

from collections.abc import Callable

from ..job.place import IN_PLACE
from ..records.record import Record, Route, UnitRef
from ..records.state_dir import jobs_directory, owner
from ..records.store import BusyError, Records
from ..stages.transmit import Transmitter
from ..stream.messages import Extension
from ..system.forking import can_fork
from ..system.signals import StopFlag
from .claiming import Place, claimed, known_job
from .job import Job
from .private_node import PRIVATE, PrivateNode
from .submitted import SubmittedJob

__all__ = ["start_in_place"]


def start_in_place(
    job: Job, *, again: bool = False, flag: StopFlag | None = None, work: Callable[[], int] | None = None
) -> SubmittedJob:
    """Returns when the job is started. ``job.in_place`` must be set.

    :param work: a worker in place that is loaded already. It is called in a process of its own if this one has one
        thread.
    :param again: as for :meth:`~receptor_runner.mesh.client.Mesh.submit`.
    :raises InputError: something that the job needs is missing.
    :raises UsageError: its name is that of another job.
    :raises OutputError: there is no room for it.
    """
    records = Records(jobs_directory())
    transmitter = job.transmitter(Extension(job=job.ident, owner=owner()))
    with claimed(records, job.ident, flag) as mine:
        known = known_job(records, job, Place("", None), again=again, mine=mine, flag=flag)
        if known is not None:
            return SubmittedJob(known, records, submitted_before=True)
        if not mine:
            raise BusyError(f"the job {job.ident} is being released by another process")
        node = PrivateNode.new()
        try:
            record = _started(job, transmitter, node, records, work if can_fork() else None)
        except BaseException:
            records.remove(job.ident)
            node.remove()
            raise
        node.start()
        return SubmittedJob(record, records, private=node)


def _started(
    job: Job, transmitter: Transmitter, node: PrivateNode, records: Records, work: Callable[[], int] | None
) -> Record:
    with node.units() as units:
        unit = units.create(IN_PLACE)
        unit.take_input(transmitter.run)
        record = Record(
            job.ident,
            str(job.private_data.path),
            job.artifact_dir,
            node.address,
            Route(PRIVATE, IN_PLACE, local=True),
            private_node=node.directory,
            settings=job.settings,
            units=[UnitRef(unit.id, PRIVATE, local=True)],
            digest=transmitter.digest,
        )
        records.save(record)
        if work is None:
            unit.start(node.worktype(IN_PLACE), "")
        else:
            unit.start_here(work)
    return record
