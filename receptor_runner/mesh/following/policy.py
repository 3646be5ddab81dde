"""When a follower of a work unit does what: opens its results, looks at it, probes for its process, gives up.

Rules: no IO and no clock. A policy is given facts and the time, and answers with the next :class:`Action`. Silence
proves nothing. A unit has ended if its node says so and every byte was read. It is lost if its node answers and
nothing works on it in two looks. A node that does not answer is unreachable. Times are seconds of one clock."""

from __future__ import annotations

import enum
from typing import NamedTuple

from ...errors import DetachedError, LostError, ReceptorRunnerError
from ...limits import (
    LIVENESS_PROBE_AFTER_SECONDS,
    LIVENESS_RETRY_SECONDS,
    LOST_AFTER_SECONDS,
    PROBE_AGAIN_SECONDS,
    RECONNECT_SECONDS,
    RESULTS_LAG_SECONDS,
    SETTLE_SECONDS,
    STREAM_STALL_SECONDS,
    UNIT_POLL_SECONDS,
)
from ...receptor.work_unit import PENDING as UNIT_PENDING
from ...receptor.work_unit import RUNNING as UNIT_RUNNING
from ...receptor.work_unit import UnitStatus
from ...records.record import PENDING, RUNNING, UNREACHABLE
from .unit_end import unfinished

__all__ = ["Action", "Do", "FollowPolicy", "FollowedUnit"]

#: A daemon looks for a unit's first output twice a second. It is there if one asks a moment later.
_FIRST_OUTPUT_SECONDS = 0.06
#: How often the node that runs the unit is asked for its results before they are read here.
_DIRECT_TRIES = 3


class Do(enum.Enum):
    """What a driver can be told to do."""

    #: Wait for data until the time of the action.
    WAIT = enum.auto()
    #: Ask for the unit's status here, and then for its results: :meth:`FollowPolicy.learned`,
    #: :meth:`FollowPolicy.opened`.
    OPEN = enum.auto()
    #: Ask for the unit's status here: :meth:`FollowPolicy.looked`.
    LOOK = enum.auto()
    #: Ask the node that runs it: :meth:`FollowPolicy.looked_far`.
    LOOK_FAR = enum.auto()
    #: Have a worker there look for the unit's process: :meth:`FollowPolicy.probed`.
    PROBE = enum.auto()
    #: Ask the mesh to cancel the unit: :meth:`FollowPolicy.cancel_sent`.
    CANCEL = enum.auto()
    #: Stop following because of the error of the action.
    END = enum.auto()


class Action(NamedTuple):
    do: Do
    until: float = 0.0
    error: ReceptorRunnerError | None = None


class FollowedUnit(NamedTuple):
    """What is followed. ``unit`` is its id here. ``remote``: another node than the one that we are connected to runs
    it. ``direct``: its results may be read there. ``offset`` is in bytes of the results; what is before it is not
    wanted."""

    unit: str
    remote: bool
    direct: bool
    offset: int = 0
    far_unit: str | None = None
    #: How long the mesh may be out of reach.
    lost_after: float = LOST_AFTER_SECONDS


