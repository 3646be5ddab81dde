"""Asks a node what its mesh offers.

Rules: one connection, one question, one deadline."""

from __future__ import annotations

from ..limits import CONTROL_SECONDS
from ..receptor.address import Address
from .endpoint import connect
from .route import MeshStatus

__all__ = ["mesh_status"]


async def mesh_status(address: Address, seconds: float = CONTROL_SECONDS) -> MeshStatus:
    """:raises UnreachableError: the node does not answer in that time."""
    with await connect(address, seconds) as connection:
        return MeshStatus(await connection.command(command="status"))
