"""A job that a mesh has: follow it, ask about it, cancel it, release it, from any process of this user.

Rules: what is known of a job is in its record. A unit is released when its results are safe, and not before. Nothing
is said to have happened that was not shown: if a cancel cannot be shown to have worked, that is an error."""

from __future__ import annotations

import contextlib
import functools
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from ..errors import (
    Interrupted,
    LostError,
    OutputError,
    ReceptorRunnerError,
    UnreachableError,
    UsageError,
    WaitTimeoutError,
)
from ..inspection.answers import Ending
from ..job.place import IN_PLACE
from ..job.private_data import PrivateDataDir
from ..limits import DEFAULT_LIMITS, LOST_AFTER_SECONDS, VERDICT_SECONDS, StreamLimits
from ..receptor.work_unit import PENDING as UNIT_PENDING
from ..records.record import DETACHED, PENDING, RUNNING, UNREACHABLE, Record
from ..records.store import NoJobError, Records
from ..results.artifact_dir import ArtifactDir
from ..results.event_files import tell_saved
from ..results.handlers import Handlers
from ..results.sinks import EventSink
from ..results.verdict import LOST, Evidence, judge, verdict_of
from ..stages.interrupts import MeshInterrupts
from ..stages.process import Processor, ProcessorOptions
from ..stream.messages import JSONObject
from ..stream.reader import Opener, SealedAwayError, StreamReader
from ..stream.status import ERROR
from ..system.signals import StopFlag, pause
from .cancelling import cancel_unit
from .context import Following
from .following.driver import FollowedJob, follow
from .following.policy import FollowedUnit, FollowPolicy
from .host_end import end_host
from .insight import JobInsight
from .job_unit import JobUnit
from .looking import JobLook
from .outcome import Outcome
from .private_node import PrivateNode
from .reading import read_events
from .unit_verdict import ended_unit_verdict
from .units import UnitGoneError, UnitHandle
from .unsealing import opener
from .waiting import run

__all__ = ["SubmittedJob"]

logger = logging.getLogger(__name__)

_POLL_SECONDS = 0.5