class FollowPolicy:
    """Follows one unit from the time ``now`` on."""

    def __init__(self, unit: FollowedUnit, now: float) -> None:
        #: ``pending``, ``running`` or ``unreachable``; empty as long as nothing is known.
        self.state = ""
        #: The unit's id at the node that runs it, once known.
        self.far_unit = unit.far_unit
        #: Bytes of the results read so far, and before.
        self.offset = unit.offset
        #: Whether the results are open. A driver closes them when this becomes false.
        self.connected = False
        #: Whether a cancel is to be sent that has not left yet.
        self.cancel_wanted = False
        self._unit = unit
        self._error: ReceptorRunnerError | None = None
        self._pending: Do | None = None
        self._next_try = now + (0.0 if unit.offset else _FIRST_OUTPUT_SECONDS)
        self._next_cancel = now
        self._backoff = RECONNECT_SECONDS[0]
        self._last_data = now
        self._next_look = now + UNIT_POLL_SECONDS
        self._next_probe = now
        self._out_of_reach_since: float | None = None
        self._direct_failures = 0
        self._dead_looks = 0
        self._ended_since: float | None = None

    @property
    def direct(self) -> bool:
        """Whether the results are to be asked for at the node that runs the unit."""
        return self._unit.direct and self._direct_failures < _DIRECT_TRIES and self.far_unit is not None

    def next(self, now: float) -> Action:
        """What to do now."""
        if self._error is not None:
            return Action(Do.END, error=self._error)
        if self.cancel_wanted and now >= self._next_cancel:
            return Action(Do.CANCEL)
        if self._pending is not None:
            return Action(self._pending)
        if self.connected:
            return Action(Do.LOOK) if now >= self._next_look else Action(Do.WAIT, self._next_look)
        return Action(Do.OPEN) if now >= self._next_try else Action(Do.WAIT, self._next_try)

    # what happened

    def data(self, size: int, now: float) -> None:
        """``size`` bytes of the results came."""
        self.offset += size
        self._last_data = now
        self._next_look = now + UNIT_POLL_SECONDS
        self._backoff = RECONNECT_SECONDS[0]
        self._direct_failures = self._dead_looks = 0
        self._ended_since = None
        self._reached()
        self.state = RUNNING

    def closed(self, now: float) -> None:
        """The results came to an end, or their connection did."""
        self.connected = False
        self._pending = Do.LOOK

    def failed(self, reason: str, now: float, *, refused: bool = False) -> None:
        """Something could not be reached; it is tried again later.

        :param refused: the command was answered, with an error.
        """
        self._pending = None
        if refused:
            self._direct_failures += 1  # the unit here may tell more than its node
        self._retry_later(now)
        self._next_cancel = self._next_try
        if self._out_of_reach_since is None:
            self._out_of_reach_since = now
        self.state = UNREACHABLE
        if now - self._out_of_reach_since > self._unit.lost_after:
            self._error = DetachedError(f"out of reach for {self._unit.lost_after:.0f} s: {reason}; the job may go on")

    def learned(self, status: UnitStatus, now: float) -> bool:
        """The status before the results are opened; whether there may be some."""
        self._learn(status)
        if status.ended and not status.stdout_size:
            self._judge(status, now)
        if status.worktype == "remote" and not self.far_unit and not status.ended:
            self._reached()
            self.state = PENDING
            self._retry_later(now)
            return False
        return self._error is None

    def opened(self, status: UnitStatus, now: float, *, direct: bool) -> None:
        """The results are open, at the node that runs the unit if ``direct``."""
        self.connected = True
        self._next_look = now + UNIT_POLL_SECONDS
        if direct or not self._unit.remote:
            self._reached()
            self.state = PENDING if status.state == UNIT_PENDING else RUNNING

    def looked(self, status: UnitStatus, now: float) -> None:
        """The status here, because nothing came for a while or the results ended."""
        self._pending = None
        self._next_look = now + UNIT_POLL_SECONDS
        if not self._unit.remote:
            self._reached()
        self._learn(status)
        if status.ended:
            self._judge(status, now)
        elif not self.connected:
            self._retry_later(now)
        elif now - self._last_data >= STREAM_STALL_SECONDS:
            if self._unit.remote and self.far_unit is not None:
                self._pending = Do.LOOK_FAR
            else:
                self._look_closer(status, now)

    def looked_far(self, status: UnitStatus, now: float) -> None:
        """The status at the node that runs the unit."""
        self._pending = None
        self._reached()
        self._look_closer(status, now)

    def probed(self, alive: bool | None, now: float) -> None:
        """Whether anything works on the unit; None if that cannot be told."""
        self._pending = None
        if alive is None:
            self._next_probe = now + PROBE_AGAIN_SECONDS
        self._dead_looks = self._dead_looks + 1 if alive is False else 0
        if self._dead_looks >= 2:
            unit = self.far_unit or self._unit.unit
            self._error = LostError(
                f"the node answers, and nothing works on the unit {unit} any more; its runner is gone"
            )
        elif self._dead_looks:
            self._next_look = now + LIVENESS_RETRY_SECONDS

    def cancel(self) -> None:
        """The job is to be cancelled; the end of its stream tells whether it was."""
        self.cancel_wanted = True

    def cancel_sent(self) -> None:
        self.cancel_wanted = False

    # what it means

    def _learn(self, status: UnitStatus) -> None:
        far = status.remote("RemoteUnitID")
        if isinstance(far, str) and far:
            self.far_unit = far

    def _reached(self) -> None:
        self._out_of_reach_since = None

    def _retry_later(self, now: float) -> None:
        self.connected = False
        self._next_try = now + self._backoff
        self._backoff = min(self._backoff * 1.5, RECONNECT_SECONDS[1])

    def _judge(self, status: UnitStatus, now: float) -> None:
        """The unit is said to have ended: is that believed, and is everything read?

        Only after a quiet moment, because an older daemon writes some states too early."""
        if self._ended_since is None:
            self._ended_since = now
        quiet = now - max(self._ended_since, self._last_data)
        if quiet >= (SETTLE_SECONDS if self.offset >= status.stdout_size else RESULTS_LAG_SECONDS):
            self._error = unfinished(status, self.offset)
        self._next_look = now + SETTLE_SECONDS
        if not self.connected:
            self._next_try = now + SETTLE_SECONDS / 5

    def _look_closer(self, status: UnitStatus, now: float) -> None:
        """The unit is said to run, and nothing comes: ``status`` is what the node that runs it says."""
        self.state = RUNNING if status.state == UNIT_RUNNING else PENDING
        silent = now - self._last_data
        if status.stdout_size > self.offset:
            self.connected = False  # the stream is deaf: a new one goes on at the same byte
            self._direct_failures = 0
            self._next_try = now
        elif status.ended:
            self._judge(status, now)
        elif silent >= LIVENESS_PROBE_AFTER_SECONDS and status.state == UNIT_RUNNING and now >= self._next_probe:
            self._pending = Do.PROBE
