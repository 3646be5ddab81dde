"""Follows any number of jobs in one thread: does what their policies say, and hands what comes to their process
stages.

Rules: there is one loop with one poll. Commands to the mesh are coroutines, so a node that does not answer holds up
nobody but its own job. Only a new TCP or TLS connection, the extraction of an archive and the start of a private node
block, each for a bounded time. A fault of one job ends the following of that job alone."""

from __future__ import annotations

import logging
import select
import time
from collections.abc import Callable, Collection, Coroutine, Sequence
from typing import Any

from ...errors import LostError, ReceptorRunnerError, RefusedError, UnreachableError
from ...receptor.control_protocol import CommandError
from ...receptor.work_unit import UnitStatus
from ...records.record import UNREACHABLE, Route
from ...stages.process import Processor
from ...system.signals import StopFlag
from ...system.timeouts import milliseconds
from ..connection import Connection
from ..endpoint import connect
from ..units import UnitHandle, unit_status
from ..waiting import Wait, abandon, run
from ..worker_queries import probe
from .policy import Action, Do, FollowPolicy

__all__ = ["FollowedJob", "follow"]

logger = logging.getLogger(__name__)

#: What a cancel may take when the follower is about to leave, in seconds.
_LAST_CANCEL_SECONDS = 1.0


