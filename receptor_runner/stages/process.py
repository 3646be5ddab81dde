"""The third stage: takes a worker's stream, hands it to sinks, saves artifacts, and says how the job ended.

Rules: the stream is a stranger's, and nothing outside of the artifact directory is touched. :class:`Processor` is fed
and reads nothing itself, so one thread can have any number of them. After each item the journal notes what another
process would need to go on."""

from __future__ import annotations

import dataclasses
import logging
import os
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ..errors import (
    SHORTAGES,
    ArchiveError,
    ConfigurationError,
    DetachedError,
    Interrupted,
    LimitError,
    OutputError,
    ProtocolError,
    ReceptorRunnerError,
    RefusedError,
    TruncatedStreamError,
)
from ..job.parameters import check_ident
from ..job.private_data import PrivateDataDir
from ..job.runner_config import RunnerConfig
from ..limits import CANCEL_POLL_SECONDS, DEFAULT_LIMITS, DRAIN_SECONDS, MAX_WARNING_TEXT, MAX_WARNINGS, StreamLimits
from ..results.artifact_dir import ArtifactDir
from ..results.event_files import EventFiles
from ..results.handlers import Handlers, HandlerSink
from ..results.sinks import EventSink, Sinks
from ..results.verdict import TRUNCATED, Evidence, Verdict, judge
from ..stream.archive_receiver import ArchiveReceiver
from ..stream.endpoints import Input
from ..stream.messages import JobEvent, JSONObject, Status
from ..stream.reader import Item, Opener, SealedAwayError, StreamReader
from ..stream.status import CANCELED, ERROR, UNSTARTED, error_status
from ..system.signals import StopFlag
from .handler_errors import tell_handler_error
from .interrupts import Interrupts, PipeInterrupts, Reaction
from .job_journal import NO_JOURNAL, JobJournal

__all__ = ["Processor", "ProcessorOptions", "artifact_dir", "drain", "process"]

logger = logging.getLogger(__name__)

#: So many items are taken before signals are looked for.
_ITEMS_AT_ONCE = 500
_EMPTY = (
    "Unexpected empty line encountered during worker stream. "
    "Worker did not produce events or streaming was aborted, check execution node health."
)
_PARSE_ERROR = "Failed to JSON parse a line from worker stream. Error:"
_CANCELLED_ELSEWHERE = "the job was cancelled, and not by this follower"
_EXTRACT_ERROR = "Failed to extract artifacts from worker stream. Error:"
_READ_ERROR = "Failed to read from worker stream. Error:"


@dataclass
class ProcessorOptions:
    """Where results go. ``artifact_dir`` holds the artifacts of this job directly."""

    artifact_dir: str
    #: Whether the worker has written its artifacts there itself.
    in_place: bool = False
    private_data_dir: str | None = None
    handlers: Handlers = field(default_factory=Handlers)
    settings: JSONObject = field(default_factory=dict)
    #: The printer and the other sinks are told about each event before the handlers are, and before it is saved.
    printer: EventSink | None = None
    sinks: Sequence[EventSink] = ()
    limits: StreamLimits = DEFAULT_LIMITS
    #: Asked several times a second whether the job is to be cancelled.
    cancel_callback: Callable[[], bool] | None = None
    interrupts: Interrupts = field(default_factory=PipeInterrupts)
    #: Sends a cancel to where the job runs.
    cancel: Callable[[], None] = lambda: None
    journal: JobJournal = NO_JOURNAL
    #: Opens sealed results.
    unseal: Opener | None = None
    #: Which job it must be, if that is to be looked at.
    job: str | None = None


def artifact_dir(private_data: PrivateDataDir, given: object, ident: object) -> str:
    """Where ansible-runner's ``process`` puts artifacts: ``given`` itself, else ``artifacts`` with the ident if there
    is one."""
    if given:
        return os.path.abspath(str(given))
    return str(private_data.artifacts / check_ident(ident)) if ident not in (None, "") else str(private_data.artifacts)


