"""Starts a job on this machine, in its own directory, so that it outlives whoever started it.

Rules: the job becomes a work unit of a private node of its own. Who looks at the job needs the node, and the job does
not: so the job begins first, and what following it takes is loaded after that. Nothing is made before it is known that
the job can be started."""

from __future__ import annotations

import logging
import os
import time
from typing import TYPE_CHECKING

from ..job.place import IN_PLACE
from ..records.claims import claimed
from ..records.record import Record, Route, UnitRef
from ..records.state_dir import jobs_directory, owner
from ..records.store import BusyError, Records
from ..stages.transmit import Transmitter
from ..stream.messages import Extension
from ..system.signals import StopFlag
from .job import Job
from .private_node import PRIVATE, PrivateNode

if TYPE_CHECKING:
    from ..node.units import Unit
    from ..system.forking import Standby
    from .submitted import SubmittedJob

__all__ = ["start_in_place"]

logger = logging.getLogger(__name__)

#: The job has so much time to itself before anything else of ours is loaded.
_HEAD_START_SECONDS = 0.5
_LOOK_SECONDS = 0.005


def start_in_place(
    job: Job, *, again: bool = False, flag: StopFlag | None = None, standby: Standby | None = None
) -> SubmittedJob:
    """Returns when the job is started. ``job.in_place`` must be set.

    :param standby: a runner that is loaded already, and calls :func:`~receptor_runner.node.units.serve_unit`.
    :param again: as for :meth:`~receptor_runner.mesh.client.Mesh.submit`.
    :raises InputError: something that the job needs is missing.
    :raises UsageError: its name is that of another job.
    :raises OutputError: there is no room for it.
    """
    records = Records(jobs_directory())
    transmitter = job.transmitter(Extension(job=job.ident, owner=owner()))
    with claimed(records, job.ident, flag) as mine:
        if records.has(job.ident):
            before = _known(records, job, again=again, mine=mine, flag=flag)
            if before is not None:
                return before
        if not mine:
            raise BusyError(f"the job {job.ident} is being released by another process")
        node = PrivateNode.new()
        try:
            record = _started(job, transmitter, node, records, standby)
        except BaseException:
            records.remove(job.ident)
            node.remove()
            raise
        node.start()
    from .submitted import SubmittedJob

    return SubmittedJob(record, records, private=node)


def _known(records: Records, job: Job, *, again: bool, mine: bool, flag: StopFlag | None) -> SubmittedJob | None:
    from .claiming import Place, known_job
    from .submitted import SubmittedJob

    known = known_job(records, job, Place("", None), again=again, mine=mine, flag=flag)
    return SubmittedJob(known, records, submitted_before=True) if known is not None else None


def _started(
    job: Job, transmitter: Transmitter, node: PrivateNode, records: Records, standby: Standby | None
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
            playbook=job.playbook,
            units=[UnitRef(unit.id, PRIVATE, local=True)],
            digest=transmitter.digest,
        )
        records.save(record)
        if standby is None:
            unit.start(node.worktype(IN_PLACE), "")
        else:
            unit.start_on(standby)
        logger.debug("the job %s begins as the work unit %s", job.ident, unit.directory)
        _let_it_begin(unit)
    return record


def _let_it_begin(unit: Unit) -> None:
    """Returns when the job has said its first word, or has had its time."""
    until = time.monotonic() + _HEAD_START_SECONDS
    while time.monotonic() < until:
        try:
            if os.stat(unit.stdout).st_size:
                return
        except OSError:
            pass
        time.sleep(_LOOK_SECONDS)
