"""Runs the command of one work unit, away from the node: whatever happens to the node, the command goes on.

Rules: the unit's ``stdin`` is already locked when this starts. That descriptor is the command's standard input, so the
lock lasts as long as the command. SIGINT cancels: the command is interrupted, and 10 seconds later its whole tree gets
SIGKILL. Nothing is printed; the unit's ``status`` tells everything (texts as Go's os/exec has them)."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable

from ..receptor.work_unit import CANCELED, FAILED, RUNNING, SUCCEEDED, UnitStatus
from ..system.process_id import start_ticks
from ..system.subreaper import adopt_orphans, reap
from .status_file import read_status, write_status

__all__ = ["main", "serve"]

#: Receptor's patience with a command that was interrupted (pkg/workceptor/command.go).
_GRACE_SECONDS = 10.0
_LEFTOVER_TERM_SECONDS = 0.5
_LEFTOVER_KILL_SECONDS = 2.0
_SIGNALS = {signal.SIGINT, signal.SIGTERM, signal.SIGCHLD}
_NAMES = {
    signal.SIGHUP: "hangup", signal.SIGINT: "interrupt", signal.SIGQUIT: "quit", signal.SIGABRT: "aborted",
    signal.SIGKILL: "killed", signal.SIGSEGV: "segmentation fault", signal.SIGTERM: "terminated",
}  # fmt: skip


def main() -> int:
    """The arguments are the unit's directory, the descriptor of its ``stdin``, the parameters as one text, the path
    of the command and its argument vector.
    """
    directory, stdin, params, path, *arguments = sys.argv[1:]
    return serve(directory, int(stdin), params, path, lambda fd, stdout: _spawned(fd, stdout, path, arguments))


def serve(directory: str, stdin: int, params: str, program: str, start: Callable[[int, int], int]) -> int:
    """Runs the command of one unit to its end.

    :param start: starts it with these two descriptors as its standard input and its output; returns its process id.
    :param program: what errors call it.
    """
    os.set_inheritable(stdin, False)
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    adopt_orphans()
    unit = _RunningUnit(directory, params)
    try:
        child = start(stdin, unit.stdout)
    except OSError as exc:
        unit.report(FAILED, f"fork/exec {program}: {(exc.strerror or '').lower()}")
        return 0
    unit.report(RUNNING, f"Running: PID {child}", running=True)
    cancelled, status = _wait(child)
    if cancelled:
        from ..system.process_tree import stop_descendants

        stop_descendants(_LEFTOVER_TERM_SECONDS, _LEFTOVER_KILL_SECONDS)
        unit.report(CANCELED, "Canceled")
    elif os.waitstatus_to_exitcode(status) == 0:
        unit.report(SUCCEEDED, "exit status 0")
    else:
        unit.report(FAILED, _detail(os.waitstatus_to_exitcode(status)))
    return 0


class _RunningUnit:
    def __init__(self, directory: str, params: str) -> None:
        self._directory = directory
        self._params = params
        self._worktype = read_status(directory).worktype
        flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC
        self.stdout = os.open(os.path.join(directory, "stdout"), flags, 0o600)

    def report(self, state: int, detail: str, *, running: bool = False) -> None:
        own = os.getpid()
        extra = {"Pid": own, "Params": self._params, "Started": start_ticks(own)} if running else None
        size = os.fstat(self.stdout).st_size
        with contextlib.suppress(OSError):  # released meanwhile, or the disk is full: then the lock tells
            write_status(self._directory, UnitStatus(state, detail, size, self._worktype, extra))


def _spawned(stdin: int, stdout: int, path: str, arguments: list[str]) -> int:
    """The process id of a command that is another program."""
    return os.posix_spawn(
        path,
        arguments,
        os.environ,
        file_actions=[(os.POSIX_SPAWN_DUP2, source, target) for target, source in enumerate((stdin, stdout, stdout))],
        setsigmask=(),
        setsigdef=(signal.SIGPIPE, signal.SIGINT, signal.SIGXFSZ, signal.SIGHUP),
    )


def _wait(child: int) -> tuple[bool, int]:
    """Whether it was cancelled, and its wait status."""
    kill_at: float | None = None
    while True:
        left = 3600.0 if kill_at is None else max(0.0, kill_at - time.monotonic())
        arrived = signal.sigtimedwait(_SIGNALS, left)
        for pid, status in reap():
            if pid == child:
                return kill_at is not None, status
        if arrived is None and kill_at is not None:
            os.kill(child, signal.SIGKILL)
        elif arrived is not None and arrived.si_signo != signal.SIGCHLD and kill_at is None:
            kill_at = time.monotonic() + _GRACE_SECONDS
            os.kill(child, signal.SIGINT)


def _detail(code: int) -> str:
    if code >= 0:
        return f"exit status {code}"
    try:
        return f"signal: {_NAMES[signal.Signals(-code)]}"
    except (KeyError, ValueError):
        return f"signal: signal {-code}"
