"""The second stage: reads a job, runs it, streams events and artifacts back.

Rules: nothing but the stream reaches the output, and nothing at all reaches standard error. Nothing starts before the
input's end mark. Whatever happens, short of SIGKILL, the output ends with a status and the end mark. Everything that
is needed until then is imported before the job starts."""

from __future__ import annotations

import contextlib
import math
import os
import select
import time
import traceback
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import IO, TYPE_CHECKING

from ..archive.format import DELTA
from ..archive.spool import spool
from ..delta.lacking import LackingError
from ..errors import (
    ArchiveError,
    ConfigurationError,
    Interrupted,
    LimitError,
    OutputClosedError,
    OutputError,
    ProtocolError,
    ReceptorRunnerError,
    RefusedError,
    TruncatedStreamError,
    exit_code_of,
)
from ..guard.client import GuardDiedError
from ..guard.protocol import Lines
from ..job.parameters import Parameters
from ..job.place import Place
from ..job.private_data import PrivateDataDir
from ..preparation.prepare import PreparationContext, prepare
from ..preparation.run_spec import MaskedCommand, RunSpec
from ..results.artifact_dir import ArtifactDir
from ..results.verdict import Verdict, verdict_of
from ..stream.endpoints import Input, Output
from ..stream.messages import ALL, EXTENSION, Extension, JSONObject
from ..stream.results_writer import ResultsWriter
from ..stream.status import CANCELED, ERROR, RC_STOPPED, RUNNING, STARTING, UNSTARTED, error_status
from ..system.directories import lock
from ..system.signals import StopFlag
from .artifact_sender import ArtifactSender
from .collected import Collector
from .execution import execute
from .job_receiver import JobReceiver
from .job_warnings import command_warnings, dropped_files
from .work_dir import WorkDir
from .worker_stop import WorkerOptions, WorkerStop

if TYPE_CHECKING:
    pass

__all__ = ["Worker", "WorkerOptions"]

#: What is left of the time of a stopped job for its last words.
_LAST_SECONDS = 1.5
#: So many contents are named that a job lacks.
_LONGEST_LIST = 100_000
_PARSE_ERROR = "Failed to JSON parse a line from transmit stream."
_EXTRACT_ERROR = "Failed to extract private data directory on worker."


