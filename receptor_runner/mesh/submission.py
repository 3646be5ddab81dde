"""Hands a job to the mesh: a work unit, its payload, and the answer.

Rules: the unit's id is known, and saved by the caller, before the first byte of the payload leaves. The end of a
connection would start whatever has arrived (Receptor knows no other end mark), so a payload that fails leaves no
unit: what was begun is ended, released, and only then is the failure told."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import NamedTuple

from ..control import CommandError, command_line, created_unit, parse_reply
from ..errors import ReceptorRunnerError, UnreachableError
from ..limits import SLOW_CONTROL_SECONDS, START_SECONDS
from ..messages import JSONObject
from ..signals import StopFlag
from ..streams import Output
from .connection import Connection, Endpoint, refusal
from .offer import Target

__all__ = ["Sender", "submit"]

logger = logging.getLogger(__name__)

#: Slowest mesh that is believed in, in bytes a second: the answer comes when the payload has crossed it.
_SLOWEST_MESH = 128 * 1024


class _Payload:
    """A connection as the output of transmit."""

    def __init__(self, connection: Connection, progress: Callable[[int], None] | None) -> None:
        self.deadline: float | None = None
        self.while_waiting: Callable[[], None] | None = None
        self.size = 0
        self._connection = connection
        self._progress = progress

    def write(self, data: bytes) -> None:
        self._connection.send(data, SLOW_CONTROL_SECONDS)
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


def submit(endpoint: Endpoint, target: Target, tags: JSONObject, sender: Sender, flag: StopFlag | None = None) -> str:
    """Submits one job and returns the unit's id.

    :raises CommandError: the node refuses it, and no unit is left.
    :raises RefusedError: because of a signature or TLS.
    :raises UnreachableError: the daemon went away; the unit may be left.
    """
    with endpoint.connect(flag) as connection:
        connection.send(
            command_line(
                command="work",
                subcommand="submit",
                node="localhost" if target.local else target.node,
                worktype=target.worktype,
                tlsclient=target.tlsclient,
                ttl=target.ttl,
                signwork="true" if target.signwork else None,
                **tags,
            )
        )
        try:
            unit = created_unit(connection.readline())
        except CommandError as exc:
            raise refusal(exc) from exc
        payload = _Payload(connection, sender.progress)
        try:
            sender.created(unit)
            sender.write(payload)
            connection.half_close()
            answer = parse_reply(connection.readline(START_SECONDS + payload.size / _SLOWEST_MESH))
        except UnreachableError:
            raise
        except BaseException as exc:
            connection.close()
            _discard(endpoint, unit)
            if isinstance(exc, CommandError):
                raise refusal(exc) from exc
            raise
    logger.info("unit %s: %s", unit, answer.get("result"))
    return unit


def _discard(endpoint: Endpoint, unit: str) -> None:
    """Ends and removes a unit whose payload is not whole: it may have begun to run."""
    for subcommand in ("release", "force-release"):
        try:
            with endpoint.connect() as connection:
                connection.command(SLOW_CONTROL_SECONDS, command="work", subcommand=subcommand, unitid=unit)
                return
        except ReceptorRunnerError as exc:
            logger.warning("the unit %s could not be released: %s", unit, exc)
