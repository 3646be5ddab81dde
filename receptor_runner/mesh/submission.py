"""Hands a job to the mesh: a work unit, its payload, and the answer.

Rules: the unit's id is known, and saved by the caller, before the first byte of the payload leaves. If a connection
ended in the middle, Receptor would start whatever has arrived, because it knows no other end mark. So a payload that
fails leaves no unit: it is ended, its unit is released, and only then is the failure told."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import NamedTuple

from ..errors import ReceptorRunnerError, UnreachableError
from ..limits import SLOW_CONTROL_SECONDS, START_SECONDS
from ..receptor.address import Address
from ..receptor.control_protocol import CommandError, parse_reply
from ..records.record import Route
from ..stream.endpoints import Output
from ..stream.messages import JSONObject
from ..system.signals import StopFlag, check
from .connection import Connection, refusal
from .endpoint import connect
from .units import UnitHandle
from .waiting import run

__all__ = ["Sender", "release_unwanted", "submit"]

logger = logging.getLogger(__name__)

#: The slowest mesh that is waited for, in bytes a second: the answer comes when the payload has crossed it.
_SLOWEST_MESH = 128 * 1024


class _Payload:
    """A connection as the output of transmit."""

    def __init__(self, connection: Connection, progress: Callable[[int], None] | None, flag: StopFlag | None) -> None:
        self.deadline: float | None = None
        self.while_waiting: Callable[[], None] | None = None
        self.size = 0
        self._connection = connection
        self._progress = progress
        self._flag = flag

    def write(self, data: bytes) -> None:
        run(self._connection.send(data, SLOW_CONTROL_SECONDS), self._flag)
        self.size += len(data)
        if self._progress is not None:
            self._progress(self.size)

    def closed_by_reader(self) -> bool:
        return False

    def fileno(self) -> int | None:
        return None


class Sender(NamedTuple):
    """Where a payload comes from, and who is told: ``write`` writes all of it, ``created`` gets the unit's id before
    the first byte of it leaves, ``progress`` the number of bytes sent so far.
    """

    write: Callable[[Output], object]
    created: Callable[[str], None]
    progress: Callable[[int], None] | None = None


def submit(address: Address, route: Route, tags: JSONObject, sender: Sender, flag: StopFlag | None = None) -> str:
    """Submits one job and returns the unit's id.

    :raises CommandError: the node refuses it, and no unit is left.
    :raises RefusedError: because of a signature or TLS.
    :raises UnreachableError: the daemon went away; the unit may be left.
    """
    with run(connect(address), flag) as connection:
        unit = run(
            connection.create_unit(
                node="localhost" if route.local else route.node,
                worktype=route.worktype,
                tlsclient=route.tlsclient,
                ttl=route.ttl,
                signwork="true" if route.signwork else None,
                **tags,
            ),
            flag,
        )
        logger.debug("the work unit is %s", unit)
        payload = _Payload(connection, sender.progress, flag)
        try:
            sender.created(unit)
            sender.write(payload)
            logger.debug("%d bytes are sent; waiting for the node's answer", payload.size)
            answer = run(_end_payload(connection, payload.size))
            check(flag)
        except UnreachableError:
            raise
        except BaseException as exc:
            _discard(address, connection, unit, payload.size)
            if isinstance(exc, CommandError):
                raise refusal(exc) from exc
            raise
    logger.info("unit %s: %s", unit, answer.get("result"))
    return unit


async def _end_payload(connection: Connection, size: int) -> JSONObject:
    """Ends the payload and waits for the node's answer, whatever signal comes: until then nothing can be released.

    :raises CommandError: the node refuses the job.
    """
    connection.half_close()
    return parse_reply(await connection.readline(START_SECONDS + size / _SLOWEST_MESH))


def _discard(address: Address, connection: Connection, unit: str, size: int) -> None:
    """Ends and removes a unit that is not wanted any more, or whose payload is not whole.

    A unit that is on its way to its node cannot be called back: released too early, it would run there, unknown
    here. So its payload is ended as it is (a worker refuses one that is not whole), and the unit released when it has
    arrived.
    """
    if not connection.ended:
        try:
            run(_end_payload(connection, size))
        except ReceptorRunnerError as exc:
            logger.info("the unit %s was not started: %s", unit, exc)
    connection.close()
    release_unwanted(address, unit)


def release_unwanted(address: Address, unit: str) -> None:
    """Releases a unit; by force only if there is no other way, because then its node may keep it."""
    for force in (False, True):
        try:
            run(UnitHandle(address, unit).release(force=force))
            return
        except ReceptorRunnerError as exc:
            logger.warning("the unit %s could not be released: %s", unit, exc)
