"""What finished or failed jobs have left: records, work units that carry our name, private nodes.

Rules: nothing that a job still needs is deleted. What was found is looked at again, under the job's lock, before it
goes: a job may be submitted meanwhile. A unit stays if its results were not followed to their end. A unit is
ours if its tags or its ``starting`` line name the owner of this state directory."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from ..errors import InputError, ReceptorRunnerError, UnreachableError
from ..limits import CONTROL_SECONDS
from ..node.defaults import private_socket
from ..receptor.address import Address
from ..receptor.work_unit import UnitStatus
from ..records.state_dir import jobs_directory, nodes_directory, owner
from ..records.store import Records
from ..stream.bounded_json import parse_json
from ..stream.messages import Extension, JSONObject
from ..system.removal import remove_tree
from .client import Mesh
from .endpoint import connect
from .private_node import units_of
from .submitted import SubmittedJob
from .units import JOB_TAG, OWNER_TAG, UnitHandle
from .waiting import run

__all__ = ["Prunable", "find_prunable"]

#: A private node that is younger may be starting.
_STARTING_SECONDS = 60.0


class Prunable(NamedTuple):
    """One thing that may go: ``kind`` is ``record``, ``unit`` or ``node``."""

    kind: str
    name: str
    why: str
    #: Deletes it; false if it is not to be deleted any more.
    delete: Callable[[], bool]


def find_prunable(mesh: Mesh | None) -> Iterator[Prunable]:
    """Everything that may go.

    :param mesh: where to look for units without a record; None for nowhere.
    :raises UnreachableError: ``mesh`` does not answer.
    """
    records = Records(jobs_directory())
    for record in list(records.all()):
        job = SubmittedJob(record, records)
        if record.delivered:
            why = f"the job is {record.state}, and its results are saved"
            yield Prunable("record", record.id, why, job.prune)
        elif not record.units:
            yield Prunable("record", record.id, "the job was never accepted", job.prune)
    if mesh is not None:
        yield from _units(mesh.address, records)
    yield from _private_nodes(records)


def _units(address: Address, records: Records) -> Iterator[Prunable]:
    found = run(_listed(address))
    known = {unit.unit for record in records.all() for unit in record.units}
    recorded = records.ids()
    ours = owner()
    for name, data in sorted(found.items()):
        try:
            handle = UnitHandle(address, name)
            status = UnitStatus.from_json(data)
            if name in known or not status.ended:
                continue
            job = run(_job_of(handle, status, ours))
        except (ReceptorRunnerError, ValueError):
            continue
        if job is not None and job not in recorded:
            yield Prunable(
                "unit",
                name,
                f"of the job {job}, which has no record",
                functools.partial(_release, handle, job, records),
            )


async def _listed(address: Address) -> JSONObject:
    with await connect(address) as connection:
        return await connection.command(command="work", subcommand="list")


def _release(handle: UnitHandle, job: str, records: Records) -> bool:
    if job in records.ids():
        return False
    run(handle.release())
    return True


async def _job_of(handle: UnitHandle, status: UnitStatus, ours: str) -> str | None:
    """The job of a unit of ours."""
    params = status.remote("RemoteParams")
    if isinstance(params, dict):
        job = params.get(JOB_TAG)
        return job if params.get(OWNER_TAG) == ours and isinstance(job, str) else None
    for line in (await handle.head(CONTROL_SECONDS, lambda head: b"\n" in head)).splitlines():
        try:
            told = Extension.of(parse_json(line))
        except (ValueError, AttributeError):
            continue
        if told.owner == ours:
            return told.job
    return None


def _private_nodes(records: Records) -> Iterator[Prunable]:
    for entry in os.scandir(nodes_directory()):
        if entry.is_dir(follow_symlinks=False) and _has_ended(entry.path, records):
            yield Prunable(
                "node", entry.name, "a private node that ended", functools.partial(_remove, entry.path, records)
            )


def _has_ended(node: str, records: Records) -> bool:
    """Whether nobody serves there, and nobody will: no unit is left that a record may need. A record that cannot be
    read may need any.
    """
    try:
        young = time.time() - os.lstat(node).st_mtime < _STARTING_SECONDS
        if young or node in {record.private_node for record in records.all()}:
            return False
        if units_of(node) and records.unreadable():
            return False
        run(connect(Address(private_socket(node), private=True), seconds=CONTROL_SECONDS)).close()
    except (InputError, UnreachableError):
        return True
    except (ReceptorRunnerError, OSError):
        return False
    return False


def _remove(node: str, records: Records) -> bool:
    if not _has_ended(node, records):
        return False
    remove_tree(node)
    return True