class Processor:
    """The results of one job. Enter it, feed it, and conclude.

    After :meth:`conclude`: ``verdict``, ``status``, ``rc`` (of the job, None if it did not tell), ``exit_code``,
    ``stats`` (the data of ``playbook_on_stats``), ``artifact_dir``, ``config``, ``complete`` and ``missing_events``,
    ``warnings``, ``job_explanation`` and ``result_traceback`` (of an ``error``).

    :raises OutputError: the artifact directory cannot be used at all.
    """

    def __init__(self, flag: StopFlag, options: ProcessorOptions) -> None:
        self.artifact_dir = options.artifact_dir
        self.config = RunnerConfig(options.private_data_dir, settings=options.settings)
        self.config.artifact_dir = self.artifact_dir
        self.verdict: Verdict | None = None
        #: What the worker wants to be known.
        self.warnings: list[str] = []
        self._flag = flag
        self._options = options
        self._journal = options.journal
        self._reader = StreamReader(
            options.limits,
            start=self._journal.offset,
            skip=self._journal.skip,
            unseal=options.unseal,
            job=options.job,
        )
        self._acknowledged = False
        #: Whether how it ended was told by somebody whom nobody can believe.
        self.is_doubtful = False
        self._handlers = HandlerSink(options.handlers, self.config)
        memory = self._journal.memory
        self._extracted = bool(memory.get("extracted"))
        self._artifacts = ArtifactDir(self.artifact_dir)
        if self._artifacts.has_events() and not (self._journal.offset or self._journal.skip):
            logger.warning("%s has the events of an earlier run; those of this one are added", self.artifact_dir)
        printers = [options.printer] if options.printer is not None else []
        self._sinks = Sinks([*printers, *options.sinks, self._handlers, EventFiles(self._artifacts)])
        if self._journal.kept:
            self._sinks.resume(self._journal.events, memory.get("status") or {}, memory.get("stats"))

    def __enter__(self) -> Processor:
        return self

    def __exit__(self, *exc: object) -> None:
        self._reader.close()
        self._sinks.close()
        self._artifacts.close()

    @property
    def status(self) -> str:
        return self._sinks.status

    @property
    def rc(self) -> int | None:
        return self.verdict.rc if self.verdict is not None else None

    @property
    def exit_code(self) -> int:
        return self.verdict.exit_code if self.verdict is not None else 0

    @property
    def stats(self) -> JSONObject | None:
        return self._sinks.stats

    @property
    def missing_events(self) -> int:
        """How many events did not arrive, as far as is known once the stream has ended."""
        return self.verdict.missing_events if self.verdict is not None else 0

    @property
    def complete(self) -> bool:
        """Whether every event arrived."""
        return not self.missing_events

    @property
    def job_explanation(self) -> str | None:
        """Why the job is an ``error`` or was stopped."""
        return self._told("job_explanation")

    @property
    def result_traceback(self) -> str | None:
        """Where an ``error`` comes from."""
        return self._told("result_traceback")

    #: Shorter names of the same.
    explanation = job_explanation
    traceback = result_traceback

    def _told(self, name: str) -> str | None:
        value = self._sinks.status_data.get(name)
        return value if isinstance(value, str) else None

    @property
    def finished(self) -> bool:
        """Whether the stream's own end came."""
        return self._reader.finished

    @property
    def wanted(self) -> int:
        """What :meth:`receptor_runner.stream.endpoints.Input.read` is to be given."""
        return self._reader.wanted

    def feed(self, data: bytes) -> None:
        """Takes the next bytes of the stream; empty at the end of the input.

        :raises ReceptorRunnerError: see :meth:`conclude`, which takes it.
        """
        kept = self._journal.kept
        try:
            for number, item in enumerate(self._reader.feed(data), 1):
                if not number % _ITEMS_AT_ONCE:
                    self.check_stop()
                if type(item) is JobEvent:
                    self._sinks.event(item.data, item.raw)
                else:
                    self._take(item)
                if kept:
                    self._note()
        except TruncatedStreamError as exc:
            raise self._ended_early(exc) from exc
        if kept and not self._reader.finished:
            self._journal.passed(self._reader.boundary, self._reader.done, self._sinks.events, self._reader.block)
        self._sinks.flush()

    def _take(self, item: Item) -> None:
        match item:
            case Status(data):
                logger.debug("status: %s", data.get("status"))
                self._warn(item.extension.warnings)
                self._sinks.status_change(data)
                self._journal.remember({"status": data})
            case ArchiveReceiver():
                self._warn(item.warnings)
                for _ in item.extract(self.artifact_dir, self._options.limits, artifacts=True):
                    self.check_stop()
                logger.debug("the artifacts are in %s", self.artifact_dir)
                self._extracted = True
                self._sinks.artifacts_ready(self.artifact_dir)
                self._journal.remember({"extracted": True})
            case _:
                pass

    def _warn(self, texts: Sequence[str]) -> None:
        """What the worker wants to be known. It may be a stranger."""
        for text in texts[:MAX_WARNINGS]:
            self.warnings.append(text[:MAX_WARNING_TEXT])
            logger.warning("%s", self.warnings[-1])

    def _note(self) -> None:
        """One more item is done. What it changed is remembered first: a crash between the two may repeat the item."""
        if self._sinks.stats is not None and not self._journal.memory.get("stats"):
            self._journal.remember({"stats": self._sinks.stats})
        self._journal.passed(self._reader.boundary, self._reader.done, self._sinks.events, self._reader.block)

    def _ended_early(self, exc: TruncatedStreamError) -> ReceptorRunnerError:
        if self._options.interrupts.give_up_at is not None and self._sinks.status == UNSTARTED:
            return Interrupted("interrupted before the job had started")
        text = f"{exc}, after {self._sinks.events} events"
        return TruncatedStreamError(
            f"{text}; the last status was {self._sinks.status}" if self._sinks.status != UNSTARTED else text
        )

    def wait_seconds(self) -> float | None:
        """How long one may wait for more of the stream before :meth:`check_stop` is to be called."""
        if self._options.interrupts.give_up_at is not None:
            return max(0.0, self._options.interrupts.give_up_at - time.monotonic())
        return CANCEL_POLL_SECONDS if self._options.cancel_callback is not None else None

    def check_stop(self) -> None:
        """Heeds the cancel callback, the flag and the deadline.

        :raises Interrupted: the stage is to end.
        :raises DetachedError: it is to leave the job to itself.
        """
        interrupts = self._options.interrupts
        asked = self._options.cancel_callback
        if interrupts.give_up_at is None and asked is not None and asked():
            self._react(interrupts.cancelled(time.monotonic()))
        if interrupts.give_up_at is not None:
            self._react(interrupts.expired(time.monotonic()))
        if self._flag.raised:
            self._react(interrupts.signalled(self._flag.reasons, time.monotonic(), begun=self._reader.offset > 0))
            if not self._acknowledged:
                self._acknowledged = True
                self._flag.acknowledge()

    def _react(self, reaction: Reaction) -> None:
        if reaction.cancel:
            self._options.cancel()
        if reaction.error is not None:
            raise reaction.error

    def conclude(self, fault: Exception | None = None) -> None:
        """Says how the job ended, and tells the sinks.

        :param fault: why its stream did not come to its own end, or could not be taken.
        :raises DetachedError: that was the fault; the job goes on.
        :raises ReceptorRunnerError: that was the fault, it is of this end (no room, no key, a setting), and a journal
            is kept: another stage can go on.
        """
        if isinstance(fault, DetachedError):
            raise fault
        if self._journal.kept and fault is not None:
            _leave_to_another(fault)
        if self._options.in_place and fault is None and not self._extracted:
            self._extracted = True
            self._sinks.artifacts_ready(self.artifact_dir)
        fault = fault or self._reader.doubt(self.job_explanation)
        self.is_doubtful = isinstance(fault, RefusedError)
        rc = self._artifacts.rc() if self._extracted and fault is None else None
        verdict = judge(
            Evidence(self._sinks.status_data, self._reader.finished, self._sinks.events, self._sinks.highest, rc, fault)
        )
        if verdict.missing_events:
            logger.warning("%d events of the job did not arrive; its record is not complete", verdict.missing_events)
        if fault is not None or verdict.state == TRUNCATED:
            self._sinks.status_change(self._status_line(verdict, fault))
        explanation = self.job_explanation
        if explanation is not None and verdict.state == TRUNCATED:
            explanation = explanation.removeprefix(f"{_EMPTY} ")  # that is for controllers
        if explanation is None and verdict.status == CANCELED and self._options.interrupts.give_up_at is None:
            explanation = _CANCELLED_ELSEWHERE
        self.verdict = dataclasses.replace(verdict, explanation=explanation)
        logger.debug("after %d events: %s", self._sinks.events, self.verdict)
        if verdict.status == ERROR:
            self._artifacts.write_fault(verdict.status, verdict.exit_code, self.job_explanation)
        self._tell_handler_error()
        self._sinks.finished(self)
        self._tell_handler_error()
        self._sinks.flush()

    def _status_line(self, verdict: Verdict, fault: Exception | None) -> JSONObject:
        if verdict.status == CANCELED:
            return {"status": CANCELED, "job_explanation": verdict.explanation}
        explanation = self._in_ansible_runner_words(verdict, fault)
        trace = "".join(traceback.format_exception(fault)) if fault is not None else explanation
        return error_status(explanation, trace, verdict.exit_code)

    def _in_ansible_runner_words(self, verdict: Verdict, fault: Exception | None) -> str:
        """Controllers look for the words that ansible-runner begins with."""
        match fault:
            case None:
                return str(verdict.explanation)
            case ArchiveError():
                return f"{_EXTRACT_ERROR} {fault}"
            case ProtocolError() | LimitError():
                return f"{_PARSE_ERROR} {fault}"
            case TruncatedStreamError() if self._reader.foreign:
                shown = self._reader.foreign[-1000:].decode("utf-8", "replace")
                return f"{_PARSE_ERROR} {fault} Line with invalid JSON data: {shown!r}"
            case TruncatedStreamError():
                return f"{_EMPTY} {fault}"
            case ReceptorRunnerError():
                return f"{_READ_ERROR} {fault}"
        return f"the process stage failed: {fault!r}"

    def _tell_handler_error(self) -> None:
        self.verdict = tell_handler_error(self._handlers, self._sinks, self.verdict)


