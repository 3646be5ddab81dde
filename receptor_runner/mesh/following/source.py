"""A work unit's results as the input of a process stage, whatever happens on the way.

Rules: bytes are counted and a broken connection is resumed at the count. Results are read at the node that makes them
where the mesh allows it, because the daemon's own way looks for news once a second; else from the unit here. Silence
proves nothing: a unit has ended when its node says so and every byte was read, it is lost when its node answers and
nothing works on it in two looks, and a node that does not answer is unreachable."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from ...errors import (
    ConfigurationError,
    DetachedError,
    Interrupted,
    LostError,
    ReceptorRunnerError,
    RefusedError,
    TruncatedStreamError,
    UnreachableError,
)
from ...limits import (
    LIVENESS_PROBE_AFTER_SECONDS,
    LIVENESS_RETRY_SECONDS,
    PROBE_AGAIN_SECONDS,
    RECONNECT_SECONDS,
    RESULTS_LAG_SECONDS,
    SETTLE_SECONDS,
    STREAM_STALL_SECONDS,
    UNIT_POLL_SECONDS,
)
from ...receptor.control_protocol import CommandError
from ...receptor.work_unit import CANCELED, PENDING, RUNNER_GONE, RUNNING, UnitStatus
from ...system.signals import StopFlag
from ..connection import Connection
from ..units import UnitHandle, Way
from ..worker_queries import probe

__all__ = ["FollowOptions", "ResultsInput", "unfinished"]

logger = logging.getLogger(__name__)

#: What a status says of a unit whose runner is gone, on an embedded node and after a restart of a daemon.
_LOST_DETAILS = (
    RUNNER_GONE,
    "Pending at restart",
    "Failed to restart",
    "Remote work unit is gone",
)
#: A daemon looks for a unit's first output twice a second; who asks a moment later finds it.
_FIRST_OUTPUT_SECONDS = 0.06
#: What a cancel may take when the follower is about to leave.
_LAST_CANCEL_SECONDS = 1.0
#: How often a node is asked itself before its results are read here.
_DIRECT_TRIES = 3


@dataclass
class FollowOptions:
    """How to follow. ``offset`` is in bytes of the results, what is before it is not wanted; ``lost_after`` in
    seconds that the mesh may be out of reach; ``far_unit`` the unit's id at its node, if it is known.

    ``changed`` is called with ``pending``, ``running`` or ``unreachable`` and the unit's id at its node when either
    changes; ``revive`` brings back the node that we are connected to, if it is ours to do so."""

    offset: int
    lost_after: float
    changed: Callable[[str, str | None], None]
    far_unit: str | None = None
    revive: Callable[[], None] | None = None


class ResultsInput:
    """An :class:`receptor_runner.stream.endpoints.Input`."""

    def __init__(self, handle: UnitHandle, way: Way, flag: StopFlag, options: FollowOptions) -> None:
        #: Bytes of the results read so far, and before.
        self.offset = options.offset
        #: The unit's last known status.
        self.status: UnitStatus | None = None
        self._handle = handle
        self._way = way
        self._flag = flag
        self._lost_after = options.lost_after
        self._changed = options.changed
        self._far_unit = options.far_unit
        self._state = ""
        self._connection: Connection | None = None
        self._cancelling: Connection | None = None
        self._cancel_wanted = False
        self._ended = False
        self._direct_failures = 0
        now = time.monotonic()
        self._next_try = now + (_FIRST_OUTPUT_SECONDS if not options.offset else 0.0)
        self._backoff = RECONNECT_SECONDS[0]
        self._last_data = now
        self._next_look = now + UNIT_POLL_SECONDS
        self._out_of_reach_since: float | None = None
        self._dead_looks = 0
        self._next_probe = now
        self._ended_since: float | None = None
        self._revive = options.revive

    def close(self) -> None:
        if self._cancel_wanted:
            self._send_last_cancel()
        for connection in (self._connection, self._cancelling):
            if connection is not None:
                connection.close()
        self._connection = self._cancelling = None

    def read(self, wanted: int, timeout: float | None) -> bytes | None:
        """Some bytes; None on a tick.

        :raises ReceptorRunnerError: the unit has ended and everything was read; the error says what its end means for
            a stream that has none.
        :raises LostError: the unit, or what ran it, is gone.
        :raises DetachedError: the mesh was out of reach for too long.
        """
        until = None if timeout is None else time.monotonic() + timeout
        while not self._ended:
            try:
                data = self._step(until)
            except Interrupted:
                return None
            if data is not None:
                return data
            if self._flag.wait(0) or (until is not None and time.monotonic() >= until):
                return None
        assert self.status is not None
        raise unfinished(self.status, self.offset)

    def _step(self, until: float | None) -> bytes | None:
        now = time.monotonic()
        if self._cancel_wanted:
            self._guarded(self._send_cancel)
        if self._connection is None:
            if now < self._next_try:
                self._flag.wait(max(0.0, min(self._next_try, until or self._next_try) - now))
            else:
                self._guarded(self._open)
            return None
        waits = [self._next_look - now, *([until - now] if until is not None else [])]
        data = self._connection.read(max(0.0, min(waits)))
        if data:
            self._took(data)
            return data
        if data == b"":
            self._drop()
            self._guarded(self._look)
        elif time.monotonic() >= self._next_look:
            self._guarded(self._look)
        return None

    def _took(self, data: bytes) -> None:
        self.offset += len(data)
        self._last_data = time.monotonic()
        self._next_look = self._last_data + UNIT_POLL_SECONDS
        self._backoff = RECONNECT_SECONDS[0]
        self._direct_failures = self._dead_looks = 0
        self._ended_since = None
        self._reached()
        self._note("running")

    def _guarded(self, action: Callable[[], None]) -> None:
        """What cannot be reached now is tried again later."""
        try:
            action()
        except CommandError as exc:
            self._direct_failures += 1  # the unit here may tell more than its node
            self._out_of_reach(str(exc))
        except (UnreachableError, RefusedError, ConfigurationError, OSError) as exc:
            self._out_of_reach(str(exc))

    def _retry_later(self) -> None:
        self._drop()
        self._next_try = time.monotonic() + self._backoff
        self._backoff = min(self._backoff * 1.5, RECONNECT_SECONDS[1])

    def _out_of_reach(self, reason: str) -> None:
        now = time.monotonic()
        self._retry_later()
        if self._out_of_reach_since is None:
            self._out_of_reach_since = now
            logger.warning("out of reach, and trying again: %s", reason)
        self._note("unreachable")
        if self._revive is not None:
            try:
                self._revive()
            except (ReceptorRunnerError, OSError) as exc:
                logger.info("the node could not be brought back: %s", exc)
        if now - self._out_of_reach_since > self._lost_after:
            raise DetachedError(f"out of reach for {self._lost_after:.0f} s: {reason}; the job may go on, attach later")

    def _reached(self) -> None:
        self._out_of_reach_since = None

    def _note(self, state: str) -> None:
        if state != self._state:
            self._state = state
            self._changed(state, self._far_unit)

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    # opening

    def _open(self) -> None:
        status = self._handle.status()
        self._learn(status)
        if status.ended and not status.stdout_size:
            self._judge(status)
        if status.worktype == "remote" and not self._far_unit and not status.ended:
            self._reached()
            self._note("pending")
            self._retry_later()
            return
        connection = self._handle.connect()
        try:
            self._ask_for_results(connection, status)
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        self._next_look = time.monotonic() + UNIT_POLL_SECONDS

    def _ask_for_results(self, connection: Connection, status: UnitStatus) -> None:
        unit = self._handle.unit
        direct = self._way.direct and self._direct_failures < _DIRECT_TRIES and self._far_unit is not None
        if direct:
            connection.connect_to(str(self._way.node), self._way.tlsclient)
            unit = str(self._far_unit)
        connection.ask_for_results(unit, self.offset)
        if direct or self._way.node is None:
            self._reached()
            self._note("pending" if status.state == PENDING else "running")

    def _learn(self, status: UnitStatus) -> None:
        self.status = status
        far = status.remote("RemoteUnitID")
        if isinstance(far, str) and far and far != self._far_unit:
            self._far_unit = far
            self._changed(self._state or "pending", far)

    # looking

    def _look(self) -> None:
        """Nothing came for a while, or the results ended: what does the unit say?"""
        self._next_look = time.monotonic() + UNIT_POLL_SECONDS
        status = self._handle.status()
        if self._way.node is None:
            self._reached()
        self._learn(status)
        if status.ended:
            self._judge(status)
        elif self._connection is None:
            self._retry_later()
        else:
            self._look_closer(status)

    def _judge(self, status: UnitStatus) -> None:
        """The unit is said to have ended: is that believed, and is everything read?

        Only after a quiet moment, because an older daemon writes some states too early."""
        now = time.monotonic()
        if self._ended_since is None:
            self._ended_since = now
        quiet = now - max(self._ended_since, self._last_data)
        if quiet >= (SETTLE_SECONDS if self.offset >= status.stdout_size else RESULTS_LAG_SECONDS):
            self._ended = True
        self._next_look = now + SETTLE_SECONDS
        if self._connection is None:
            self._next_try = now + SETTLE_SECONDS / 5

    def _look_closer(self, status: UnitStatus) -> None:
        """The unit is said to run, and nothing comes: what does its node say?"""
        silent = time.monotonic() - self._last_data
        if silent < STREAM_STALL_SECONDS:
            return
        if self._way.node is not None and self._far_unit is not None:
            status = self._far_status()
            self._reached()
        self._note("running" if status.state == RUNNING else "pending")
        if status.stdout_size > self.offset:
            self._drop()  # the stream is deaf: a new one goes on at the same byte
            self._direct_failures = 0
            self._next_try = time.monotonic()
        elif status.ended:
            self._judge(status)
        elif (
            silent >= LIVENESS_PROBE_AFTER_SECONDS and status.state == RUNNING and time.monotonic() >= self._next_probe
        ):
            self._probe()

    def _far_status(self) -> UnitStatus:
        try:
            with self._handle.connect() as connection:
                connection.connect_to(str(self._way.node), self._way.tlsclient)
                return UnitHandle.status_over(connection, str(self._far_unit))
        except CommandError as exc:
            raise UnreachableError(f"the node {self._way.node} cannot be reached: {exc}") from exc

    def _probe(self) -> None:
        unit = self._far_unit or self._handle.unit
        alive = probe(self._handle.endpoint, self._way, unit, self._flag)
        if alive is None:
            self._next_probe = time.monotonic() + PROBE_AGAIN_SECONDS
        self._dead_looks = self._dead_looks + 1 if alive is False else 0
        if self._dead_looks >= 2:
            raise LostError(f"the node answers, and nothing works on the unit {unit} any more; its runner is gone")
        if self._dead_looks:
            self._next_look = time.monotonic() + LIVENESS_RETRY_SECONDS

    # cancelling

    def cancel(self) -> None:
        """Asks the mesh to cancel; the stream's end tells whether it did."""
        self._cancel_wanted = True

    def _send_cancel(self) -> None:
        if self._cancelling is not None:
            self._cancelling.close()
        self._cancelling = self._handle.connect()
        self._cancelling.ask_to_cancel(self._handle.unit)
        self._cancel_wanted = False

    def _send_last_cancel(self) -> None:
        """Nobody waits for the job any more, and a cancel was asked for that has not left yet."""
        try:
            with self._handle.endpoint.connect(seconds=_LAST_CANCEL_SECONDS) as connection:
                connection.ask_to_cancel(self._handle.unit, _LAST_CANCEL_SECONDS)
        except (ReceptorRunnerError, OSError) as exc:
            logger.warning("the cancel did not reach the mesh: %s", exc)


def unfinished(status: UnitStatus, offset: int) -> ReceptorRunnerError:
    """What it means that a unit has ended and its stream has not."""
    detail = status.detail
    if detail.startswith(_LOST_DETAILS):
        return LostError(f"the work unit has failed: {detail}")
    if status.state == CANCELED or detail == "Locally Cancelled":
        return Interrupted("the work unit was cancelled")
    if detail.startswith("Work unit expired"):
        return UnreachableError(f"the node did not take the job in time: {detail}")
    if any(word in detail for word in ("signature", "TLS", "CRYPTO_ERROR")):
        return RefusedError(f"the node refused the job: {detail}")
    if detail.startswith("Error starting worker"):
        return UnreachableError(f"the node refused the job: {detail}")
    if detail.startswith(("fork/exec", "exec:", "EOF found when expecting")):
        return ConfigurationError(f"the node cannot start the command of its worktype: {detail}")
    return TruncatedStreamError(
        f"the work unit ended ({detail or 'without a word'}) and its stream did not: it stops at byte {offset}"
    )
