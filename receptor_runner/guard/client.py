"""A stage's handle on the guard: starts it, tells it what to run, and takes what it reports.

Rules: this never prints and never archives. Whoever enters :class:`Guard` leaves it, and then the guard is gone."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import psutil

from ..errors import ConfigurationError, OutputError, ReceptorRunnerError
from ..isolation.engine_errors import isolation_fault
from ..limits import (
    BLOCK,
    ENGINE_SECONDS,
    GIVE_UP_SECONDS,
    GUARD_ANSWER_SECONDS,
    GUARD_SILENCE_SECONDS,
    GUARD_STOP_SECONDS,
    KILL_SECONDS,
    UNSHARE_SECONDS,
)
from ..preparation.run_spec import RunSpec
from ..system.below import Held
from ..system.process_id import start_ticks
from ..system.process_tree import descendants, kill_tree
from ..system.removal import remove_tree
from .engine import Engine
from .launch import LaunchedKeeper
from .protocol import (
    Cancel,
    CommandEnd,
    CommandMissing,
    GuardFault,
    Lines,
    Order,
    Own,
    Ping,
    Pong,
    Ready,
    Report,
    ReportParser,
    Run,
    Setup,
    encode_order,
)

__all__ = ["CommandResult", "Guard", "GuardDiedError", "GuardHangsError"]

#: The guard's own deadlines add up to less. If it takes longer, it hangs.
_SETUP_SECONDS = 60.0
#: For a container whose guard had to be killed while somebody waits for the end of the job.
_LAST_ENGINE_SECONDS = 1.0
_CLOSE_SECONDS = KILL_SECONDS + GIVE_UP_SECONDS + 2 * ENGINE_SECONDS + UNSHARE_SECONDS


class GuardDiedError(ReceptorRunnerError):
    """The guard ended without a result. ``diagnosis`` is what it wrote to its standard error."""

    def __init__(self, diagnosis: str, how: str = "was killed or failed") -> None:
        super().__init__(f"the process that guards the command {how}")
        self.diagnosis = diagnosis


class GuardHangsError(GuardDiedError):
    """The guard had to be killed. ``stopping``: its command was to be stopped anyway."""

    def __init__(self, how: str, *, stopping: bool) -> None:
        super().__init__("", f"{how}, and was killed")
        self.stopping = stopping


class CommandKilledError(ReceptorRunnerError):
    """A signal that this package did not send ended the command."""


class CommandResult(NamedTuple):
    """How a command ended, for a stage. ``events`` counts the job events that were sent."""

    rc: int
    status: str
    events: int
    output_error: str | None
    #: The name of the signal that ended the command, if it was not ours.
    killed_by: str | None
    #: Why it could not be isolated as its job wanted, or what may be left of it.
    isolation_fault: ReceptorRunnerError | None
    #: Why it was stopped, if it is not that somebody asked for it.
    stopped_because: str | None = None
    #: Whether the callback plugin has said anything.
    framed: bool = True
    #: How many processes it left running. They were stopped.
    left: int = 0

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

    :param keeper: one that was launched already.
    :param inherit: descriptors that stay open as long as another one lives: the lock on a private data dir.
    :raises OutputError: this machine has no room for it.
    """

    def __init__(self, keeper: LaunchedKeeper | None = None, *, inherit: Sequence[int] = ()) -> None:
        self._parser = ReportParser()
        self._spec: RunSpec | None = None
        self._owned: list[str] = []
        launched = (keeper or LaunchedKeeper(inherit)).take()
        self._process, self._stderr = launched.process, launched.stderr
        self._commands, self._output = launched.commands, launched.output
        os.set_blocking(self._output.fileno(), False)
        #: When it was heard last, whether it owes an answer, and by when a stopped job must have ended.
        self._heard = time.monotonic()
        self._asked = False
        self._stop_until: float | None = None
        self._killed = False
        #: The guard's own process and its keeper's, which is that of ``_process``, with when they were started.
        self._known = {self._process.pid: start_ticks(self._process.pid)}

    def fileno(self) -> int:
        return self._output.fileno()

    def __enter__(self) -> Guard:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def setup(self, *, temporary: bool = False, remove: str | None = None, place: str | None = None) -> Ready:
        """Returns two paths: of a temporary directory, empty if none was asked for, and of a directory for the job's
        temporary files.

        :param remove: a directory that is removed at the end.
        :param place: where they are made, if not where temporary files are.
        """
        self._send(Setup(temporary, remove, place))
        poll = select.poll()
        poll.register(self._output, select.POLLIN)
        while True:
            if not poll.poll(_SETUP_SECONDS * 1000):
                raise GuardDiedError(f"it did not answer within {_SETUP_SECONDS:.0f} s")
            for report in self._received():
                if isinstance(report, Ready):
                    self._known[report.pid] = start_ticks(report.pid)
                    return report
                self._result(report)

    def own(self, path: str) -> None:
        """The guard removes ``path`` and all below it when it ends. If somebody kills it, :meth:`close` does."""
        self._owned.append(path)
        self._send(Own(path))

    def run(self, spec: RunSpec) -> None:
        """Starts the command of ``spec``; :meth:`reports` says what becomes of it."""
        self._spec = spec
        self._send(Run(spec))

    def is_idle(self) -> bool:
        """Whether nothing of what it ran is alive. A process of another user may be, which it could not stop."""
        with contextlib.suppress(psutil.Error):
            below = descendants(psutil.Process(self._process.pid))
            return not self._killed and all(process.pid in self._known for process in below)
        return False

    def cancel(self) -> None:
        """Stops the command, if it runs."""
        self._stop_until = self._stop_until or time.monotonic() + GUARD_STOP_SECONDS
        self._send(Cancel())

    def wait_seconds(self) -> float:
        """How long one may wait before :meth:`check` is to be called."""
        due = self._heard + (GUARD_ANSWER_SECONDS if self._asked else GUARD_SILENCE_SECONDS)
        return max(0.0, min(due, self._stop_until or due) - time.monotonic())

    def check(self) -> None:
        """Asks a guard that was silent whether it is there: a job may have stopped its process.

        :raises GuardHangsError: it does not answer, or does not end its job. All of it was killed.
        """
        now = time.monotonic()
        if self._stop_until is not None and now >= self._stop_until:
            self._kill(_LAST_ENGINE_SECONDS)
            raise GuardHangsError("did not end it in time", stopping=True)
        if now < self._heard + GUARD_SILENCE_SECONDS:
            return
        if not self._asked:
            self._asked = True
            self._heard = now
            self._send(Ping())
        elif now >= self._heard + GUARD_ANSWER_SECONDS:
            self._kill(ENGINE_SECONDS)
            raise GuardHangsError("does not answer any more", stopping=False)

    def _kill(self, engine_seconds: float) -> None:
        """Ends it with all that it runs, whatever state it is in. Its keeper may be gone."""
        self._killed = True
        for pid, started in reversed(self._known.items()):
            with contextlib.suppress(psutil.Error):
                if started is not None and start_ticks(pid) == started:
                    kill_tree(psutil.Process(pid))
        self._process.wait()
        self._remove_container(engine_seconds)

    def _send(self, order: Order) -> None:
        try:
            self._commands.write(encode_order(order))
            self._commands.flush()
        except OSError:
            return  # it died; reading says so

    def reports(self) -> Iterator[Lines | CommandResult]:
        """What has arrived since the last call.

        :raises ConfigurationError: the command does not exist.
        :raises OutputError: the guard cannot write temporary files.
        :raises GuardDiedError: the guard failed, and nothing will arrive any more.
        """
        for report in self._received():
            yield report if isinstance(report, Lines) else self._result(report)

    def _received(self) -> Iterator[Report]:
        try:
            data = os.read(self._output.fileno(), BLOCK)
        except BlockingIOError:
            return
        if not data:
            raise GuardDiedError(self._diagnosis())
        self._heard, self._asked = time.monotonic(), False
        for report in self._parser.feed(data):
            if not isinstance(report, Pong):
                yield report

    def _result(self, report: Report) -> CommandResult:
        match report:
            case CommandMissing(text):
                raise ConfigurationError(text)
            case GuardFault(text, no_space):
                raise OutputError(text) if no_space else GuardDiedError(text)
            case CommandEnd():
                fault = self._isolation_fault(report.isolation_error, gone=report.gone)
                return CommandResult(
                    report.rc,
                    report.status,
                    report.events,
                    report.output_error,
                    report.killed_by,
                    fault,
                    report.stopped_because,
                    report.framed,
                    report.left,
                )
        raise GuardDiedError(f"it said {type(report).__name__} out of turn")

    def _isolation_fault(self, said: str | None, *, gone: bool) -> ReceptorRunnerError | None:
        isolated = self._spec.isolated if self._spec is not None else None
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
        self._process.send_signal(signal.SIGCONT)  # a job may have stopped the keeper
        try:
            self._process.wait(_CLOSE_SECONDS)
        except (subprocess.TimeoutExpired, TimeoutError):
            self._kill(ENGINE_SECONDS)
        if self._process.returncode and not self._killed:
            self._remove_container(ENGINE_SECONDS)
        if self._process.returncode or self._killed:
            self._remove_owned()
        self._stderr.close()

    def _remove_owned(self) -> None:
        for path in self._owned:
            remove_tree(path)
        for path in reversed(self._spec.made if self._spec is not None else []):
            made = Held(path)
            made.remove()
            made.close()

    def _remove_container(self, seconds: float) -> None:
        """Does what a guard that was killed could not do any more."""
        isolated = self._spec.isolated if self._spec is not None else None
        if isolated is not None and isolated.container:
            Engine(isolated).remove(time.monotonic() + seconds)
