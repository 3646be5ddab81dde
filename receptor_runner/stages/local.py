"""Runs a job on this machine, in a private data dir of the caller's, without a stream: what ``ansible_runner.run``
does.

Rules: the guard runs the command exactly as it does for a worker, and its lines reach the same sinks as a worker's. It
works in any thread."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import tempfile
import traceback
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from ..errors import MissingError, OutputError, ReceptorRunnerError, exit_code_of
from ..guard.client import Guard
from ..guard.protocol import Lines
from ..job.parameters import Parameters
from ..job.private_data import PrivateDataDir
from ..job.runner_config import RunnerConfig, absolute
from ..limits import CANCEL_POLL_SECONDS
from ..preparation.fact_cache import plain_facts
from ..preparation.prepare import PreparationContext, prepare
from ..preparation.run_spec import MaskedCommand, RunSpec
from ..results.artifact_dir import ArtifactDir
from ..results.event_files import EventFiles
from ..results.handlers import Handlers, HandlerSink
from ..results.sinks import EventSink, Sinks
from ..results.verdict import Verdict, verdict_of
from ..stream.messages import JobEvent, JSONObject
from ..stream.reader import StreamReader
from ..stream.status import CANCELED, ERROR, RUNNING, STARTING, TIMEOUT, UNSTARTED, error_status
from ..system.below import open_file
from ..system.directories import make
from ..system.files import make_private, replace_file
from ..system.removal import remove_tree
from .execution import execute
from .handler_errors import tell_handler_error
from .job_warnings import command_warnings

__all__ = ["Runner"]

logger = logging.getLogger(__name__)


class Runner:
    """One local job. After :meth:`run` it has everything that ansible-runner's ``Runner`` offers: ``status``, ``rc``,
    :attr:`events`, :attr:`stats` and so on, and of an ``error`` its ``explanation`` and ``traceback``.

    :param config: what to run, and where.
    :param remove_partials: accepted as ansible-runner does; there are none.
    :raises ConfigurationError: a parameter has the wrong type.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - ansible-runner's
        self,
        config: RunnerConfig,
        cancel_callback: Callable[[], bool] | None = None,
        remove_partials: bool = True,
        event_handler: Callable[[JSONObject], object] | None = None,
        finished_callback: Callable[[Any], object] | None = None,
        status_handler: Callable[..., object] | None = None,
        artifacts_handler: Callable[[str], object] | None = None,
        printer: EventSink | None = None,
    ) -> None:
        self.status = UNSTARTED
        self.rc: int | None = None
        #: What the job left, or how it was understood.
        self.warnings: tuple[str, ...] = ()
        self.verdict: Verdict | None = None
        self.config = config
        self._given = config.parameters
        handlers = Handlers(event_handler, status_handler, artifacts_handler, finished_callback)
        self._handlers = HandlerSink(handlers, config)
        self._cancel_callback = cancel_callback
        self._printer = printer
        self.private_data_dir = config.private_data_dir or tempfile.mkdtemp(prefix="receptor-runner-")
        self.parameters = Parameters.from_wire(self._given)
        self.artifact_dir = config.artifact_dir
        self.explanation: str | None = None
        self.traceback: str | None = None
        self._sinks: Sinks | None = None
        self._event_names: list[str] = []

    @property
    def exit_code(self) -> int:
        return self.verdict.exit_code if self.verdict is not None else 0

    @property
    def canceled(self) -> bool:
        return self.status == CANCELED

    @property
    def timed_out(self) -> bool:
        return self.status == TIMEOUT

    @property
    def errored(self) -> bool:
        return self.status == ERROR

    def run(self) -> tuple[str, int | None]:
        """Runs the job, and returns ``status`` and ``rc``.

        :raises OutputError: the private data dir or the artifact directory cannot be written.
        """
        make(self.private_data_dir)
        with ArtifactDir(self.artifact_dir) as artifacts:
            printers = [self._printer] if self._printer is not None else []
            self._event_names.clear()
            sinks = self._sinks = Sinks([*printers, self._handlers, EventFiles(artifacts, self._event_names)])
            try:
                self._execute(sinks, artifacts)
            except Exception as exc:
                self.rc = exit_code_of(exc)
                self.verdict = verdict_of(ERROR, self.rc, self.rc, str(exc))
                sinks.status_change(error_status(str(exc), traceback.format_exc(), self.rc, self.parameters.ident))
                artifacts.write_fault(ERROR, self.rc, str(exc))
            sinks.artifacts_ready(self.artifact_dir)
            self._settle(sinks)
            sinks.finished(self)
            self._settle(sinks)
            sinks.flush()
            sinks.close()
        self._rotate()
        return self.status, self.rc

    def _settle(self, sinks: Sinks) -> None:
        """The status so far, a handler's error included."""
        self.verdict = tell_handler_error(self._handlers, sinks, self.verdict, self.parameters.ident)
        self.status = sinks.status
        self.explanation = sinks.status_data.get("job_explanation")
        self.traceback = sinks.status_data.get("result_traceback")

    @property
    def job_explanation(self) -> str | None:
        """The same as ``explanation``, by the name that it has in a stream."""
        return self.explanation

    @property
    def result_traceback(self) -> str | None:
        """The same as ``traceback``, by the name that it has in a stream."""
        return self.traceback

    def _prepared(self, guard: Guard) -> RunSpec:
        scratch = guard.setup().scratch
        private_data = PrivateDataDir(self.private_data_dir)
        if self._given.get("project_dir"):
            private_data.project = Path(absolute(self._given["project_dir"]))
        given = self._given.get("roles_path") or ""
        context = PreparationContext(
            private_data,
            scratch,
            guard.own,
            artifacts=Path(self.artifact_dir).parent,
            roles_path=given if isinstance(given, str) else ":".join(map(str, given)),
            local=True,
        )
        parameters = self.parameters.with_envvars(self.config.env)
        spec = prepare(parameters, context)
        self.config.settings = private_data.settings(self.parameters["settings"])
        return spec

    def _execute(self, sinks: Sinks, artifacts: ArtifactDir) -> None:
        with Guard() as guard:
            spec = self._prepared(guard)
            if self.config.settings.get("suppress_ansible_output"):
                sinks.mute(self._printer)
            result = execute(guard, spec, artifacts, _LocalRelay(self, sinks, self._cancel_callback))
        self.rc = result.rc
        result.check()
        self.warnings = command_warnings(spec, result, [])
        for text in self.warnings:
            logger.warning("%s", text)
        self.verdict = verdict_of(result.status, result.rc, explanation=result.stopped_because)
        line: JSONObject = {"status": result.status, "runner_ident": spec.ident}
        if result.stopped_because is not None:
            line["job_explanation"] = result.stopped_because
        sinks.status_change(line)

    def _rotate(self) -> None:
        """Keeps the newest ``rotate_artifacts`` directories, this one among them; 0 keeps all."""
        keep = int(self._given.get("rotate_artifacts") or 0)
        if keep <= 0:
            return
        root = Path(self.artifact_dir).parent
        others = [
            item
            for item in root.iterdir()
            if os.path.isdir(item) and not os.path.islink(item) and str(item) != self.artifact_dir
        ]
        others.sort(key=lambda item: item.stat().st_mtime)
        for old in others[: max(0, len(others) - keep + 1)]:
            remove_tree(str(old))

    @property
    def stdout(self) -> IO[str]:
        """The ``stdout`` artifact, open for reading."""
        return self._open("stdout")

    @property
    def stderr(self) -> IO[str]:
        """The ``stderr`` artifact, open for reading."""
        return self._open("stderr")

    def _open(self, name: str) -> IO[str]:
        try:
            fd = open_file(os.path.join(self.artifact_dir, name), None)
            return os.fdopen(fd, encoding="utf-8", errors="replace")
        except OSError as exc:
            raise MissingError(f"{name} missing in {self.artifact_dir}") from exc

    @property
    def events(self) -> Iterator[JSONObject]:
        """The job events of this run that were saved, in order."""
        for name in self._event_names:
            with os.fdopen(open_file(os.path.join(self.artifact_dir, "job_events", name), None), "rb") as file:
                yield json.load(file)

    @property
    def stats(self) -> JSONObject | None:
        """The counts of ``playbook_on_stats``, host by host; None if the job did not get that far."""
        found = self._sinks.stats if self._sinks is not None else None
        if found is None:
            return None
        names = ("skipped", "ok", "dark", "failures", "ignored", "rescued", "processed", "changed")
        return {name: found.get(name, {}) for name in names}

    def host_events(self, host: str) -> Iterator[JSONObject]:
        """The events of one host."""
        return (event for event in self.events if (event.get("event_data") or {}).get("host") == host)

    def set_fact_cache(self, host: str, data: JSONObject) -> None:
        """Writes the facts of ``host``, for the next run of this ident.

        :raises OutputError: they cannot be written.
        """
        try:
            make_private(Path(self.config.fact_cache))
            replace_file(Path(self.config.fact_cache, host), json.dumps(data).encode())
        except OSError as exc:
            raise OutputError(f"cannot write the facts of {host}: {exc.strerror}") from exc

    def get_fact_cache(self, host: str) -> JSONObject:
        """The facts of ``host`` from this run, in the form of any ansible-core; empty if there are none."""
        cache = Path(self.config.fact_cache)
        for name in (host, f"s1_{host}"):
            with contextlib.suppress(OSError), os.fdopen(open_file(str(cache / name), None), "rb") as file:
                facts: JSONObject = plain_facts(json.load(file))
                return facts
        return {}


