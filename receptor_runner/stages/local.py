"""Runs a job on this machine, in a private data dir of the caller's, without a stream: what ``ansible_runner.run``
does.

Rules: the guard runs the command exactly as it does for a worker; its lines are delivered like a worker's. Works in
any thread."""

from __future__ import annotations

import json
import os
import select
import tempfile
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from ..errors import Interrupted, ReceptorRunnerError, exit_code_of
from ..guard.client import Guard, Result
from ..job.parameters import Parameters
from ..job.private_data import PrivateDataDir
from ..limits import CANCEL_POLL_SECONDS
from ..preparation.fact_cache import kept_facts, plain_facts
from ..preparation.prepare import PreparationContext, RunSpec, prepare
from ..results.artifact_dir import ArtifactDir
from ..results.delivery import Delivery, Handlers, RunnerConfig
from ..results.printer import Printer
from ..stream.codec import Decoder
from ..stream.messages import JobEvent, JSONObject
from ..stream.status import CANCELED, ERROR, RUNNING, STARTING, TIMEOUT, UNSTARTED, error_status, exit_status
from ..system.directories import make
from ..system.removal import remove_tree
from ..system.waiting import milliseconds

__all__ = ["Runner"]


class Runner:
    """One local job. After :meth:`run`, everything that ansible-runner's ``Runner`` offers: ``status``, ``rc``,
    :attr:`events`, :attr:`stats` and so on.

    :param parameters: those of a job, and ``private_data_dir``, ``artifact_dir``, ``project_dir``, ``roles_path``,
        ``rotate_artifacts``."""

    def __init__(
        self,
        parameters: Mapping[str, Any],
        handlers: Handlers,
        *,
        cancel_callback: Callable[[], bool] | None = None,
        printer: Printer | None = None,
    ) -> None:
        self.status = UNSTARTED
        self.rc: int | None = None
        self.exit_code = 0
        self.config = RunnerConfig({})
        self._given = dict(parameters)
        self._handlers = handlers
        self._cancel_callback = cancel_callback
        self._printer = printer
        self.private_data_dir = str(self._given.get("private_data_dir") or tempfile.mkdtemp(prefix="receptor-runner-"))
        self.parameters = Parameters.from_wire(self._given)
        root = self._given.get("artifact_dir") or os.path.join(self.private_data_dir, "artifacts")
        self.artifact_dir = os.path.join(os.path.abspath(root), self.parameters.ident)
        self._delivery: Delivery | None = None

    @property
    def canceled(self) -> bool:
        return self.status == CANCELED

    @property
    def timed_out(self) -> bool:
        return self.status == TIMEOUT

    @property
    def errored(self) -> bool:
        return self.status == ERROR

    def run(self) -> Runner:
        """:raises OutputError: the private data dir or the artifact directory cannot be written."""
        make(self.private_data_dir)
        with ArtifactDir(self.artifact_dir) as artifacts:
            delivery = self._delivery = Delivery(self._handlers, self.config, artifacts, self._printer)
            try:
                self._execute(delivery, artifacts)
            except Exception as exc:
                trace = traceback.format_exc()
                self.exit_code = exit_code_of(exc)
                delivery.status_change(error_status(str(exc), trace, self.exit_code, self.parameters.ident))
            delivery.artifacts_ready(self.artifact_dir)
            self._settle(delivery)
            delivery.finished(self)
            self._settle(delivery)
            delivery.flush()
        self._rotate()
        return self

    def _settle(self, delivery: Delivery) -> None:
        """The status so far, a handler's error included."""
        if delivery.handler_failed(self.parameters.ident):
            self.exit_code = ReceptorRunnerError.exit_code
        self.status = delivery.status

    def _prepared(self, guard: Guard) -> RunSpec:
        _, scratch = guard.setup()
        private_data = PrivateDataDir(self.private_data_dir)
        if self._given.get("project_dir"):
            private_data.project = Path(os.path.abspath(self._given["project_dir"]))
        given = self._given.get("roles_path") or ""
        roles_path = given if isinstance(given, str) else ":".join(map(str, given))
        artifacts = Path(self.artifact_dir).parent
        context = PreparationContext(
            private_data, scratch, guard.own, artifacts=artifacts, roles_path=roles_path, local=True
        )
        command = prepare(self.parameters, context)
        self.config.settings = private_data.settings(self.parameters["settings"])
        return command

    def _execute(self, delivery: Delivery, artifacts: ArtifactDir) -> None:
        with Guard() as guard:
            command = self._prepared(guard)
            if self.config.settings.get("suppress_ansible_output"):
                delivery.printer = None
            masked = command.masked()
            artifacts.write_json("command", masked)
            ident = self.parameters.ident
            delivery.status_change({"status": STARTING, "runner_ident": ident, **masked})
            delivery.status_change({"status": RUNNING, "runner_ident": ident})
            self.status = RUNNING
            with kept_facts(command.fact_cache, command.core, artifacts.write_json):
                guard.run(command)
                result = self._follow(guard, delivery)
        self.rc = result.rc
        artifacts.write("status", result.status.encode())
        artifacts.write("rc", str(result.rc).encode())
        result.check()
        self.exit_code = exit_status(result.status, result.rc)
        delivery.status_change({"status": result.status, "runner_ident": ident})

    def _follow(self, guard: Guard, delivery: Delivery) -> Result:
        decoder = Decoder()
        poll = select.poll()
        poll.register(guard.fileno(), select.POLLIN)
        wait = milliseconds(None if self._cancel_callback is None else CANCEL_POLL_SECONDS)
        cancelled = False
        while True:
            ready = poll.poll(wait)
            if not cancelled and self._cancel_callback is not None and self._asked_to_cancel(delivery):
                cancelled = True
                guard.cancel()
            for kind, content in guard.frames() if ready else ():
                if kind == b"R":
                    return guard.result(content)
                for message in decoder.receive(content):
                    if type(message) is JobEvent:
                        delivery.event(message.data, message.raw)
            delivery.flush()

    def _asked_to_cancel(self, delivery: Delivery) -> bool:
        assert self._cancel_callback is not None
        try:
            return bool(self._cancel_callback())
        except Exception as exc:
            raise Interrupted(f"Exception in Cancel Callback: {exc}") from exc

    def _rotate(self) -> None:
        """Keeps the newest ``rotate_artifacts`` directories, this one among them; 0 keeps all."""
        keep = int(self._given.get("rotate_artifacts") or 0)
        if keep <= 0:
            return
        root = Path(self.artifact_dir).parent
        others = [
            item
            for item in root.iterdir()
            if item.is_dir() and not item.is_symlink() and str(item) != self.artifact_dir
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
            return open(os.path.join(self.artifact_dir, name), encoding="utf-8", errors="replace")
        except FileNotFoundError as exc:
            raise ReceptorRunnerError(f"{name} missing in {self.artifact_dir}") from exc

    @property
    def events(self) -> Iterator[JSONObject]:
        """The job events that were saved, in order."""
        directory = Path(self.artifact_dir, "job_events")
        names = [path for path in directory.glob("*.json") if path.name.split("-", 1)[0].isdigit()]
        for path in sorted(names, key=lambda path: int(path.name.split("-", 1)[0])):
            yield json.loads(path.read_bytes())

    @property
    def stats(self) -> JSONObject | None:
        """The counts of ``playbook_on_stats``, host by host; None if the job did not get that far."""
        found = self._delivery.stats if self._delivery is not None else None
        if found is None:
            return None
        names = ("skipped", "ok", "dark", "failures", "ignored", "rescued", "processed", "changed")
        return {name: found.get(name, {}) for name in names}

    def host_events(self, host: str) -> Iterator[JSONObject]:
        """The events of one host."""
        return (event for event in self.events if (event.get("event_data") or {}).get("host") == host)

    def get_fact_cache(self, host: str) -> JSONObject:
        """The facts of ``host`` from this run, in the form of any ansible-core; empty if there are none."""
        cache = Path(self.artifact_dir, str(self.parameters["fact_cache"] or "fact_cache"))
        for name in (host, f"s1_{host}"):
            path = cache / name
            if path.is_file():
                facts: JSONObject = plain_facts(json.loads(path.read_bytes()))
                return facts
        return {}