class SubmittedJob:
    """A job that a mesh has. ``record`` is what is known about it here."""

    def __init__(
        self, record: Record, records: Records, *, submitted_before: bool = False, private: PrivateNode | None = None
    ) -> None:
        self.record = record
        #: Whether it is the job of an earlier submit, and nothing was sent.
        self.submitted_before = submitted_before
        self._records = records
        self._unit = JobUnit.of(record, private)
        #: Why nobody here can tell how it ended.
        self._sealed_away: SealedAwayError | None = None

    def __repr__(self) -> str:
        return f"<SubmittedJob {self.id} {self.record.state} on {self.record.route.node}>"

    @property
    def id(self) -> str:
        return self.record.id

    def follow(  # noqa: PLR0913 - options by keyword
        self,
        *,
        event_handler: Callable[[JSONObject], object] | None = None,
        status_handler: Callable[..., object] | None = None,
        artifacts_handler: Callable[[str], object] | None = None,
        finished_callback: Callable[[Any], object] | None = None,
        cancel_callback: Callable[[], bool] | None = None,
        printer: EventSink | None = None,
        flag: StopFlag | None = None,
        lost_after: float = LOST_AFTER_SECONDS,
        changed: Callable[[str], None] | None = None,
        limits: StreamLimits = DEFAULT_LIMITS,
        sinks: Sequence[EventSink] = (),
    ) -> Outcome:
        """Follows the job to its end, from where its last follower stopped; saves artifacts, calls handlers, and
        releases the unit.

        :param cancel_callback: asked several times a second; true cancels the job.
        :param lost_after: seconds that the mesh may be out of reach.
        :param changed: called with the state when that changes.
        :param limits: what is taken from the stream before it is refused.
        :param sinks: hear of results, too, before they are saved.
        :raises DetachedError: ``flag`` was raised twice or by SIGHUP, or the mesh was out of reach for too long; the
            job goes on, and another follow goes on from here.
        :raises OutputError: the artifacts cannot be written; another follow goes on from here.
        """
        with self._records.followed(self.id):
            self.record = self._records.load(self.id)
            if self.record.delivered:
                if sinks:
                    logger.warning("the job %s was followed to its end before, and no sink is told again", self.id)
                self.released()
                return Outcome.of(self.record, None)
            options = ProcessorOptions(
                self.record.artifact_dir,
                handlers=Handlers(event_handler, status_handler, artifacts_handler, finished_callback),
                in_place=self.record.route.worktype == IN_PLACE,
                private_data_dir=self.record.private_data_dir,
                settings=self._settings(),
                printer=printer,
                sinks=sinks,
                limits=limits,
                cancel_callback=cancel_callback,
                interrupts=MeshInterrupts(),
            )
            with StopFlag() if flag is None else contextlib.nullcontext(flag) as heeded:
                return self._follow(options, heeded, lost_after, changed)

    def following(self, **options: Any) -> Following:
        """A context in which the job is followed, and an iterator over its events. It is an asynchronous one, too.

        :param options: those of :meth:`follow`, but ``event_handler`` and ``flag``.
        """
        return Following(functools.partial(self.follow, **options))

    def _follow(
        self,
        options: ProcessorOptions,
        flag: StopFlag,
        lost_after: float,
        changed: Callable[[str], None] | None,
    ) -> Outcome:
        self._unit.wait_for_node()
        unit = self._followed_unit(lost_after)
        journal = options.journal = self._records.journal(self.record)
        options.unseal = self.unsealer(journal.block)
        options.job = self._sealed_as
        try:
            if journal.events:
                tell_saved(
                    self.record.artifact_dir, [sink for sink in options.sinks if sink.whole], journal.events, flag
                )
            policy = FollowPolicy(unit._replace(offset=journal.offset), time.monotonic())
            options.cancel = policy.cancel
            with Processor(flag, options) as processor:
                note, start_again = self._note_for(changed), self._unit.start_again
                job = FollowedJob(self.handle, self.record.route, policy, processor, note, start_again)
                follow([job], flag)
                if job.error is not None:
                    raise job.error
        except Exception as exc:
            with contextlib.suppress(OutputError):  # what went wrong first is told
                self._save(phase=DETACHED, note=str(exc))
            raise
        finally:
            journal.close()
        self._conclude(processor)
        return Outcome.of(self.record, processor.stats)

    def _followed_unit(self, lost_after: float) -> FollowedUnit:
        unit = self._unit.known(self.record)
        return FollowedUnit(
            unit.unit,
            remote=not unit.local,
            direct=self.record.route.direct,
            far_unit=unit.remote_unit,
            lost_after=lost_after,
        )

    def _note_for(self, changed: Callable[[str], None] | None) -> Callable[[str, str | None], None]:
        """What keeps the record up to date while the job is followed."""
        unit = self._unit.known(self.record)

        def note(state: str, far_unit: str | None) -> None:
            if state != self.record.phase or (far_unit and far_unit != unit.remote_unit):
                unit.remote_unit = far_unit or unit.remote_unit
                self._save(phase=state, note=None)
            if changed is not None:
                changed(state)

        return note

    @property
    def handle(self) -> UnitHandle:
        """Its work unit, at the node that we are connected to."""
        return self._unit.handle(self.record)

    def _settings(self) -> JSONObject:
        """Those of the job. The record of a sealed job has none."""
        if not self.record.sealed:
            return self.record.settings
        with contextlib.suppress(ReceptorRunnerError):
            return PrivateDataDir(self.record.private_data_dir).settings()
        return {}

    def unsealer(self, block: int = 0) -> Opener | None:
        """What opens the results of the job, if they are sealed.

        :param block: the number of the first sealed part that is read.
        """
        return opener(bytes.fromhex(self.record.results_key), block)

    def reader(self) -> StreamReader:
        """What reads the events of the job from its beginning. Whoever asks for it closes it."""
        return StreamReader(archives=False, unseal=self.unsealer(), job=self._sealed_as)

    @property
    def _sealed_as(self) -> str | None:
        """Which job the results must name, if it was sealed for that."""
        return self.id if self.record.sealed and not self.record.adopted else None

    def _save(self, **changes: Any) -> None:
        for name, value in changes.items():
            setattr(self.record, name, value)
        self._records.save(self.record)

    def _conclude(self, result: Processor) -> None:
        verdict = result.verdict
        assert verdict is not None
        logger.debug("the job %s has ended: %s", self.id, verdict)
        self._save(verdict=verdict, ended=verdict.ended or time.time(), delivered=not result.is_doubtful)
        if result.is_doubtful:
            logger.warning("the work unit of the job %s is kept: its node may know more", self.id)
        elif verdict.state != LOST or self._unit.private is not None:
            self.released()

    def released(self) -> bool:
        """Releases the work unit of a job whose end is known; whether it is gone."""
        if not self.record.released and self._unit.release_safe(self.record):
            self._save(released=True)
        return self.record.released

    def read_events(
        self, take: Callable[[JSONObject, bytes], None], *, follow: bool = False, flag: StopFlag | None = None
    ) -> None:
        """Hands every event that its node has to ``take``, with its line, in order. Nothing is saved, and nobody who
        follows the job is disturbed.

        :param follow: go on with those that come, until the job ends.
        :raises LostError: its work unit is gone; its artifacts have what was saved.
        :raises UnreachableError: the node cannot be asked.
        """
        self._unit.revive(self.record, flag)
        with contextlib.closing(self.reader()) as reader:
            run(read_events(self.handle, take, follow=follow, reader=reader), flag)

    def inspect(self, flag: StopFlag | None = None) -> JobInsight:
        """What the job does now, for which hosts and since when, and its processes at the node. Nothing is saved, and
        nobody who follows the job is disturbed.

        :raises UnreachableError: the node cannot be asked.
        """
        with JobLook(self) as look:
            return look.look(flag)

    def end_host(self, host: str, flag: StopFlag | None = None) -> Ending:
        """Ends what the job does for ``host`` now. Ansible reports that host as failed, and goes on with the others.

        :raises UsageError: the job does not run.
        :raises RefusedError: nothing was done: another host could feel it, or nothing runs for this one.
        :raises ReceptorRunnerError: it cannot be shown that it worked.
        """
        return end_host(self, host, flag)

    def refresh(self, flag: StopFlag | None = None, seconds: float = VERDICT_SECONDS) -> Record:
        """What is known now: the node is asked, and the end of a job that nobody followed is looked up.

        :param seconds: how long its results may take.

        Never raises because of the mesh: a job that cannot be asked about is ``unreachable``."""
        self.record = self._records.load(self.id)
        if self.record.verdict is not None:
            return self.record
        try:
            self.ask(flag, seconds)
            self._keep_verdict()
        except Interrupted:
            raise
        except LostError as exc:
            return self._gone(exc)
        except SealedAwayError as exc:
            self._sealed_away = exc
            self.record.phase, self.record.note = DETACHED, str(exc)
        except (ReceptorRunnerError, OSError) as exc:
            self.record.phase, self.record.note = UNREACHABLE, str(exc)
        return self.record

    def _keep_verdict(self) -> None:
        """Notes the end of a job, because its unit may be released before anybody follows it. A job that is being
        followed is its follower's to note.
        """
        verdict = self.record.verdict
        if verdict is None:
            return
        with contextlib.suppress(OutputError), self._records.followed(self.id):
            self.record = self._records.load(self.id)
            if self.record.verdict is None:
                self._save(verdict=verdict, ended=verdict.ended or time.time())

    def ask(self, flag: StopFlag | None, seconds: float) -> None:
        """Asks the node, and takes in what it says. Nothing is saved."""
        self._unit.revive(self.record, flag)
        handle = self.handle
        status = run(handle.status(), flag)
        logger.debug("the unit of the job %s says: %s", self.id, status)
        if status.ended:
            with contextlib.closing(self.reader()) as reader:
                self.record.verdict = run(ended_unit_verdict(handle, status, seconds, reader), flag)
        else:
            self.record.phase = PENDING if status.state == UNIT_PENDING else RUNNING

    def _gone(self, exc: LostError) -> Record:
        """The unit is gone: lost, unless another process has followed the job to its end meanwhile."""
        try:
            self.record = self._records.load(self.id)
        except NoJobError:
            self._take_from_artifacts(exc)
            return self.record
        if self.record.verdict is None:
            self.record.verdict = judge(Evidence(fault=exc))
        return self.record

    def _take_from_artifacts(self, exc: LostError) -> None:
        """``run`` removes the record at its end. Then the verdict is in the artifacts."""
        with ArtifactDir(self.record.artifact_dir) as artifacts:
            status, rc = (artifacts.read("status", 32) or b"").decode("ascii", "replace"), artifacts.rc()
        told = rc if status == ERROR else None
        self.record.verdict = verdict_of(status, rc, told) if status else judge(Evidence(fault=exc))

    def wait(self, timeout: float | None = None, flag: StopFlag | None = None) -> Record:
        """Waits until the job has ended, without following it.

        :raises WaitTimeoutError: ``timeout`` seconds are over.
        :raises RefusedError: its results are sealed, and the key is not here.
        :raises Interrupted: ``flag`` was raised.
        """
        until = None if timeout is None else time.monotonic() + timeout
        while True:
            try:
                left = VERDICT_SECONDS if until is None else max(1.0, until - time.monotonic())
                record = self.refresh(flag, left)
            except NoJobError:
                record = self._gone(LostError(f"the job {self.id} was released"))
            if record.verdict is not None:
                return record
            if self._sealed_away is not None:
                raise self._sealed_away
            if until is not None and time.monotonic() >= until:
                raise WaitTimeoutError(
                    f"the job {self.id} is still {record.state} after {round(timeout or 0.0, 1):g} s"
                )
            left = _POLL_SECONDS if until is None else min(_POLL_SECONDS, until - time.monotonic())
            pause(flag, max(0.0, left))

    def cancel(self, flag: StopFlag | None = None) -> Record:
        """Cancels the job, and returns when it is shown to have ended. Its results stay to be followed.

        :raises ReceptorRunnerError: that cannot be shown.
        """
        record = self.refresh(flag)
        if record.verdict is not None:
            return record
        try:
            cancel_unit(self.handle, record, flag)
            return self.refresh(flag)
        except UnitGoneError as exc:
            return self._gone(exc)
        except LostError as exc:
            self._save(verdict=judge(Evidence(fault=exc)), ended=time.time())
            return self.record
        except NoJobError:
            return self._gone(LostError(f"the job {self.id} was released"))

    def release(self, *, force: bool = False) -> None:
        """Removes the job from the mesh, and its record.

        :param force: also one that still runs, whose results were never saved, or whose node cannot be reached.
        :raises UsageError: it still runs, or its results would be lost.
        :raises ReceptorRunnerError: it cannot be released.
        """
        with self._records.followed(self.id):
            record = self.refresh()
            if record.phase == UNREACHABLE and record.verdict is None and not force:
                raise UnreachableError(str(record.note), hint=f"release --force {self.id} forgets the job here")
            if record.verdict is None and record.units and not force:
                raise UsageError(f"the job {self.id} is {record.state}", hint="cancel it first, or use --force")
            if record.units and not record.delivered and not force:
                raise UsageError(
                    f"the results of the job {self.id} ({record.state}) were never saved, and nobody else has them",
                    hint=f"receptor-runner attach {self.id} saves them, and release --force drops them",
                )
            self._unit.release(self.record, force=force)
            self._records.remove(self.id)

    def forget(self) -> None:
        """Removes the record of a job whose units are gone."""
        self._records.remove(self.id)

    def prune(self) -> bool:
        """Removes what a job has left that is over or was never accepted; false if it is neither by now, or somebody
        works on it.
        """
        try:
            with self._records.followed(self.id):
                self.record = self._records.load(self.id)
                if self.record.delivered and not self.record.adopted:
                    self._unit.release(self.record, force=True)
                elif self.record.units and not self.record.delivered:
                    return False
                self._records.remove(self.id)
                return True
        except (OutputError, NoJobError):
            return False

    def forget_finished(self) -> None:
        """Removes the record if nothing is left of the job but its artifacts."""
        if self.record.delivered and self.record.released:
            self.forget()
