"""A stage's handle on the guard: starts it, tells it what to run, takes what it reports.

Rules: never prints, never archives; the guard is started with ``subprocess.Popen`` from the interpreter and the
module path of this process, so that a daemon's odd environment and working directory do not matter. Whoever enters
:class:`Guard` leaves it, and then it is gone."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

from ..errors import ConfigurationError, OutputError, ReceptorRunnerError
from ..isolation.engine_errors import isolation_fault
from ..limits import BLOCK, ENGINE_SECONDS, GIVE_UP_SECONDS, KILL_SECONDS, UNSHARE_SECONDS
from ..preparation.prepare import RunSpec
from ..system.boot import python_argv
from .channel import HEADER
from .engine import Engine

__all__ = ["Guard", "GuardDiedError", "Result"]

#: The guard's own deadlines add up to less; after this it is not the guard that we know.
_SETUP_SECONDS = 60.0
_CLOSE_SECONDS = KILL_SECONDS + GIVE_UP_SECONDS + 2 * ENGINE_SECONDS + UNSHARE_SECONDS


class GuardDiedError(ReceptorRunnerError):
    """The guard ended without a result; ``diagnosis`` is what it said on its standard error."""

    def __init__(self, diagnosis: str) -> None:
        super().__init__("the process that guards the command was killed or failed")
        self.diagnosis = diagnosis


class CommandKilledError(ReceptorRunnerError):
    """The command was ended by a signal that this package did not send."""


class Result(NamedTuple):
    """How a command ended. ``events`` counts the job events that were sent."""

    rc: int
    status: str
    events: int
    output_error: str | None
    #: The name of the signal that ended the command, if it was not ours.
    killed_by: str | None
    #: Why it could not be isolated as it was asked to be, or what may be left of it.
    isolation_fault: ReceptorRunnerError | None

    def check(self) -> None:
        """:raises OutputError: the command's output could not be kept.
        :raises CommandKilledError: somebody ended the command.
        :raises ReceptorRunnerError: the container or sandbox for it could not be made, or cannot be shown to be gone.
        """
        if self.isolation_fault is not None:
            raise self.isolation_fault
        if self.output_error:
            raise OutputError(f"{self.output_error}; the job itself ended with rc {self.rc}")
        if self.killed_by:
            reason = "; did the machine run out of memory?" if self.killed_by == "SIGKILL" else ""
            raise CommandKilledError(f"the command was killed from outside of this job by {self.killed_by}{reason}")


class Guard:
    """One guard process, for one job.

    :param inherit: descriptors that stay open as long as the guard lives: the lock on a private data dir.
    """

    def __init__(self, inherit: Sequence[int] = ()) -> None:
        self._buffer = b""
        self._job: RunSpec | None = None
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed in close()
        self._process = subprocess.Popen(
            python_argv("receptor_runner.guard.main"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            cwd="/",
            pass_fds=inherit,
            start_new_session=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._commands = self._process.stdin
        self._output = self._process.stdout
        os.set_blocking(self._output.fileno(), False)

    @property
    def pid(self) -> int:
        return self._process.pid

    def fileno(self) -> int:
        return self._output.fileno()

    def __enter__(self) -> Guard:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def setup(self, *, temporary: bool = False, remove: str | None = None) -> tuple[str, str]:
        """Answers the path of a temporary directory, empty if none was asked for, and of one for the job's temporary
        files.

        :param remove: a directory that is removed at the end.
        """
        self._send({"setup": {"temporary": temporary, "remove": remove}})
        while True:
            poll = select.poll()
            poll.register(self._output, select.POLLIN)
            if not poll.poll(_SETUP_SECONDS * 1000):
                raise GuardDiedError(f"it did not answer within {_SETUP_SECONDS:.0f} s")
            for kind, content in self.frames():
                if kind == b"P":
                    path, scratch = json.loads(content)
                    return path, scratch
                self.result(content)

    def own(self, path: str) -> None:
        """``path`` and all below it go when the guard does."""
        self._send({"own": path})

    def run(self, job: RunSpec) -> None:
        self._job = job
        self._send({"run": job.to_json()})

    def cancel(self) -> None:
        self._send({"cancel": True})

    def _send(self, message: dict[str, Any]) -> None:
        try:
            self._commands.write(json.dumps(message).encode() + b"\n")
            self._commands.flush()
        except OSError:
            return  # it died; reading says so

    def frames(self) -> Iterator[tuple[bytes, bytes]]:
        """What has arrived since the last call.

        :raises GuardDiedError: nothing will arrive any more.
        """
        try:
            data = os.read(self._output.fileno(), BLOCK)
        except BlockingIOError:
            return
        if not data:
            raise GuardDiedError(self._diagnosis())
        self._buffer += data
        while len(self._buffer) >= HEADER.size:
            kind, length = HEADER.unpack_from(self._buffer)
            end = HEADER.size + length
            if len(self._buffer) < end:
                return
            content = self._buffer[HEADER.size : end]
            self._buffer = self._buffer[end:]
            yield kind, content

    def result(self, content: bytes) -> Result:
        """The content of an ``R`` frame.

        :raises ConfigurationError: the command does not exist.
        :raises OutputError: the guard has no place for temporary files.
        :raises GuardDiedError: the guard failed.
        """
        data = json.loads(content)
        if "not_found" in data:
            raise ConfigurationError(f"{data['not_found']}; install ansible-core where the worker runs, or set PATH")
        if "fault" in data:
            if data["fault"].startswith("cannot make"):
                raise OutputError(data["fault"])
            raise GuardDiedError(data["fault"])
        fault = self._isolation_fault(data["isolation_error"], gone=data["gone"])
        return Result(data["rc"], data["status"], data["events"], data["output_error"], data["killed_by"], fault)

    def _isolation_fault(self, said: str | None, *, gone: bool) -> ReceptorRunnerError | None:
        isolated = self._job.isolated if self._job is not None else None
        if isolated is None:
            return None
        if said is not None:
            return isolation_fault(isolated.kind, isolated.image, isolated.program, said)
        if gone:
            return None
        return ReceptorRunnerError(
            f"{isolated.kind} does not say that the container {isolated.name} is gone; "
            f"look with: {isolated.kind} ps --all --filter name={isolated.name}"
        )

    def _diagnosis(self) -> str:
        self._stderr.seek(0)
        return self._stderr.read(64 * 1024).decode("utf-8", "replace")

    def close(self) -> None:
        """Ends the guard, and with it everything that it started or was to remove."""
        if self._stderr.closed:
            return
        with contextlib.suppress(OSError):
            self._commands.close()
        self._output.close()
        try:
            self._process.wait(_CLOSE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.returncode and self._job is not None:
            self._remove_container(self._job)
        self._stderr.close()

    def _remove_container(self, job: RunSpec) -> None:
        """What a guard that was killed could not do any more."""
        if job.isolated is not None and job.isolated.engine:
            Engine(asdict(job.isolated)).remove(time.monotonic() + ENGINE_SECONDS)
