"""The second stage: reads a job, runs it, streams events and artifacts back.

Rules: the output is the wire and nothing else reaches it or standard error. Nothing starts before the input's own end
mark. Whatever happens, short of SIGKILL, the output ends with a status and the end mark. Everything that is needed
until then is imported before the job starts."""

from __future__ import annotations

import math
import os
import select
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from ..archive.collect import collect
from ..archive.entry import Entry
from ..archive.pack import Packer
from ..archive.spool import spool
from ..errors import (
    ArchiveError,
    Interrupted,
    LostError,
    OutputClosedError,
    OutputError,
    ProtocolError,
    ReceptorRunnerError,
    TruncatedStreamError,
    exit_code_of,
)
from ..guard.client import Guard, GuardDiedError, Result
from ..job.parameters import Parameters
from ..job.private_data import PrivateDataDir
from ..limits import ARCHIVE_SECONDS, CANCEL_POLL_SECONDS, DEFAULT_LIMITS, PARENT_POLL_SECONDS, StreamLimits
from ..preparation.fact_cache import kept_facts
from ..preparation.prepare import PreparationContext, RunSpec, prepare
from ..results.artifact_dir import ArtifactDir
from ..stream.endpoints import Input, Output
from ..stream.messages import EXTENSION, JSONObject
from ..stream.results_writer import ResultsWriter
from ..stream.status import CANCELED, ERROR, RC_STOPPED, RUNNING, STARTING, UNSTARTED, error_status, exit_status
from ..system.signals import StopFlag
from ..system.waiting import milliseconds
from .job_receiver import JobReceiver
from .work_dir import WorkDir

__all__ = ["Worker", "WorkerOptions"]

#: What an archive is believed to be written at when a job is being cancelled, in bytes a second: a slow disk, written
#: synchronously.
_HURRIED_RATE = 20 * 1024 * 1024
_CUT_OUTPUT = 1024 * 1024
_PARSE_ERROR = "Failed to JSON parse a line from transmit stream."
_EXTRACT_ERROR = "Failed to extract private data directory on worker."


@dataclass
class WorkerOptions:
    """How a worker works. Times are seconds. ``keepalive`` None: what ansible-runner's
    ``ANSIBLE_RUNNER_KEEPALIVE_SECONDS`` says."""

    private_data_dir: str | None = None
    delete: bool = False
    keepalive: float | None = None
    cancel_callback: Callable[[], bool] | None = None
    limits: StreamLimits = DEFAULT_LIMITS
    #: Under Receptor: the directory of the work unit. When that goes, the unit was released and nobody wants the job;
    #: when the process that started this one goes, nobody will tell how the job ended. Either way it ends.
    unit_directory: str | None = None
    #: The end of what this process said on its standard error, for who is told of an error.
    complaints: Callable[[], str] = str
    #: Parameters that hold unless the job says otherwise.
    defaults: JSONObject = field(default_factory=dict)


