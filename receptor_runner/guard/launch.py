"""Starts the process above a guard, which may begin before its stage has loaded what it needs itself.

Rules: it loads next to nothing. The process gets the interpreter and the module path of this one, so a daemon's odd
environment and working directory do not matter. Whoever launches it closes it, unless a guard's client has taken it."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from typing import IO

from ..errors import OutputError
from ..limits import GIVE_UP_SECONDS
from ..system.boot import python_argv
from ..system.forking import ForkedProcess
from ..system.places import temporary_place

__all__ = ["LaunchedKeeper"]


class LaunchedKeeper:
    """A process that becomes a guard and its keeper. It ends when its input does.

    :param inherit: descriptors that stay open as long as the guard lives: the lock on a private data dir.
    :param fork: it is started without loading anything anew. This process must have one thread.
    :raises OutputError: this machine has no room for it.
    """

    def __init__(self, inherit: Sequence[int] = (), *, fork: bool = False) -> None:
        self._is_taken = False
        try:
            #: What it writes to its standard error.
            self.stderr: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the rest
        except OSError as exc:
            text = f"cannot make a temporary file in {temporary_place()}: {exc.strerror or exc}"
            raise OutputError(text) from exc
        try:
            self.process = _started(self.stderr, inherit, fork=fork)
        except OSError as exc:
            self.stderr.close()
            raise OutputError(f"cannot start a process: {exc.strerror}") from exc
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.commands = self.process.stdin
        self.output = self.process.stdout

    def take(self) -> LaunchedKeeper:
        """From here on it is somebody else's to close."""
        self._is_taken = True
        return self

    def __enter__(self) -> LaunchedKeeper:
        return self

    def __exit__(self, *exc: object) -> None:
        if not self._is_taken:
            self.commands.close()
            self.output.close()
            try:
                self.process.wait(GIVE_UP_SECONDS)
            except (subprocess.TimeoutExpired, TimeoutError):
                self.process.send_signal(signal.SIGKILL)  # its guard ends with it
                self.process.wait()
            self.stderr.close()


def _started(stderr: IO[bytes], inherit: Sequence[int], *, fork: bool) -> subprocess.Popen[bytes] | ForkedProcess:
    if fork:
        return ForkedProcess("receptor-guard", _keeper, stderr.fileno(), inherit)
    return subprocess.Popen(
        python_argv("receptor_runner.guard.keeper"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        cwd="/",
        pass_fds=inherit,
        start_new_session=True,
    )


def _keeper() -> int:
    os.chdir("/")
    from .keeper import main

    return main()
