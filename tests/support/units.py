"""Work units that say what a test wants."""

from __future__ import annotations

from receptor_runner.mesh.endpoint import connect
from receptor_runner.mesh.waiting import run
from receptor_runner.receptor.address import Address
from tests.support.nodes import Mesh


def ended_unit(mesh: Mesh, stream: bytes) -> str:
    """A unit whose worker says ``stream``, and ends well."""

    async def submit() -> str:
        with await connect(Address(str(mesh.executor.socket))) as connection:
            unit = await connection.create_unit(node="localhost", worktype="cat")
            await connection.send(stream)
            connection.half_close()
            await connection.readline()
            return unit

    return run(submit())