class _LocalRelay:
    """Reads what the guard reports, and hands it to the sinks."""

    def __init__(self, runner: Runner, sinks: Sinks, cancel_callback: Callable[[], bool] | None) -> None:
        self._runner = runner
        self._sinks = sinks
        self._cancel_callback = cancel_callback
        self._cancelled = False
        self._reader = StreamReader(archives=False)

    def announce(self, spec: RunSpec, masked: MaskedCommand) -> None:
        self._sinks.status_change({"status": STARTING, "runner_ident": spec.ident, **masked})
        self._sinks.status_change({"status": RUNNING, "runner_ident": spec.ident})
        self._runner.status = RUNNING

    def lines(self, lines: Lines) -> None:
        for item in self._reader.feed(lines.data):
            if type(item) is JobEvent:
                self._sinks.event(item.data, item.raw)
        self._sinks.flush()

    def should_stop(self) -> bool:
        """:raises ReceptorRunnerError: the callback raised; the job ends as an error."""
        if self._cancel_callback is None or self._cancelled:
            return self._cancelled
        try:
            self._cancelled = bool(self._cancel_callback())
        except Exception as exc:
            raise ReceptorRunnerError(f"Exception in Cancel Callback: {exc}") from exc
        return self._cancelled

    def hurried(self) -> bool:
        return False

    def waits(self) -> Iterable[float | None]:
        yield CANCEL_POLL_SECONDS if self._cancel_callback is not None else None

    def watched(self) -> Iterable[tuple[int, int]]:
        return ()

    def woke(self, ready: Collection[int]) -> None:
        pass