class FollowedJob:
    """One job that is being followed.

    :param changed: called with ``pending``, ``running`` or ``unreachable`` and the unit's id at its node when either
        changes.
    :param revive: brings back the node that we are connected to, if it is ours to do so.
    """

    def __init__(
        self,
        handle: UnitHandle,
        route: Route,
        policy: FollowPolicy,
        processor: Processor,
        changed: Callable[[str, str | None], None],
        revive: Callable[[], None] | None = None,
    ) -> None:
        #: Why the job goes on without us; None if its end is known.
        self.error: Exception | None = None
        self.done = False
        self._handle = handle
        self._route = route
        self._policy = policy
        self._processor = processor
        self._changed = changed
        self._revive = revive
        self._told: tuple[str, str | None] = ("", policy.far_unit)
        self._connection: Connection | None = None
        self._cancelling: Connection | None = None
        self._command: Coroutine[Wait, bool, None] | None = None
        self._wait: Wait | None = None
        self._until: float | None = None

    def advance(self) -> None:
        """Does what is to be done now, as far as that does not wait."""
        self._guarded(self._advance)

    def woke(self, ready: Collection[int]) -> None:
        """Takes what came while the loop waited; ``ready`` are the descriptors with something."""
        self._guarded(lambda: self._woke(ready))

    def watched(self) -> list[tuple[int, int]]:
        """The descriptors that this job waits for, with their poll events."""
        found = []
        if self._wait is not None:
            found.append((self._wait.fd, self._wait.events))
        if self._connection is not None:
            found.append((self._connection.fileno(), select.POLLIN))
        return found

    def seconds_left(self, now: float) -> list[float | None]:
        """How long the loop may wait for this job."""
        moments = [self._until, self._wait.until if self._wait is not None else None]
        left = [None if moment is None else max(0.0, moment - now) for moment in moments]
        held = self._connection is not None and self._connection.holds_data
        return [*left, self._processor.wait_seconds(), 0.0 if held else None]

    def close(self) -> None:
        """Ends what is under way. A cancel that was asked for and has not left yet leaves now."""
        self._drop_command()
        if self._policy.cancel_wanted:
            self._send_last_cancel()
        for connection in (self._connection, self._cancelling):
            if connection is not None:
                connection.close()
        self._connection = self._cancelling = None

    def _guarded(self, step: Callable[[], None]) -> None:
        """A fault is the end of following; the process stage says what it means for the job."""
        if self.done:
            return
        try:
            step()
            self._note()
        except Exception as exc:
            self._end(exc)

    def _end(self, fault: Exception | None) -> None:
        self.done = True
        try:
            self._processor.conclude(fault)
        except Exception as exc:
            self.error = exc

    def _note(self) -> None:
        """Tells what has changed since the last time."""
        seen = (self._policy.state, self._policy.far_unit)
        if seen != self._told and seen[0]:
            self._told = seen
            self._changed(*seen)

    def _advance(self) -> None:
        self._processor.check_stop()
        while self._command is None:
            if not self._policy.connected:
                self._drop_connection()
            action = self._policy.next(time.monotonic())
            self._until = action.until
            if action.do is Do.WAIT:
                return
            if action.error is not None:
                raise action.error
            self._until = None
            self._command = self._perform(action)
            self._resume(None)

    def _woke(self, ready: Collection[int]) -> None:
        self._processor.check_stop()
        wait = self._wait
        if wait is not None:
            came = wait.fd in ready
            if came or (wait.until is not None and time.monotonic() >= wait.until):
                self._resume(came)
        connection = self._connection
        if connection is not None and (connection.holds_data or connection.fileno() in ready):
            self._take(connection.read_now())

    def _take(self, data: bytes | None) -> None:
        if data:
            self._policy.data(len(data), time.monotonic())
            self._note()
            self._processor.feed(data)
            if self._processor.finished:
                self._end(None)
        elif data is not None:
            self._drop_connection()
            self._policy.closed(time.monotonic())

    def _resume(self, answer: Any) -> None:
        """Goes on with the command until it waits again or has ended."""
        assert self._command is not None
        self._wait = None
        try:
            self._wait = self._command.send(answer)
        except StopIteration:
            self._command = None
        except BaseException:
            self._command = None
            raise

    def _drop_command(self) -> None:
        if self._command is not None:
            abandon(self._command)
        self._command = self._wait = None

    def _drop_connection(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    # commands

    async def _perform(self, action: Action) -> None:
        """One command. What cannot be reached now is tried again later."""
        logger.debug("unit %s: %s", self._handle.unit, action.do.name.lower().replace("_", " "))
        try:
            match action.do:
                case Do.OPEN:
                    await self._open()
                case Do.LOOK:
                    self._policy.looked(await self._handle.status(), time.monotonic())
                case Do.LOOK_FAR:
                    self._policy.looked_far(await self._far_status(), time.monotonic())
                case Do.PROBE:
                    unit = self._policy.far_unit or self._handle.unit
                    self._policy.probed(await probe(self._handle.address, self._route, unit), time.monotonic())
                case Do.CANCEL:
                    await self._cancel()
        except LostError:
            raise
        except CommandError as exc:
            self._failed(exc, refused=True)
        except (UnreachableError, RefusedError, OSError) as exc:
            self._failed(exc)

    def _failed(self, exc: Exception, *, refused: bool = False) -> None:
        if self._policy.state != UNREACHABLE:
            logger.warning("out of reach, and trying again: %s", exc)
        self._policy.failed(str(exc), time.monotonic(), refused=refused)
        if self._revive is not None:
            try:
                self._revive()
            except (ReceptorRunnerError, OSError) as reason:
                logger.info("the node could not be brought back: %s", reason)

    async def _open(self) -> None:
        status = await self._handle.status()
        if not self._policy.learned(status, time.monotonic()):
            return
        connection = await self._handle.connect()
        try:
            unit, direct = self._handle.unit, self._policy.direct
            if direct:
                await connection.connect_to(self._route.node, self._route.tlsclient)
                unit = str(self._policy.far_unit)
            await connection.ask_for_results(unit, self._policy.offset)
            where = "at its node" if direct else "here"
            logger.debug("reading the results of %s %s, from byte %d on", unit, where, self._policy.offset)
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        self._policy.opened(status, time.monotonic(), direct=direct)

    async def _far_status(self) -> UnitStatus:
        try:
            with await self._handle.connect() as connection:
                await connection.connect_to(self._route.node, self._route.tlsclient)
                return await unit_status(connection, str(self._policy.far_unit))
        except CommandError as exc:
            raise UnreachableError(f"the node {self._route.node} cannot be reached: {exc}") from exc

    async def _cancel(self) -> None:
        if self._cancelling is not None:
            self._cancelling.close()
        self._cancelling = await self._handle.connect()
        await self._cancelling.ask_to_cancel(self._handle.unit)
        self._policy.cancel_sent()

    def _send_last_cancel(self) -> None:
        async def cancel() -> None:
            with await connect(self._handle.address, _LAST_CANCEL_SECONDS) as connection:
                await connection.ask_to_cancel(self._handle.unit, _LAST_CANCEL_SECONDS)

        try:
            run(cancel())
        except (ReceptorRunnerError, OSError) as exc:
            logger.warning("the cancel did not reach the mesh: %s", exc)


def follow(jobs: Sequence[FollowedJob], flag: StopFlag) -> None:
    """Follows all ``jobs`` to their ends, in this thread. What became of each is in its processor and its ``error``."""
    try:
        while active := [job for job in jobs if not job.done]:
            for job in active:
                job.advance()
            waiting = [job for job in active if not job.done]
            if waiting:
                ready = _waited(waiting, flag)
                for job in waiting:
                    job.woke(ready)
    finally:
        for job in jobs:
            job.close()


def _waited(jobs: Sequence[FollowedJob], flag: StopFlag) -> set[int]:
    """Waits until something is there for one of ``jobs``; the descriptors that it is there on."""
    poll = select.poll()
    poll.register(flag.fileno(), select.POLLIN)
    for job in jobs:
        for fd, events in job.watched():
            poll.register(fd, events)
    now = time.monotonic()
    return {fd for fd, _ in poll.poll(milliseconds(*(left for job in jobs for left in job.seconds_left(now))))}