class Worker:
    """One job from its stream to its stream.

    After :meth:`run`, ``status`` and ``rc`` say how the job ended, and ``exit_code`` what a command should end with.
    """

    def __init__(self, source: Input, output: Output, flag: StopFlag, options: WorkerOptions) -> None:
        self.verdict = Verdict(UNSTARTED, UNSTARTED, 0)
        self._source = source
        keepalive = options.keepalive if options.keepalive is not None else _keepalive_of_environment()
        self._writer = ResultsWriter(output, keepalive)
        self._options = options
        self._stop = WorkerStop(flag, options, self._writer)
        self._ident: str | None = None
        #: The private data dir, if it was made for this job.
        self._temporary = ""
        self._extension = Extension()
        self._ended = False
        self._receiver: JobReceiver | None = None
        #: Whether nothing of the job runs, for sure.
        self._at_rest = True
        #: Makes the file that artifacts are packed into.
        self._make_spool: Callable[[], IO[bytes]] = spool
        output.while_waiting = self._stop.note

    @property
    def status(self) -> str:
        return self.verdict.status

    @property
    def rc(self) -> int | None:
        return self.verdict.rc

    @property
    def exit_code(self) -> int:
        return self.verdict.exit_code

    def run(self) -> Worker:
        try:
            try:
                options = self._options
                with WorkDir(options.private_data_dir, delete=options.delete, keeper=options.keeper) as work_dir:
                    self._work(work_dir)
                    if not options.in_place:
                        self._end()
                    if self._receiver is not None and self._at_rest and work_dir.guard.is_idle():
                        self._receiver.give_back()
                self._end()
            except OutputClosedError:
                raise
            except Exception as exc:
                self._fail(exc)
                self._end()
        except OutputError as exc:
            self.verdict = verdict_of(ERROR, self.rc, exc.exit_code)
        return self

    def _end(self) -> None:
        if not self._ended:
            self._ended = True
            self._writer.end()

    def _work(self, work_dir: WorkDir) -> None:
        """Everything between the beginning and the end mark: errors become a status here and nowhere else."""
        with contextlib.ExitStack() as opened:
            artifacts: ArtifactDir | None = None
            collector: Collector | None = None
            try:
                parameters = Parameters.from_wire({**self._options.defaults, **self._receive(work_dir)})
                self._ident = parameters.ident
                spec = self._prepared(work_dir, parameters, opened)
                artifacts = opened.enter_context(ArtifactDir(spec.artifact_dir))
                collector = opened.enter_context(contextlib.closing(self._collector(work_dir, spec)))
                self._execute(work_dir, spec, parameters, artifacts, collector)
            except OutputClosedError:
                raise
            except Interrupted:
                self._finish(CANCELED, RC_STOPPED)
            except Exception as exc:
                self._fail(exc)
                if artifacts is not None:
                    artifacts.write_fault(ERROR, self.exit_code, self.verdict.explanation)
            if artifacts is not None and not self._options.in_place:
                more = collector.entries() if collector is not None else ()
                ArtifactSender(self._writer, self._stop.in_time, self._extension.archives, self._make_spool).send(
                    artifacts, more
                )

    def _collector(self, work_dir: WorkDir, spec: RunSpec) -> Collector:
        """What finds the files that are wanted back, once the job has made them."""
        place = Place.from_json(self._extension.place) if self._options.in_place else None
        directory = place.private_data_dir if place is not None else work_dir.path
        artifacts = (os.path.dirname(spec.artifact_dir), spec.artifact_dir)
        return Collector(directory, self._extension.collect, artifacts, time.time_ns(), self._is_time_left)

    def _is_time_left(self) -> bool:
        """Says that we are there. A job that is being stopped has a deadline."""
        self._writer.tick()
        return self._stop.in_time(_LAST_SECONDS)

    def _prepared(self, work_dir: WorkDir, parameters: Parameters, opened: contextlib.ExitStack) -> RunSpec:
        if self._options.in_place:
            return self._prepared_in_place(work_dir, parameters, opened)
        self._temporary = work_dir.path if self._options.private_data_dir is None else ""
        fresh = self._options.private_data_dir is None
        private_data = PrivateDataDir(work_dir.path)
        sealed = self._receiver is not None and self._receiver.sealed
        context = PreparationContext(
            private_data, work_dir.scratch, work_dir.guard.own, self._tick, fresh=fresh, sealed=sealed
        )
        return prepare(parameters, context)

    def _prepared_in_place(self, work_dir: WorkDir, parameters: Parameters, opened: contextlib.ExitStack) -> RunSpec:
        place = Place.from_json(self._extension.place)
        private_data = PrivateDataDir.existing(place.private_data_dir)
        opened.callback(os.close, lock(place.private_data_dir, exclusive=False))
        if place.project_dir:
            private_data.project = Path(place.project_dir)
        context = PreparationContext(
            private_data,
            work_dir.scratch,
            work_dir.guard.own,
            self._tick,
            artifacts=Path(place.artifact_dir),
            roles_path=place.roles_path,
            local=True,
        )
        return prepare(parameters, context)

    def _receive(self, work_dir: WorkDir) -> JSONObject:
        receiver = self._receiver = JobReceiver(
            self._source, self._writer, self._stop.check, work_dir, self._options.limits, self._options.means
        )
        try:
            kwargs = receiver.receive()
        finally:
            if receiver.results_key is not None:
                from ..sealing.results import SealingOutput
                from ..sealing.spool import sealed_spool

                self._make_spool = sealed_spool
                self._writer.output = SealingOutput(self._writer.output, receiver.results_key)
        self._extension = receiver.extension
        return kwargs

    def _tick(self) -> None:
        self._stop.check()
        self._writer.tick()

    def _execute(
        self,
        work_dir: WorkDir,
        spec: RunSpec,
        parameters: Parameters,
        artifacts: ArtifactDir,
        collector: Collector,
    ) -> None:
        told = Extension(self._extension.job, self._extension.owner, tuple(parameters.ignored))
        self._stop.cancel = work_dir.guard.cancel
        self._at_rest = False
        since = time.time_ns()
        try:
            result = execute(work_dir.guard, spec, artifacts, _WorkerRelay(self._writer, self._stop, told))
        finally:
            self._stop.cancel = None
        result.check()
        self._at_rest = True
        if self._stop.unwanted is not None:
            raise self._stop.unwanted
        dropped: list[str] = []
        if self._temporary or self._options.delete:
            written = dropped_files(work_dir.path, since, spec.artifact_dir)
            dropped = [name for name in written if not collector.matches(name)]
        warnings = command_warnings(spec, result, dropped)
        if self._options.in_place:
            warnings += collector.copy(artifacts)
        self._finish(result.status, result.rc, result.events, result.stopped_because, warnings)

    def _finish(
        self, status: str, rc: int, events: int = 0, because: str | None = None, warnings: tuple[str, ...] = ()
    ) -> None:
        self.verdict = verdict_of(status, rc, explanation=because)
        line: JSONObject = {"status": status}
        if self._ident is not None:
            line["runner_ident"] = self._ident
        if because is not None:
            line["job_explanation"] = because
        line[EXTENSION] = Extension(
            exit_status=self.exit_code, rc=rc, events=events, warnings=warnings, ended=time.time()
        ).to_json()
        self._writer.send(line)

    def _fail(self, exc: BaseException) -> None:
        explanation, trace = _explain(exc)
        if self._temporary and not isinstance(
            exc, OutputError
        ):  # the submitter knows the files by their names in his own directory
            explanation = explanation.replace(f"{self._temporary}/", "")
        said = self._options.complaints()
        if said:
            trace = f"{trace.rstrip()}\nThe worker's standard error ended with:\n{said}"
        code = exit_code_of(exc)
        self.verdict = verdict_of(ERROR, None, code, explanation)
        lacks = _lacks(exc)
        archives = (DELTA,) if not lacks or self._options.means.has_store() else ()
        extension = Extension(ended=time.time(), archives=archives, lacks=lacks)
        self._writer.send(error_status(explanation, trace, code, self._ident, extension))


