"""Commands on work units, each over a connection of its own: status, cancel, release, the head of the results.

Rules: an answer counts only for what it proves. ``cancelled`` proves nothing, because the daemon says so also when
nothing was stopped. ``unknown work unit`` proves that the unit is gone."""

from __future__ import annotations

import time
from collections.abc import Callable

from ..errors import LostError, UnreachableError
from ..limits import SLOW_CONTROL_SECONDS
from ..receptor.address import Address
from ..receptor.control_protocol import CommandError
from ..receptor.work_unit import UnitStatus, check_unit_id
from .connection import Connection
from .endpoint import connect

__all__ = ["JOB_TAG", "OWNER_TAG", "UnitGoneError", "UnitHandle", "unit_status"]

_UNKNOWN = "unknown work unit"
#: How much of the results is looked at, if only their beginning is wanted, in bytes.
_LONGEST_HEAD = 256 * 1024

#: Parameters that no worktype reads; the daemon keeps them with a remote unit, so a lost unit can be found again.
JOB_TAG = "receptor_runner_job"
OWNER_TAG = "receptor_runner_owner"


class UnitGoneError(LostError):
    """The daemon does not know the unit any more."""


async def unit_status(connection: Connection, unit: str) -> UnitStatus:
    """The status of ``unit`` at the node that ``connection`` leads to.

    :raises UnitGoneError: there is no such unit.
    """
    try:
        reply = await connection.unit_command("status", unit)
    except CommandError as exc:
        if _UNKNOWN in str(exc):
            raise UnitGoneError(f"the work unit {unit} is not on {connection.node} any more") from exc
        raise
    return UnitStatus.from_json(reply)


class UnitHandle:
    """One unit, as the node that we are connected to knows it.

    :param undisturbed: no stop flag ends a wait for it.
    """

    def __init__(self, address: Address, unit: str, *, undisturbed: bool = False) -> None:
        self.unit = check_unit_id(unit)
        self.address = address
        self._undisturbed = undisturbed

    async def connect(self) -> Connection:
        return await connect(self.address, undisturbed=self._undisturbed)

    async def status(self) -> UnitStatus:
        """:raises UnitGoneError: there is no such unit.
        :raises UnreachableError: the daemon cannot be asked.
        """
        with await self.connect() as connection:
            return await unit_status(connection, self.unit)

    async def far_unit(self) -> str:
        """Its id at the node that runs it.

        :raises UnreachableError: the node has not taken it yet, or the daemon cannot be asked.
        """
        status = await self.status()
        remote = status.remote("RemoteUnitID")
        if status.remote("RemoteNode") and not remote:
            raise UnreachableError(
                f"the node {status.remote('RemoteNode')} has not taken the work unit {self.unit} yet"
            )
        return str(remote or self.unit)

    async def cancel(self) -> str:
        """Asks for a cancel; what the daemon answers: ``cancelled``, ``cancel pending``, or why not."""
        try:
            with await self.connect() as connection:
                reply = await connection.unit_command("cancel", self.unit, SLOW_CONTROL_SECONDS)
        except CommandError as exc:
            return str(exc)
        return next(iter(reply), "")

    async def release(self, *, force: bool = False) -> str:
        """``released``, ``release pending`` (the daemon goes on trying), or ``gone``.

        :raises CommandError: it cannot be released.
        """
        try:
            with await self.connect() as connection:
                subcommand = "force-release" if force else "release"
                reply = await connection.unit_command(subcommand, self.unit, SLOW_CONTROL_SECONDS)
        except CommandError as exc:
            if str(exc) == f"{_UNKNOWN} {self.unit}":
                return "gone"
            if _UNKNOWN in str(exc) and not force:
                return await self.release(force=True)  # it is gone at the other end
            raise
        return next(iter(reply), "")

    async def head(self, seconds: float, enough: Callable[[bytes], object], longest: int = _LONGEST_HEAD) -> bytes:
        """The results from their beginning, as far as they come within ``seconds`` or until they are ``enough``.

        :param longest: no more than about so many bytes.

        :raises CommandError: there are none to be had.
        """
        head = b""
        until = time.monotonic() + seconds
        with await self.connect() as connection:
            await connection.ask_for_results(self.unit)
            while not enough(head) and len(head) < longest and (left := until - time.monotonic()) > 0:
                data = await connection.read(left)
                if not data:
                    break
                head += data
        return head
