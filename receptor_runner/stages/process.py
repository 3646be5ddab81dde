"""The third stage: reads a worker's stream, prints, calls handlers, saves artifacts, and says how the job ended.

Rules: the stream is a stranger's; nothing outside of the artifact directory is touched. It is whole only if its end
mark came, every event that the worker counted came, and its last status is a final one; otherwise the verdict is
unknown and never success."""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..errors import DetachedError, Interrupted, OutputError, ProtocolError, ReceptorRunnerError, TruncatedStreamError
from ..job.parameters import check_ident
from ..job.private_data import PrivateDataDir
from ..limits import CANCEL_POLL_SECONDS, DEFAULT_LIMITS, DRAIN_SECONDS, LINGER_SECONDS, MAX_FOREIGN, StreamLimits
from ..results.artifact_dir import ArtifactDir
from ..results.delivery import Delivery, Handlers, RunnerConfig
from ..results.printer import Printer
from ..stream.archive_receiver import ArchiveReceiver
from ..stream.codec import Decoder
from ..stream.endpoints import Input
from ..stream.messages import (
    EXTENSION,
    ArchiveData,
    ArchiveEnd,
    ArchiveStart,
    Foreign,
    JobEvent,
    JSONObject,
    Message,
    Status,
)
from ..stream.status import CANCELED, ERROR, RUNNING, STARTING, UNSTARTED, error_status, exit_status
from ..system.signals import StopFlag

__all__ = ["Journal", "Processor", "ProcessorOptions", "artifact_dir"]

logger = logging.getLogger(__name__)

#: An archive is one message for a journal: done when its end is.
_ARCHIVE_PARTS = (ArchiveStart, ArchiveData)
_EMPTY = (
    "Unexpected empty line encountered during worker stream. "
    "Worker did not produce events or streaming was aborted, check execution node health."
)
_PARSE_ERROR = "Failed to JSON parse a line from worker stream. Error:"
_READ_ERROR = "Failed to read from worker stream. Error:"


class Journal(Protocol):
    """Where another process stage can go on with the same stream: from ``offset`` (bytes, a message boundary), with
    the first ``skip`` messages behind it done and ``events`` events delivered in all.
    """

    offset: int
    skip: int
    events: int
    memory: JSONObject

    def passed(self, offset: int, skip: int, events: int) -> None: ...

    def remember(self, **memory: Any) -> None: ...


@dataclass
class ProcessorOptions:
    """Where things go. ``artifact_dir`` holds the artifacts of this job directly."""

    artifact_dir: str
    handlers: Handlers = field(default_factory=Handlers)
    settings: JSONObject = field(default_factory=dict)
    printer: Printer | None = None
    limits: StreamLimits = DEFAULT_LIMITS
    cancel_callback: Callable[[], bool] | None = None
    #: Called on the first signal, to cancel the job whose end is then awaited.
    on_interrupt: Callable[[], None] | None = None
    #: How long the stream may go on after that, in seconds.
    linger: float = LINGER_SECONDS
    #: With one, a fault of this end (a full disk, a lost source) ends the stage and not the job: the error is raised,
    #: nothing is reported as final, and another stage may go on.
    journal: Journal | None = None


def artifact_dir(private_data: PrivateDataDir, given: Any, ident: Any) -> str:
    """Where ansible-runner's ``process`` puts artifacts: ``given`` itself, else ``artifacts`` with the ident if there
    is one."""
    if given:
        return os.path.abspath(str(given))
    return str(private_data.artifacts / check_ident(ident)) if ident not in (None, "") else str(private_data.artifacts)