def _leave_to_another(fault: Exception) -> None:
    """A fault or a limit of this end does not end the job: another stage can go on, on a better day.

    :raises OutputError: it is one.
    """
    if isinstance(fault, LimitError):
        raise OutputError(str(fault), hint="attach again with a larger limit (--max-members and so on)") from fault
    if isinstance(fault, SHORTAGES) and not isinstance(fault, ReceptorRunnerError):
        raise OutputError(f"the results cannot be taken here: {fault!r}") from fault
    ours = isinstance(fault, (OutputError, ConfigurationError, SealedAwayError))
    if ours or not isinstance(fault, ReceptorRunnerError):
        raise fault


def process(source: Input, flag: StopFlag, options: ProcessorOptions) -> Processor:
    """Reads one stream from ``source`` to its end; how the job ended is in the result.

    :raises OutputError: the artifact directory cannot be used at all.
    """
    with Processor(flag, options) as processor:
        try:
            while not processor.finished:
                data = source.read(processor.wanted, processor.wait_seconds())
                if data:
                    processor.feed(data)
                processor.check_stop()
                if data == b"":
                    processor.feed(data)
        except Exception as exc:
            processor.conclude(exc)
        else:
            processor.conclude()
    return processor


def drain(source: Input, flag: StopFlag) -> None:
    """Reads what a writer says behind the end mark, for a moment, so that it does not die of a closed pipe."""
    until = time.monotonic() + DRAIN_SECONDS
    while not flag.raised and (left := until - time.monotonic()) > 0:
        if source.read(0, left) in (None, b""):
            return