class Worker:
    """One job from its stream to its stream.

    After :meth:`run`, ``status`` and ``rc`` say how the job ended and ``exit_code`` what a command should end with.
    """

    def __init__(self, source: Input, output: Output, flag: StopFlag, options: WorkerOptions) -> None:
        self.status = UNSTARTED
        self.rc: int | None = None
        self.exit_code = 0
        self._source = source
        keepalive = options.keepalive if options.keepalive is not None else _keepalive_of_environment()
        self._writer = ResultsWriter(output, keepalive)
        self._flag = flag
        self._options = options
        self._ident: str | None = None
        self._extension: JSONObject = {}
        self._stop_at: float | None = None
        self._ended = False
        self._guard: Guard | None = None
        self._parent = os.getppid()
        self._unwanted: ReceptorRunnerError | None = None
        output.while_waiting = self._note_stop

    def run(self) -> Worker:
        try:
            try:
                with WorkDir(self._options.private_data_dir, delete=self._options.delete) as work_dir:
                    self._work(work_dir)
                    self._end()
            except OutputClosedError:
                raise
            except Exception as exc:
                self._fail(exc)
                self._end()
        except OutputError as exc:
            self.status, self.exit_code = ERROR, exc.exit_code
        return self

    def _end(self) -> None:
        if not self._ended:
            self._ended = True
            self._writer.end()

    def _work(self, work_dir: WorkDir) -> None:
        """Everything between the beginning and the end mark: errors become a status here and nowhere else."""
        artifact_dir: str | None = None
        try:
            kwargs = self._receive(work_dir.path)
            parameters = Parameters.from_wire({**self._options.defaults, **kwargs})
            self._ident = parameters.ident
            fresh = self._options.private_data_dir is None
            context = PreparationContext(
                PrivateDataDir(work_dir.path), work_dir.scratch, work_dir.guard.own, self._tick, fresh=fresh
            )
            command = prepare(parameters, context)
            artifact_dir = command.artifact_dir
            self._execute(work_dir.guard, command, parameters)
        except OutputClosedError:
            raise
        except Interrupted:
            self._finish(CANCELED, RC_STOPPED)
        except Exception as exc:
            self._fail(exc)
        if artifact_dir is not None:
            self._send_artifacts(artifact_dir)

    def _receive(self, target: str) -> JSONObject:
        receiver = JobReceiver(self._source, self._writer, self._check_stop, target, self._options.limits)
        try:
            kwargs = receiver.receive()
        finally:
            receiver.close()
        self._extension = receiver.extension
        return kwargs

    def _check_stop(self) -> None:
        if self._flag.raised:
            raise Interrupted("interrupted before the job had started")
        if self._is_unwanted() and self._unwanted is not None:
            raise self._unwanted
        if self._writer.output.closed_by_reader():
            raise OutputClosedError("the output was closed by its reader")
        if self._options.cancel_callback is not None and self._options.cancel_callback():
            raise Interrupted("cancelled before the job had started")

    def _tick(self) -> None:
        self._check_stop()
        self._writer.tick()

    def _execute(self, guard: Guard, command: RunSpec, parameters: Parameters) -> None:
        masked = command.masked()
        with ArtifactDir(command.artifact_dir) as artifacts:
            artifacts.write_json("command", masked)
            self._announce(command, masked, parameters)
            with kept_facts(command.fact_cache, command.core, artifacts.write_json):
                result = self._supervise(guard, command)
            artifacts.write("status", result.status.encode())
            artifacts.write("rc", str(result.rc).encode())
        result.check()
        if self._unwanted is not None:
            raise self._unwanted
        self._finish(result.status, result.rc, result.events)

    def _announce(self, command: RunSpec, masked: JSONObject, parameters: Parameters) -> None:
        starting: JSONObject = {"status": STARTING, "runner_ident": command.ident, **masked}
        if parameters.ignored:
            starting[EXTENSION] = {**self._extension, "ignored": parameters.ignored}
        elif self._extension:
            starting[EXTENSION] = self._extension
        self._writer.send(starting)
        self._writer.send({"status": RUNNING, "runner_ident": command.ident})

    def _supervise(self, guard: Guard, command: RunSpec) -> Result:
        guard.run(command)
        self._guard = guard
        if self._stop_at is not None:
            guard.cancel()
        result = self._relay(guard)
        self._guard = None
        return result

    def _relay(self, guard: Guard) -> Result:
        """Passes on what the guard reports until it reports the end."""
        between_lines = True
        while True:
            ready = self._wait(guard, between_lines)
            if self._flag.raised or self._cancelled() or self._is_unwanted():
                self._stop()
            if between_lines:
                self._writer.tick()
            if not ready:
                continue
            for kind, content in guard.frames():
                if kind == b"R":
                    return guard.result(content)
                self._writer.lines(content)
                between_lines = kind == b"W"

    def _wait(self, guard: Guard, between_lines: bool) -> bool:
        """Whether the guard has something to say."""
        poll = select.poll()
        poll.register(guard.fileno(), select.POLLIN)
        poll.register(self._flag.fileno(), select.POLLIN)
        output = self._writer.output.fileno()
        if output is not None:
            poll.register(output, 0)
        keepalive = self._writer.wait_seconds() if between_lines else None
        asking = CANCEL_POLL_SECONDS if self._options.cancel_callback is not None else None
        watching = PARENT_POLL_SECONDS if self._options.unit_directory is not None else None
        ready = {fd for fd, _ in poll.poll(milliseconds(keepalive, asking, watching))}
        if output in ready:
            raise OutputClosedError("the output was closed by its reader")
        if self._flag.fileno() in ready:
            self._flag.acknowledge()
        return guard.fileno() in ready

    def _cancelled(self) -> bool:
        if self._options.cancel_callback is None or self._stop_at is not None:
            return False
        try:
            return bool(self._options.cancel_callback())
        except Exception:  # who cannot say whether to go on gets his job stopped
            return True

    def _is_unwanted(self) -> bool:
        """Whether the unit or the process that started this one is gone; a parent that is init never was that."""
        unit = self._options.unit_directory
        if unit is None or self._unwanted is not None:
            return self._unwanted is not None
        if not os.path.isdir(unit):
            self._unwanted = Interrupted("the work unit was released")
        elif os.getppid() != self._parent or self._parent == 1:
            self._unwanted = LostError(
                "the process that started this worker, Receptor's runner, is gone; the job was ended"
            )
        return self._unwanted is not None

    def _note_stop(self) -> None:
        """From the first signal on, everything that is left to do has a deadline; the guard is told at once."""
        if self._flag.raised or self._stop_at is not None:
            self._stop()

    def _stop(self) -> None:
        if self._stop_at is None:
            self._stop_at = time.monotonic()
            self._writer.output.deadline = self._stop_at + ARCHIVE_SECONDS
            if self._guard is not None:
                self._guard.cancel()

    def _finish(self, status: str, rc: int, events: int = 0) -> None:
        self.status, self.rc = status, rc
        self.exit_code = exit_status(status, rc)
        line: JSONObject = {"status": status}
        if self._ident is not None:
            line["runner_ident"] = self._ident
        line[EXTENSION] = {"exit_status": self.exit_code, "events": events}
        self._writer.send(line)

    def _fail(self, exc: BaseException) -> None:
        explanation, trace = _explain(exc)
        said = self._options.complaints()
        if said:
            trace = f"{trace.rstrip()}\nThe worker's standard error ended with:\n{said}"
        code = exit_code_of(exc)
        self.status, self.rc, self.exit_code = ERROR, None, code
        self._writer.send(error_status(explanation, trace, code, self._ident))

    def _send_artifacts(self, artifact_dir: str) -> None:
        """The artifact directory as an archive; a small one if a cancelled job has no time for all of it."""
        with spool() as file:
            packer = Packer(file, lambda *_: None)
            whole = True
            for _ in packer.pack(collect(artifact_dir, lambda *_: None)):
                self._writer.tick()
                if not self._in_time(packer.size):
                    whole = False
                    break
            if whole:
                self._writer.archive(packer.size, packer.sha256, packer.chunks())
                return
        with spool() as file:
            packer = Packer(file, lambda *_: None)
            for _ in packer.pack(_few_entries(artifact_dir)):
                self._writer.tick()
            self._writer.archive(packer.size, packer.sha256, packer.chunks())

    def _in_time(self, size: int) -> bool:
        self._note_stop()
        if self._stop_at is None:
            return True
        return time.monotonic() + size / _HURRIED_RATE < self._stop_at + ARCHIVE_SECONDS


