"""A small controller, made as AWX is: receptorctl for the mesh, ``interface.run`` for the stages, a database for
events.

Rules: nothing here knows whether it drives ansible_runner or us: the module is given, and reached by attributes. Every
job has two threads, one that transmits and one that processes."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml
from receptorctl.socket_interface import ReceptorControl

#: A controller writes its inventory as a script.
INVENTORY = '#!/bin/sh\nprintf \'%s\' \'{"all": {"hosts": HOSTS, "vars": VARIABLES}}\'\n'
LOCAL = {"ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}"}


@dataclass
class ControllerJob:
    """One job: what it runs, and what became of it."""

    number: int
    kind: str
    playbook: str | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    args: str | None = None
    hosts: tuple[str, ...] = ("localhost",)
    facts: dict[str, Any] = field(default_factory=dict)
    cancel_at: str | None = None
    unit: str | None = None
    status: str | None = None
    rc: int | None = None
    explanation: str = ""
    finished: int = 0
    final_counter: int = 0
    artifacts: str | None = None
    starting: dict[str, Any] = field(default_factory=dict)
    facts_back: dict[str, Any] = field(default_factory=dict)
    changed_facts: list[str] | None = None
    error: BaseException | None = None


class Controller:
    """``socket_path`` is the control service that it uses, ``node`` where its jobs run.

    :param extra: arguments of ``submit_work`` for this mesh: ``signwork``, ``tlsclient``.
    """

    def __init__(
        self, runner: ModuleType, top: Path, socket_path: str, node: str, worktype: str, extra: dict[str, Any]
    ) -> None:
        self.top = top
        self._runner = runner
        self._socket = socket_path
        self._node = node
        self._worktype = worktype
        self._extra = extra
        #: Makes what a job is told of how it travels, if the runner knows that.
        self.payload: Callable[[], Any] | None = None
        self._lock = threading.Lock()
        self._database = sqlite3.connect(":memory:", check_same_thread=False)
        self._database.execute("create table events (job int, counter int, uuid text, event text, data text)")
        self.units: set[str] = set()

    def close(self) -> None:
        self._database.close()

    def events(self, job: ControllerJob) -> list[tuple[int, str]]:
        with self._lock:
            rows = self._database.execute(
                "select counter, event from events where job = ? order by rowid", [job.number]
            )
            return rows.fetchall()

    # one job

    def run(self, job: ControllerJob) -> None:
        """From its files to its facts; what goes wrong is in ``job.error``."""
        try:
            if job.kind == "system":
                self._run_here(job)
            else:
                self._run_there(job)
        except BaseException as exc:
            job.error = exc

    def _run_here(self, job: ControllerJob) -> None:
        """System jobs: no streamer, in this process."""
        directory = self._write(job)
        result = self._runner.interface.run(
            private_data_dir=str(directory),
            project_dir=str(directory / "project"),
            cancel_callback=lambda: False,
            **self._parameters(job, directory),
            **self._handlers(job),
        )
        job.status, job.rc = result.status, result.rc

    def _run_there(self, job: ControllerJob) -> None:
        directory = self._write(job)
        parameters = {
            "private_data_dir": str(directory),
            **self._parameters(job, directory),
            **self._handlers(job),
            "quite": True,
        }
        if self.payload is not None:
            parameters["payload"] = self.payload()
        self._submit(job, parameters)
        results, file = ReceptorControl(self._socket).get_work_results(
            job.unit, return_socket=True, return_sockfile=True
        )
        with results, file:
            outcome = self._runner.interface.run(streamer="process", quiet=True, _input=file, **parameters)
        job.status, job.rc = outcome.status, outcome.rc
        if job.status == "error" and not job.explanation:
            status = self._command(f"work status {job.unit}")
            job.explanation = status["Detail"]
        self._read_facts(job, directory)
        self._command(f"work release {job.unit}")

    def _submit(self, job: ControllerJob, parameters: dict[str, Any]) -> None:
        reading, writing = socket.socketpair()
        with reading, writing:

            def transmit() -> None:
                with contextlib.ExitStack() as stack:
                    stack.callback(writing.shutdown, socket.SHUT_WR)
                    output = stack.enter_context(writing.makefile("wb"))
                    self._runner.interface.run(streamer="transmit", _output=output, **parameters)

            thread = threading.Thread(target=transmit)
            thread.start()
            with reading.makefile("rb") as payload:
                options = {"params": f"--private-data-dir={self.top}/there/awx_{job.number}_x --delete"}
                with self._control() as control:
                    answer = control.submit_work(
                        worktype=self._worktype, payload=payload, node=self._node, params=options, **self._extra
                    )
            thread.join()
        job.unit = answer["unitid"]
        self.units.add(answer["unitid"])

    def _control(self) -> Any:
        """A connection that is closed at the end of a ``with``; one object an operation, as receptorctl needs it."""
        return contextlib.closing(ReceptorControl(self._socket))

    def _command(self, text: str) -> Any:
        with self._control() as control:
            return control.simple_command(text)

    def _write(self, job: ControllerJob) -> Path:
        directory = self.top / "here" / f"awx_{job.number}_x"
        for name in ("env", "inventory", "project", f"artifacts/{job.number}/fact_cache"):
            (directory / name).mkdir(parents=True, mode=0o700)
        script = INVENTORY.replace("HOSTS", json.dumps(list(job.hosts))).replace("VARIABLES", json.dumps(LOCAL))
        (directory / "inventory" / "hosts").write_text(script)
        (directory / "inventory" / "hosts").chmod(0o700)
        (directory / "env" / "settings").write_text(
            json.dumps({"suppress_ansible_output": True, "suppress_output_file": True, **job.settings})
        )
        (directory / "env" / "extravars").write_text("who: !unsafe '{{ nobody }}'\n")
        (directory / "env" / "cmdline").write_text("--diff" if job.playbook else "")
        if job.playbook is not None:
            (directory / "project" / "main.yml").write_text(job.playbook)
        if job.args is not None:
            (directory / "args").write_text(job.args)
        for host, facts in job.facts.items():
            (directory / "artifacts" / str(job.number) / "fact_cache" / host).write_text(json.dumps(facts))
        return directory

    def _parameters(self, job: ControllerJob, directory: Path) -> dict[str, Any]:
        parameters: dict[str, Any] = {
            "ident": job.number,
            "suppress_env_files": True,
            "envvars": {"JOB_ID": str(job.number), "ANSIBLE_FORCE_COLOR": "True"},
            "fact_cache_type": "jsonfile",
        }
        if job.args is None:
            parameters["inventory"] = str(directory / "inventory" / "hosts")
        if job.playbook is not None:
            parameters["playbook"] = "main.yml"
        return {**parameters, **job.parameters}

    def _read_facts(self, job: ControllerJob, directory: Path) -> None:
        artifacts = directory / "artifacts" / str(job.number)
        for path in (artifacts / "fact_cache").glob("*"):
            job.facts_back[path.name] = json.loads(path.read_text())
        changed = artifacts / "fact_cache_modified.json"
        job.changed_facts = json.loads(changed.read_text())["modified_files"] if changed.exists() else None

    # handlers

    def _handlers(self, job: ControllerJob) -> dict[str, Callable[..., Any]]:
        return {
            "event_handler": lambda data: self._take_event(job, data),
            "status_handler": lambda data, runner_config: self._take_status(job, data, runner_config),
            "artifacts_handler": lambda directory: setattr(job, "artifacts", directory),
            "finished_callback": lambda result: self._take_end(job),
        }

    def _take_event(self, job: ControllerJob, data: dict[str, Any]) -> bool:
        """Changes the event as it likes, and wants no file of it."""
        data["job_id"] = job.number
        data.pop("parent_uuid", None)
        assert data["start_line"] <= data["end_line"]
        row = (job.number, data["counter"], data["uuid"], data["event"], json.dumps(data.get("event_data")))
        with self._lock:
            self._database.execute("insert into events values (?, ?, ?, ?, ?)", row)
        if job.cancel_at == data["event"]:
            threading.Thread(target=self.cancel, args=(job,)).start()
        return False

    def _take_status(self, job: ControllerJob, data: dict[str, Any], runner_config: Any) -> None:
        if data["status"] == "starting":
            job.starting = {
                "command": json.dumps(runner_config.command),
                "env": dict(runner_config.env),
                "cwd": runner_config.cwd,
            }
        elif data["status"] == "error":
            job.explanation = f"{data['job_explanation']}\n{data['result_traceback']}"

    def _take_end(self, job: ControllerJob) -> None:
        job.finished += 1
        job.final_counter = len(self.events(job))

    # beside the jobs

    def cancel(self, job: ControllerJob) -> None:
        """Sends the cancel, and goes on reading."""
        self._command(f"work cancel {job.unit}")

    def health(self) -> dict[str, Any]:
        """As a health check does: a unit with a short answer."""
        found: dict[str, Any] = yaml.safe_load(self.ask("--worker-info"))
        return found

    def clean(self, pattern: str, excluded: str) -> str:
        """The other jobs' directories are named as not to be touched."""
        return self.ask(f"cleanup --file-pattern={pattern} {excluded} --grace-period=0").decode()

    def ask(self, params: str) -> bytes:
        with self._control() as control:
            answer = control.submit_work(
                worktype=self._worktype, payload=b"", node=self._node, params={"params": params}, **self._extra
            )
        unit = answer["unitid"]
        with ReceptorControl(self._socket).get_work_results(unit) as file:
            output: bytes = file.read()
        self._command(f"work release {unit}")
        return output

    def reap(self) -> Iterator[str]:
        """Units that have ended and that nobody released."""
        for unit, status in self._command("work list").items():
            if unit in self.units and status["StateName"] in ("Succeeded", "Failed"):
                self._command(f"work release {unit}")
                yield unit


def wait_all(threads: list[threading.Thread], seconds: float) -> None:
    until = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
    assert not any(thread.is_alive() for thread in threads), f"jobs still run after {seconds:.0f} s: {os.getpid()}"
