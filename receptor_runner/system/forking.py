"""Starts a part of this package as a process of its own without loading it anew: a tenth of a second each.

Rules: only a process with one thread may fork so. The child has a session of its own, the descriptors that it is given,
and nothing of its parent's signal handlers and log. It never returns to what its parent was doing."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Collection
from typing import IO, NoReturn

from .timeouts import milliseconds

__all__ = ["ForkedProcess", "Standby", "can_fork", "forked"]

_PR_SET_NAME = 15
_POLL_SECONDS = 0.01
#: Log handlers of a parent: their files are closed here by number, and must not be once more by Python.
_kept: list[logging.Handler] = []


def can_fork() -> bool:
    """Whether this process has one thread."""
    return threading.active_count() == 1


def forked(
    name: str, function: Callable[[], int], descriptors: tuple[int, int, int], keep: Collection[int] = ()
) -> int:
    """Calls ``function`` in a child, which ends with what it returns. Returns the child's process id.

    :param name: what the child is called in a list of processes; 15 bytes count.
    :param descriptors: what becomes its 0, 1 and 2.
    :param keep: descriptors that stay open beside them.
    """
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, OSError, ValueError):
            stream.flush()
    child = os.fork()
    if child:
        return child
    _become(name, function, descriptors, keep)


def _become(
    name: str, function: Callable[[], int], descriptors: tuple[int, int, int], keep: Collection[int]
) -> NoReturn:
    code = 127
    try:
        os.setsid()
        _forget_parent()
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_NAME, name.encode()[:15] + b"\0", 0, 0, 0)
        _take(descriptors, keep)
        code = function()
    finally:
        os._exit(code)


def _forget_parent() -> None:
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD, signal.SIGALRM, signal.SIGUSR1):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    root = logging.getLogger("receptor_runner")
    _kept.extend(root.handlers)
    root.handlers.clear()


def _take(descriptors: tuple[int, int, int], keep: Collection[int]) -> None:
    """Makes ``descriptors`` 0 to 2, and closes all but these and ``keep``."""
    high = [os.dup(fd) for fd in descriptors]  # none of them may be hidden by another
    high = [_above(fd) for fd in high]
    for number, fd in enumerate(high):
        os.dup2(fd, number, inheritable=True)
    begin = 3
    for fd in sorted(fd for fd in keep if fd > 2):
        os.closerange(begin, fd)
        begin = fd + 1
    os.closerange(begin, os.sysconf("SC_OPEN_MAX"))


def _above(fd: int) -> int:
    """A copy of ``fd`` that is none of the first three."""
    import fcntl

    return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3) if fd < 3 else fd


class ForkedProcess:
    """A child with pipes to its descriptors 0 and 1, as :class:`subprocess.Popen` has it.

    :param stderr: what becomes its descriptor 2.
    """

    def __init__(self, name: str, function: Callable[[], int], stderr: int, keep: Collection[int] = ()) -> None:
        self.returncode: int | None = None
        their_input, our_output = os.pipe()
        our_input, their_output = os.pipe()
        try:
            self.pid = forked(name, function, (their_input, their_output, stderr), keep)
        except BaseException:
            os.close(our_output)
            os.close(our_input)
            raise
        finally:
            os.close(their_input)
            os.close(their_output)
        self.stdin: IO[bytes] = os.fdopen(our_output, "wb")
        self.stdout: IO[bytes] = os.fdopen(our_input, "rb")

    def poll(self) -> int | None:
        """Its exit status once it has ended."""
        if self.returncode is None:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:  # somebody else has reaped it
                self.returncode = 0
            else:
                self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """:raises TimeoutError: it has not ended within ``timeout`` seconds."""
        until = None if timeout is None else time.monotonic() + timeout
        try:
            fd = os.pidfd_open(self.pid)
        except (OSError, AttributeError):  # it has ended, or this system has no such descriptors
            fd = -1
        try:
            while (code := self.poll()) is None:
                left = None if until is None else until - time.monotonic()
                if left is not None and left <= 0:
                    raise TimeoutError(f"the process {self.pid} has not ended within {timeout} s")
                poll = select.poll()
                if fd >= 0:
                    poll.register(fd, select.POLLIN)
                poll.poll(milliseconds(left, None if fd >= 0 else _POLL_SECONDS))
            return code
        finally:
            if fd >= 0:
                os.close(fd)

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)


class Standby:
    """A child that loads what it will need while this process finds out what it is to do.

    :param load: called at once.
    :param function: called with what :meth:`go` is given. Without that the child just ends.
    """

    def __init__(self, name: str, load: Callable[[], None], function: Callable[[str], int]) -> None:
        theirs, self._ours = os.pipe()
        nothing = os.open(os.devnull, os.O_RDWR)
        try:
            self.pid = forked(name, lambda: _stand_by(theirs, load, function), (nothing, nothing, nothing), [theirs])
        except BaseException:
            os.close(self._ours)
            raise
        finally:
            os.close(theirs)
            os.close(nothing)

    def go(self, text: str) -> None:
        """:raises OSError: the child is gone."""
        os.write(self._ours, os.fsencode(text))
        self.close()

    def close(self) -> None:
        """From here on the child does what it was told, or ends."""
        if self._ours >= 0:
            os.close(self._ours)
            self._ours = -1

    def __enter__(self) -> Standby:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _stand_by(orders: int, load: Callable[[], None], function: Callable[[str], int]) -> int:
    load()
    text = b""
    while data := os.read(orders, 4096):
        text += data
    os.close(orders)
    return function(os.fsdecode(text)) if text else 0