def _keepalive_of_environment() -> float | None:
    try:
        seconds = float(os.environ.get("ANSIBLE_RUNNER_KEEPALIVE_SECONDS", ""))
    except ValueError:
        return None
    return seconds if 0 < seconds < math.inf else None


def _few_entries(artifact_dir: str) -> Iterator[Entry]:
    """What matters most: how the job ended, and the end of its output."""
    with ArtifactDir(artifact_dir) as artifacts:
        for name in ("rc", "status", "command", "stderr"):
            content = artifacts.read(name, _CUT_OUTPUT)
            if content is not None:
                yield Entry.of_bytes(name, content)
    try:
        fd = os.open(os.path.join(artifact_dir, "stdout"), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(fd, "rb") as output:
            output.seek(max(0, os.fstat(output.fileno()).st_size - _CUT_OUTPUT))
            yield Entry.of_bytes("stdout", output.read(_CUT_OUTPUT))
    except OSError:
        return


def _explain(exc: BaseException) -> tuple[str, str]:
    """The explanation, in ansible-runner's words first where it has any, and the traceback."""
    trace = "".join(traceback.format_exception(type(exc), exc, exc.__traceback__))
    text = str(exc) or type(exc).__name__
    if isinstance(exc, (ProtocolError, TruncatedStreamError)):
        text = f"{_PARSE_ERROR} {text}"
    elif isinstance(exc, ArchiveError):
        text = f"{_EXTRACT_ERROR} {text}"
    elif isinstance(exc, GuardDiedError) and exc.diagnosis:
        trace += exc.diagnosis
    elif not isinstance(exc, ReceptorRunnerError):
        text = f"the worker failed: {type(exc).__name__}: {text}"
    return text, trace
