"""A job that another controller has submitted: the way to its unit, what a record here says of it, and a look at it
without taking it over.

Rules: the status of a unit needs no signature, and whatever else is asked of a signed worktype does."""

from __future__ import annotations

import dataclasses
import os
from typing import NamedTuple

from ..errors import RefusedError
from ..job.private_data import PrivateDataDir
from ..limits import VERDICT_SECONDS
from ..receptor.address import Address
from ..records.record import Record, Route, UnitRef
from ..system.signals import StopFlag
from .mesh_status import mesh_status
from .submitted import SubmittedJob
from .units import UnitHandle

__all__ = ["OtherJob", "WayToUnit", "record_of_unit", "way_to_unit"]


class WayToUnit(NamedTuple):
    """Where the unit of a job is: on ``node``, reached by ``address``."""

    address: Address
    node: str
    worktype: str


async def way_to_unit(address: Address, signing: tuple[str, float] | None, node: str, unit: str) -> WayToUnit:
    """The way to a unit on any node of the mesh of ``address``.

    :param signing: the file of the key for signed worktypes, and for how many seconds a signature is good.
    :raises UnreachableError: there is none.
    :raises LostError: the node has no such unit.
    :raises RefusedError: the worktype is signed and there is no key, or the node wants TLS.
    """
    mesh = await mesh_status(address)
    way = mesh.way_to(node, address.tlsclient)
    if node != mesh.own:
        address = dataclasses.replace(address, through=node, through_tls=way)
    status = await UnitHandle(address, unit).status()
    if address.through is not None and (mesh.node(node).worktypes or {}).get(status.worktype):
        if signing is None:
            raise RefusedError(
                f"the worktype {status.worktype} of {node} is signed, and no work-signing is named",
                hint="name a receptor configuration with one that the node believes: --config",
            )
        key, seconds = signing
        address = dataclasses.replace(address, signing_key=os.path.abspath(key), signature_seconds=seconds)
    return WayToUnit(address, node, status.worktype)


def record_of_unit(way: WayToUnit, unit: str, name: str, private_data: PrivateDataDir) -> Record:
    """The record of a job that is called ``name`` here; its artifacts are saved in ``private_data``."""
    return Record(
        id=name,
        private_data_dir=str(private_data.path),
        artifact_dir=str(private_data.artifacts / name),
        address=way.address,
        route=Route(way.node, way.worktype, local=True),
        settings=private_data.settings(),
        units=[UnitRef(unit, way.node, local=True)],
        adopted=True,
    )


class OtherJob(SubmittedJob):
    """One that is only looked at: its record is in memory alone."""

    def refresh(self, flag: StopFlag | None = None, seconds: float = VERDICT_SECONDS) -> Record:
        """:raises ReceptorRunnerError: its node cannot be asked, or has no such unit."""
        self.ask(flag, seconds)
        return self.record
