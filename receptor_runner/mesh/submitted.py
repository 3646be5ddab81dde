"""A job that a mesh has: follow it, ask about it, cancel it, release it, from any process of this user.

Rules: what is known is in its record. A unit is released when its results are safe, and only then. Nothing is said to
have happened that was not shown: a cancel that cannot be shown to have worked is an error."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from ..errors import (
    DetachedError,
    Interrupted,
    LostError,
    OutputError,
    ReceptorRunnerError,
    UnreachableError,
    UsageError,
)
from ..limits import DEFAULT_LIMITS, LOST_AFTER_SECONDS, MESH_LINGER_SECONDS, StreamLimits
from ..receptor.work_unit import PENDING, RUNNING
from ..records.store import NoJobError, Record, Records
from ..results.artifact_dir import ArtifactDir
from ..results.delivery import Handlers
from ..results.printer import Printer
from ..stages.process import Processor, ProcessorOptions
from ..stream.messages import JSONObject
from ..stream.status import EXIT_LOST, exit_status, job_state
from ..system.signals import StopFlag, pause
from .endpoint import Endpoint
from .following.source import FollowOptions, ResultsInput
from .private_node import PrivateNode
from .unit_verdict import peek
from .units import UnitGoneError, UnitHandle, Way
from .worker_queries import probe

__all__ = ["Outcome", "SubmittedJob"]

logger = logging.getLogger(__name__)

_POLL_SECONDS = 0.5


class Outcome(NamedTuple):
    """How a job ended. ``rc`` is the job's own, None if it did not tell; ``stats`` the data of ``playbook_on_stats``;
    ``exit_code`` what a command ends with; ``state`` one of product states: ``successful``, ``failed``, ``canceled``,
    ``timeout``, ``error``, ``lost``, ``truncated``.
    """

    status: str
    rc: int | None
    stats: JSONObject | None
    artifact_dir: str
    exit_code: int
    state: str
    explanation: str | None


class SubmittedJob:
    """A job that a mesh has. ``record`` is what is known about it here."""

    def __init__(self, record: Record, records: Records) -> None:
        self.record = record
        self._records = records
        self._endpoint = Endpoint.from_record(record.endpoint)
        node = record.private_node
        self._private = PrivateNode(node, record.endpoint["socket"]) if node is not None else None

    @property
    def id(self) -> str:
        return self.record.id

    def follow(  # noqa: PLR0913 - options by keyword
        self,
        *,
        event_handler: Callable[[JSONObject], Any] | None = None,
        status_handler: Callable[..., Any] | None = None,
        artifacts_handler: Callable[[str], Any] | None = None,
        finished_callback: Callable[[Any], Any] | None = None,
        cancel_callback: Callable[[], bool] | None = None,
        printer: Printer | None = None,
        flag: StopFlag | None = None,
        lost_after: float = LOST_AFTER_SECONDS,
        changed: Callable[[str], None] | None = None,
        limits: StreamLimits = DEFAULT_LIMITS,
    ) -> Outcome:
        """Follows the job to its end, from where its last follower stopped; saves artifacts, calls handlers, and
        releases the unit.

        :param cancel_callback: asked several times a second; true cancels the job.
        :param lost_after: seconds that the mesh may be out of reach.
        :param changed: called with the state when that changes.
        :param limits: what is taken from the stream before it is refused.
        :raises DetachedError: ``flag`` was raised twice or by SIGHUP, or the mesh was out of reach for too long; the
            job goes on, and another follow goes on from here.
        :raises OutputError: the artifacts cannot be written; another follow goes on from here.
        """
        with self._records.followed(self.id):
            self.record = self._records.load(self.id)
            if self.record.delivered:
                self._release_quietly()
                return self._outcome(None)
            options = ProcessorOptions(
                self.record.artifact_dir,
                handlers=Handlers(event_handler, status_handler, artifacts_handler, finished_callback),
                settings=self.record.settings,
                printer=printer,
                limits=limits,
                cancel_callback=cancel_callback,
                linger=MESH_LINGER_SECONDS,
            )
            with StopFlag() if flag is None else contextlib.nullcontext(flag) as heeded:
                return self._follow(options, heeded, lost_after, changed)

    def _follow(
        self,
        options: ProcessorOptions,
        flag: StopFlag,
        lost_after: float,
        changed: Callable[[str], None] | None,
    ) -> Outcome:
        journal = options.journal = self._records.journal(self.id)
        follow_options = FollowOptions(
            journal.offset,
            lost_after,
            self._note_for(changed),
            far_unit=self._unit()["remote_unit"],
            revive=self._private.revive if self._private is not None else None,
        )
        source = ResultsInput(self._handle(flag), self._way(), flag, follow_options)
        options.on_interrupt = source.cancel
        try:
            result = Processor(source, flag, options).run()
        except (DetachedError, OutputError) as exc:
            self._save(state="detached", explanation=str(exc))
            raise
        finally:
            source.close()
            journal.close()
        self._conclude(result)
        return self._outcome(result.stats)

    def _note_for(self, changed: Callable[[str], None] | None) -> Callable[[str, str | None], None]:
        """What keeps the record as the follower sees the job."""
        unit = self._unit()

        def note(state: str, far_unit: str | None) -> None:
            if state != self.record.state or (far_unit and far_unit != unit["remote_unit"]):
                unit["remote_unit"] = far_unit or unit["remote_unit"]
                self._save(state=state)
            if changed is not None:
                changed(state)

        return note

    def _way(self) -> Way:
        record = self.record
        return Way(None if self._unit()["local"] else record.node, record.worktype, record.tlsclient, record.signwork)

    def _unit(self) -> JSONObject:
        if not self.record.units:
            raise LostError(f"the job {self.id} was never accepted: its submitter ended before it had a work unit")
        return self.record.units[0]

    def _handle(self, flag: StopFlag | None = None) -> UnitHandle:
        return UnitHandle(self._endpoint, self._unit()["unit"], flag)

    def _save(self, **changes: Any) -> None:
        for name, value in changes.items():
            setattr(self.record, name, value)
        self._records.save(self.record)

    def _conclude(self, result: Processor) -> None:
        state = job_state(result.status, result.exit_code, whole=result.whole)
        self._save(
            state=state,
            status=result.status,
            rc=result.rc,
            exit_code=result.exit_code,
            explanation=result.job_explanation,
            ended=time.time(),
            delivered=True,
        )
        if state != "lost":
            self._release_quietly()

    def released(self) -> bool:
        """Releases the work unit of a job whose end is known; whether it is gone."""
        self._release_quietly()
        return self.record.released

    def _release_quietly(self) -> None:
        """The results are safe; a unit that cannot be released now is ``prune``'s."""
        if self.record.released or self.record.adopted or not self.record.units:
            return
        try:
            self._revive()
            self._handle().release()
        except ReceptorRunnerError as exc:
            logger.warning("the work unit of the job %s is not released: %s", self.id, exc)
            return
        self._save(released=True)

    def _outcome(self, stats: JSONObject | None) -> Outcome:
        record = self.record
        return Outcome(
            record.status or record.state,
            record.rc,
            stats,
            record.artifact_dir,
            record.exit_code if record.exit_code is not None else ReceptorRunnerError.exit_code,
            record.state,
            record.explanation,
        )

    def refresh(self, flag: StopFlag | None = None) -> Record:
        """What is known now: the node is asked, and the end of a job that nobody followed is looked up.

        Never raises because of the mesh: a job that cannot be asked about is ``unreachable``."""
        self.record = self._records.load(self.id)
        if self.record.delivered or self.record.exit_code is not None:
            return self.record
        try:
            self._ask(flag)
        except Interrupted:
            raise
        except LostError as exc:
            return self._gone(exc)
        except (ReceptorRunnerError, OSError) as exc:
            self.record.state, self.record.explanation = "unreachable", str(exc)
        return self.record

    def _ask(self, flag: StopFlag | None) -> None:
        """Asks the node, and takes in what it says."""
        record = self.record
        self._revive(flag)
        status = self._handle(flag).status()
        if not status.ended:
            record.state = {PENDING: "pending", RUNNING: "running"}[status.state]
            return
        verdict = peek(self._handle(flag), status)
        record.status, record.exit_code, record.explanation = verdict.status, verdict.exit_code, verdict.explanation
        record.state = verdict.state

    def _gone(self, exc: LostError) -> Record:
        """The unit is gone: lost, unless another process has followed the job to its end meanwhile."""
        try:
            found = self._records.load(self.id)
        except NoJobError:
            self._take_from_artifacts(exc)
            return self.record
        self.record = found
        if not found.delivered:
            found.state, found.exit_code, found.explanation = "lost", exc.exit_code, str(exc)
        return found

    def _take_from_artifacts(self, exc: LostError) -> None:
        """``run`` has removed the record at its end; what the job was is where it always is."""
        record = self.record
        with ArtifactDir(record.artifact_dir) as artifacts:
            status, record.rc = (artifacts.read("status", 32) or b"").decode("ascii", "replace"), artifacts.rc()
        if status:
            record.state, record.status, record.exit_code = status, status, exit_status(status, record.rc)
        else:
            record.state, record.exit_code, record.explanation = "lost", exc.exit_code, str(exc)

    def wait(self, timeout: float | None = None, flag: StopFlag | None = None) -> Record:
        """Waits until the job has ended, without following it.

        :raises DetachedError: ``timeout`` seconds are over.
        :raises Interrupted: ``flag`` was raised.
        """
        until = None if timeout is None else time.monotonic() + timeout
        while True:
            try:
                record = self.refresh(flag)
            except NoJobError:
                record = self._gone(LostError(f"the job {self.id} was released"))
            if record.exit_code is not None:
                return record
            if until is not None and time.monotonic() >= until:
                raise DetachedError(f"the job {self.id} is still {record.state} after {timeout:g} s")
            left = _POLL_SECONDS if until is None else min(_POLL_SECONDS, until - time.monotonic())
            pause(flag, max(0.0, left))

    def cancel(self, flag: StopFlag | None = None) -> Record:
        """Cancels the job, and returns when it is shown to have ended. Its results stay to be followed.

        :raises ReceptorRunnerError: that cannot be shown.
        """
        record = self.refresh(flag)
        if record.exit_code is not None:
            return record
        handle = self._handle(flag)
        answer = handle.cancel()
        try:
            if handle.wait_ended(lambda seconds: pause(flag, seconds)) is None:
                self._check_dead(answer)
            return self.refresh(flag)
        except UnitGoneError as exc:
            return self._gone(exc)
        except NoJobError:
            return self._gone(LostError(f"the job {self.id} was released"))

    def _check_dead(self, answer: str) -> None:
        unit = self._unit()
        looks = [probe(self._endpoint, self._way(), unit["remote_unit"] or unit["unit"]) for _ in range(2)]
        if looks != [False, False]:
            raise ReceptorRunnerError(
                f"the cancel of {self.id} cannot be shown to have worked: the mesh answered {answer!r}, "
                f"and the work unit {unit['unit']} has not ended"
            )
        self._save(
            state="lost",
            exit_code=EXIT_LOST,
            explanation="its runner was gone before it was cancelled",
            ended=time.time(),
        )

    def release(self, *, force: bool = False) -> None:
        """Removes the job from the mesh, and its record.

        :param force: also one that still runs, or whose node cannot be reached.
        :raises UsageError: it still runs.
        :raises ReceptorRunnerError: it cannot be released.
        """
        with self._records.followed(self.id):
            record = self.refresh()
            if record.exit_code is None and record.units and not force:
                raise UsageError(f"the job {self.id} is {record.state}; cancel it first, or use --force")
            if record.units and not record.released:
                try:
                    self._revive()
                    self._handle().release(force=force)
                except UnreachableError as exc:
                    if not force and (self._private is None or os.path.isdir(self._private.directory)):
                        raise
                    logger.warning("the work unit of the job %s may be left: %s", self.id, exc)
            self._records.remove(self.id)

    def forget(self) -> None:
        """Removes the record of a job whose units are gone."""
        self._records.remove(self.id)

    def _revive(self, flag: StopFlag | None = None) -> None:
        if self._private is not None and not self.record.released:
            try:
                self._endpoint.connect(flag).close()
            except UnreachableError:
                self._private.revive()