class Processor:
    """One job's results.

    After :meth:`run`: ``status``, ``rc`` (of the job, None if it did not tell), ``exit_code``, ``stats`` (the data of
    ``playbook_on_stats``), ``artifact_dir``, ``config``, ``job_explanation`` and ``result_traceback`` (of an
    ``error``)."""

    def __init__(self, source: Input, flag: StopFlag, options: ProcessorOptions) -> None:
        self.artifact_dir = options.artifact_dir
        self.config = RunnerConfig(options.settings)
        self.rc: int | None = None
        self.exit_code = 0
        #: Whether the stream came to its own end, with everything in it.
        self.whole = False
        self._source = source
        self._flag = flag
        self._options = options
        self._journal = options.journal
        self._base = options.journal.offset if options.journal is not None else 0
        self._done = 0
        self._skip = options.journal.skip if options.journal is not None else 0
        self._decoder = Decoder(options.limits, self._base)
        self._delivery: Delivery | None = None
        self._archive: ArchiveReceiver | None = None
        self._foreign = b""
        self._give_up_at: float | None = None
        self._acknowledged = False
        self._extracted = False

    @property
    def status(self) -> str:
        return self._delivery.status if self._delivery is not None else UNSTARTED

    @property
    def stats(self) -> JSONObject | None:
        return self._delivery.stats if self._delivery is not None else None

    @property
    def job_explanation(self) -> str | None:
        return self._told("job_explanation")

    @property
    def result_traceback(self) -> str | None:
        return self._told("result_traceback")

    def _told(self, name: str) -> str | None:
        value = self._delivery.status_data.get(name) if self._delivery is not None else None
        return value if isinstance(value, str) else None

    def run(self) -> Processor:
        """:raises OutputError: the artifact directory cannot be used at all; with a journal: cannot be written.
        :raises DetachedError: only with a journal.
        """
        with ArtifactDir(self.artifact_dir) as artifacts:
            if artifacts.has_events() and not self._base:
                logger.warning("%s has the events of an earlier run; those of this one are added", self.artifact_dir)
            self._delivery = Delivery(self._options.handlers, self.config, artifacts, self._options.printer)
            self._resume(self._delivery)
            try:
                self._read(self._delivery)
            except DetachedError:
                raise
            except Interrupted as exc:
                self._end_interrupted(self._delivery, exc)
            except ReceptorRunnerError as exc:
                if self._journal is not None and isinstance(exc, OutputError):
                    raise
                self._end_badly(self._delivery, self._in_ansible_runner_words(exc), exc.exit_code)
            except Exception as exc:
                if self._journal is not None:
                    raise
                self._end_badly(self._delivery, f"the process stage failed: {exc!r}", ReceptorRunnerError.exit_code)
            else:
                self._end_well(self._delivery, artifacts)
            finally:
                self._close_archive()
            self._finish(self._delivery)
        return self

    def _resume(self, delivery: Delivery) -> None:
        if self._journal is None:
            return
        memory = self._journal.memory
        self._extracted = bool(memory.get("extracted"))
        delivery.resume(self._journal.events, memory.get("status") or {}, memory.get("stats"))

    def _read(self, delivery: Delivery) -> None:
        while not self._decoder.finished:
            data = self._source.read(self._decoder.wanted, self._wait_seconds())
            self._check_stop()
            if data is None:
                continue
            messages = self._decoder.receive(data) if data else self._decoder.receive_eof()
            for message in messages:
                if self._skip and type(message) not in (ArchiveData, ArchiveEnd):
                    self._skip -= 1
                    self._done += 1
                elif type(message) is JobEvent:
                    delivery.event(message.data, message.raw)
                    self._note(delivery)
                else:
                    self._take(message, delivery)
            self._note_batch(delivery)
            delivery.flush()
            if not data and not self._decoder.finished:
                if self._give_up_at is not None and delivery.status == UNSTARTED:
                    raise Interrupted("interrupted before the job had started")
                raise TruncatedStreamError(self._ended_early(delivery))

    def _note(self, delivery: Delivery) -> None:
        """One more message is done. What it changed is remembered first: the order that a crash between them needs."""
        if self._journal is not None:
            self._done += 1
            if delivery.stats is not None and not self._journal.memory.get("stats"):
                self._journal.remember(stats=delivery.stats)
            self._journal.passed(self._base, self._done, delivery.events)

    def _note_batch(self, delivery: Delivery) -> None:
        """A whole batch is done: a follower may start behind it, but not inside of an archive."""
        if self._decoder.finished:
            return  # who comes after us must find the end mark
        if self._journal is not None and self._decoder.boundary != self._base and not self._decoder.in_archive:
            self._base, self._done = self._decoder.boundary, 0
            self._journal.passed(self._base, 0, delivery.events)

    def _wait_seconds(self) -> float | None:
        if self._give_up_at is not None:
            return max(0.0, self._give_up_at - time.monotonic())
        return CANCEL_POLL_SECONDS if self._options.cancel_callback is not None else None

    def _check_stop(self) -> None:
        """The first Ctrl-C lets a stream that has begun come to its end; anything else ends the stage."""
        asked = self._options.cancel_callback
        if self._give_up_at is None and asked is not None and asked():
            if self._options.on_interrupt is None:
                raise Interrupted("cancelled by the cancel callback")
            self._begin_end()
        if self._give_up_at is not None and time.monotonic() >= self._give_up_at:
            text = f"the stream did not end within {self._options.linger:.0f} s of the interrupt"
            if self._journal is not None:
                raise DetachedError(f"{text}; the cancel cannot be shown to have worked", ReceptorRunnerError.exit_code)
            raise Interrupted(text)
        if not self._flag.raised:
            return
        reasons = self._flag.reasons
        cancel = self._options.on_interrupt
        if self._journal is not None:
            self._check_detach(reasons)
        if len(reasons) > 1 or (cancel is None and (self._decoder.offset == 0 or signal.SIGTERM in reasons)):
            raise Interrupted("interrupted; the job may go on where it runs")
        if self._give_up_at is None or not self._acknowledged:
            self._acknowledged = True
            self._flag.acknowledge()
            self._begin_end()

    def _begin_end(self) -> None:
        """The job is cancelled, if that can be done from here, and its end is awaited for a while."""
        if self._give_up_at is None:
            self._give_up_at = time.monotonic() + self._options.linger
            if self._options.on_interrupt is not None:
                self._options.on_interrupt()

    def _check_detach(self, reasons: list[int]) -> None:
        if signal.SIGHUP in reasons:
            raise DetachedError("detached; the job goes on")
        if len(reasons) > 1:
            self._begin_end()
            raise DetachedError("no longer waiting for the job to end; it may go on", Interrupted.exit_code)

    def _take(self, message: Message, delivery: Delivery) -> None:
        whole = self._archive is not None if type(message) is ArchiveEnd else type(message) not in _ARCHIVE_PARTS
        match message:
            case Status(data):
                delivery.status_change(data)
                self._remember(status=data)
            case ArchiveStart():
                self._close_archive()
                self._archive = ArchiveReceiver(message)
            case ArchiveData(chunk) if self._archive is not None:
                self._archive.receive(chunk)
            case ArchiveEnd() if self._archive is not None:
                for _ in self._archive.extract(self.artifact_dir, self._options.limits, private=True):
                    self._check_stop()
                self._close_archive()
                self._extracted = True
                delivery.artifacts_ready(self.artifact_dir)
                self._remember(extracted=True)
            case Foreign(text):
                self._foreign = (self._foreign + text + b"\n")[-MAX_FOREIGN:]
            case _:
                pass
        if whole:
            self._note(delivery)

    def _remember(self, **memory: Any) -> None:
        if self._journal is not None:
            self._journal.remember(**memory)

    def _close_archive(self) -> None:
        if self._archive is not None:
            self._archive.close()
            self._archive = None

    def _ended_early(self, delivery: Delivery) -> str:
        text = f"the stream ended at byte {self._decoder.offset}, before its end mark, after {delivery.events} events"
        if delivery.status != UNSTARTED:
            text += f"; the last status was {delivery.status}"
        return text

    def _in_ansible_runner_words(self, exc: ReceptorRunnerError) -> str:
        if isinstance(exc, ProtocolError):
            return f"{_PARSE_ERROR} {exc}"
        if isinstance(exc, TruncatedStreamError):
            if self._foreign:
                shown = self._foreign[-1000:].decode("utf-8", "replace")
                return f"{_PARSE_ERROR} {exc} Line with invalid JSON data: {shown!r}"
            return f"{_EMPTY} {exc}"
        return f"{_READ_ERROR} {exc}"

    def _end_well(self, delivery: Delivery, artifacts: ArtifactDir) -> None:
        """The end mark came; whether the job is believed is decided here."""
        if self._extracted and delivery.status != ERROR:
            self.rc = artifacts.rc()
        extension = delivery.status_data.get(EXTENSION)
        told: JSONObject = extension if isinstance(extension, dict) else {}
        expected = told.get("events")
        if delivery.status in (UNSTARTED, STARTING, RUNNING):
            self._end_badly(
                delivery, f"{_EMPTY} the stream ended without a final status", TruncatedStreamError.exit_code
            )
        elif type(expected) is int and expected != delivery.events:
            text = f"the worker sent {expected} events and {delivery.events} arrived"
            self._end_badly(delivery, f"{_EMPTY} {text}", TruncatedStreamError.exit_code)
        else:
            self.whole = True
            self.exit_code = exit_status(delivery.status, self.rc, told.get("exit_status"))

    def _end_badly(self, delivery: Delivery, explanation: str, code: int) -> None:
        trace = traceback.format_exc() if sys.exc_info()[0] is not None else explanation
        delivery.status_change(error_status(explanation, trace, code))
        self.exit_code = code

    def _end_interrupted(self, delivery: Delivery, exc: Interrupted) -> None:
        delivery.status_change({"status": CANCELED, "job_explanation": str(exc)})
        self.exit_code = exc.exit_code

    def _finish(self, delivery: Delivery) -> None:
        self._tell_handler_error(delivery)
        delivery.finished(self)
        self._tell_handler_error(delivery)
        delivery.flush()

    def _tell_handler_error(self, delivery: Delivery) -> None:
        if delivery.handler_failed():
            self.exit_code = ReceptorRunnerError.exit_code

    def drain(self) -> None:
        """Reads what a writer says behind the end mark, for a moment, so that it does not die of a closed pipe."""
        until = time.monotonic() + DRAIN_SECONDS
        while not self._flag.raised and (left := until - time.monotonic()) > 0:
            if self._source.read(0, left) in (None, b""):
                return