class _WorkerRelay:
    """Writes what the guard reports to the output, with keep-alives between lines."""

    def __init__(self, writer: ResultsWriter, stop: WorkerStop, extension: Extension) -> None:
        self._writer = writer
        self._stop = stop
        self._extension = extension
        self._between_lines = True

    def announce(self, spec: RunSpec, masked: MaskedCommand) -> None:
        starting: JSONObject = {"status": STARTING, "runner_ident": spec.ident, **masked}
        added = self._extension.to_json()
        if added:
            starting[EXTENSION] = added
        self._writer.send(starting)
        self._writer.send({"status": RUNNING, "runner_ident": spec.ident})

    def lines(self, lines: Lines) -> None:
        self._writer.lines(lines.data, whole=lines.whole)
        self._between_lines = lines.whole

    def should_stop(self) -> bool:
        asked = self._stop.asked()
        if self._between_lines:
            self._writer.tick()
        return asked

    def hurried(self) -> bool:
        if self._between_lines:
            self._writer.tick()
        return not self._stop.in_time(0.5)

    def waits(self) -> Iterable[float | None]:
        yield self._writer.wait_seconds() if self._between_lines else None
        yield from self._stop.waits()

    def watched(self) -> Iterable[tuple[int, int]]:
        yield self._stop.flag.fileno(), select.POLLIN
        output = self._writer.output.fileno()
        if output is not None:
            yield output, 0

    def woke(self, ready: Collection[int]) -> None:
        """:raises OutputClosedError: the reader of the output is gone."""
        if self._writer.output.fileno() in ready:
            raise OutputClosedError("the output was closed by its reader")
        if self._stop.flag.fileno() in ready:
            self._stop.flag.acknowledge()


def _lacks(exc: BaseException) -> tuple[str, ...]:
    """What the sender has to send, by the digests; a list that is longer than everything is worth is everything."""
    if not isinstance(exc, LackingError):
        return ()
    return tuple(digest.hex() for digest in exc.digests) if 0 < len(exc.digests) <= _LONGEST_LIST else (ALL,)


def _keepalive_of_environment() -> float | None:
    try:
        seconds = float(os.environ.get("ANSIBLE_RUNNER_KEEPALIVE_SECONDS", ""))
    except ValueError:
        return None
    return seconds if 0 < seconds < math.inf else None


def _explain(exc: BaseException) -> tuple[str, str]:
    """The explanation, in ansible-runner's words first where it has any, and the traceback."""
    trace = "".join(traceback.format_exception(type(exc), exc, exc.__traceback__))
    text = str(exc) or type(exc).__name__
    if isinstance(exc, (ProtocolError, TruncatedStreamError, LimitError)):
        text = f"{_PARSE_ERROR} {text}"
    elif isinstance(exc, ArchiveError):
        text = f"{_EXTRACT_ERROR} {text}"
    elif isinstance(exc, GuardDiedError) and exc.diagnosis:
        trace += exc.diagnosis
    elif isinstance(exc, (RefusedError, ConfigurationError)) and exc.hint:
        text = f"{text}; {exc.hint}"  # it is read on another machine
    elif not isinstance(exc, ReceptorRunnerError):
        text = f"the worker failed: {type(exc).__name__}: {text}"
    return text, trace
