"""Commands on work units, each over a connection of its own: status, cancel, release, the head of the results.

Rules: answers are read as what they prove. ``cancelled`` proves nothing (the daemon says so when nothing was or could
be stopped), ``unknown work unit`` proves that the unit is gone."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import NamedTuple

from ..errors import LostError
from ..limits import SLOW_CONTROL_SECONDS
from ..receptor.control_protocol import CommandError
from ..receptor.work_unit import UnitStatus, check_unit_id
from ..system.signals import StopFlag, check
from .connection import Connection
from .endpoint import Endpoint

__all__ = ["JOB_TAG", "OWNER_TAG", "UnitGoneError", "UnitHandle", "Way"]

logger = logging.getLogger(__name__)

_UNKNOWN = "unknown work unit"
#: How long a unit may take to be seen as ended after its cancel was answered: the far status comes once a second.
_SHOWN_SECONDS = 15.0
_ENDED_POLL_SECONDS = 0.1
#: How much of the results is looked at, if only their beginning is wanted, in bytes.
_LONGEST_HEAD = 256 * 1024

#: Parameters that no worktype reads; the daemon keeps them with a remote unit, so a lost unit can be found again.
JOB_TAG = "receptor_runner_job"
OWNER_TAG = "receptor_runner_owner"


class Way(NamedTuple):
    """Where a unit runs and how to it: ``node`` None for the node that we are connected to."""

    node: str | None
    worktype: str
    tlsclient: str | None = None
    signwork: bool = False

    @property
    def direct(self) -> bool:
        """Whether results may be read at the node itself: a signed worktype wants a signature for that."""
        return self.node is not None and not self.signwork


class UnitGoneError(LostError):
    """The daemon does not know the unit any more."""


class UnitHandle:
    """One unit, as the node that we are connected to knows it."""

    def __init__(self, endpoint: Endpoint, unit: str, flag: StopFlag | None = None) -> None:
        self.unit = check_unit_id(unit)
        self.endpoint = endpoint
        self._flag = flag

    def check_flag(self) -> None:
        """:raises Interrupted: the flag was raised."""
        check(self._flag)

    def connect(self) -> Connection:
        return self.endpoint.connect(self._flag)

    def status(self) -> UnitStatus:
        """:raises UnitGoneError: there is no such unit.
        :raises UnreachableError: the daemon cannot be asked.
        """
        with self.connect() as connection:
            return self.status_over(connection, self.unit)

    @staticmethod
    def status_over(connection: Connection, unit: str) -> UnitStatus:
        """The status of ``unit`` at the node that ``connection`` leads to."""
        try:
            reply = connection.unit_command("status", unit)
        except CommandError as exc:
            if _UNKNOWN in str(exc):
                raise UnitGoneError(f"the work unit {unit} is not on {connection.node} any more") from exc
            raise
        return UnitStatus.from_json(reply)

    def cancel(self) -> str:
        """Asks for a cancel; what the daemon answers: ``cancelled``, ``cancel pending``, or why not."""
        try:
            with self.connect() as connection:
                reply = connection.unit_command("cancel", self.unit, SLOW_CONTROL_SECONDS)
        except CommandError as exc:
            return str(exc)
        return next(iter(reply), "")

    def wait_ended(self, pause: Callable[[float], None], seconds: float = _SHOWN_SECONDS) -> UnitStatus | None:
        """The unit's last status, or None if it is not seen to end within ``seconds``."""
        until = time.monotonic() + seconds
        while True:
            status = self.status()
            if status.ended:
                return status
            if time.monotonic() > until:
                return None
            pause(_ENDED_POLL_SECONDS)

    def release(self, *, force: bool = False) -> str:
        """``released``, ``release pending`` (the daemon goes on trying), or ``gone``.

        :raises CommandError: it cannot be released.
        """
        try:
            with self.connect() as connection:
                subcommand = "force-release" if force else "release"
                reply = connection.unit_command(subcommand, self.unit, SLOW_CONTROL_SECONDS)
        except CommandError as exc:
            if str(exc) == f"{_UNKNOWN} {self.unit}":
                return "gone"
            if _UNKNOWN in str(exc) and not force:
                return self.release(force=True)  # it is gone at the other end
            raise
        return next(iter(reply), "")

    def head(self, seconds: float, enough: Callable[[bytes], object]) -> bytes:
        """The results from their beginning, as far as they come within ``seconds`` or until they are ``enough``.

        :raises CommandError: there are none to be had.
        """
        head = b""
        until = time.monotonic() + seconds
        with self.connect() as connection:
            connection.ask_for_results(self.unit)
            while not enough(head) and len(head) < _LONGEST_HEAD and (left := until - time.monotonic()) > 0:
                data = connection.read(left)
                if not data:
                    break
                head += data
        return head
