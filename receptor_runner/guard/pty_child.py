"""The command on a pseudo terminal.

Rules: the terminal has 24 lines of 80 columns without echo, as with ansible-runner, because output is wrapped to the
width. pexpect starts the command. Its output is read with plain reads, because pexpect keeps all that it has not
matched. The keys for events and for ssh-agent are laid out here, just before they are needed."""

from __future__ import annotations

import contextlib
import os
import signal
from typing import Any

import pexpect

from ..preparation.run_spec import RunSpec
from ..system.below import Held

__all__ = ["Child", "CommandNotFound", "new_private_file"]

_READ = 64 * 1024
#: If a signal ended its command, an engine or sandbox ends with 128 plus the number of the signal. Other codes above
#: 128 can come from the command itself.
_KILLED_INSIDE = 128 + signal.SIGKILL


class CommandNotFound(Exception):
    pass


class Child:
    """A running command."""

    def __init__(self, spec: RunSpec) -> None:
        self.rc: int | None = None
        #: The signal that ended it, by name.
        self.killed_by: str | None = None
        self._made: list[Held] = []
        self._isolated = spec.isolated is not None
        try:
            self._write_event_key(spec)
            if spec.ssh_key and spec.ssh_key_path:
                self._offer_ssh_key(spec.ssh_key, spec.ssh_key_path)
            self._spawn = self._start(spec)
        except BaseException:
            self.remove_files()
            raise
        self.pid: int = self._spawn.pid
        self.fd: int = self._spawn.child_fd
        self.eof = False
        os.set_blocking(self.fd, False)

    def _start(self, spec: RunSpec) -> Any:
        command, *arguments = spec.argv
        isolated = spec.isolated
        env = (isolated.env if isolated is not None else None) or spec.env
        cwd = (isolated.cwd if isolated is not None else None) or spec.cwd
        guard = os.getpid()
        try:
            return pexpect.spawn(command, arguments, cwd=cwd, env=env, echo=False, preexec_fn=_default_signals)
        except pexpect.ExceptionPexpect as exc:
            raise CommandNotFound(str(exc).splitlines()[0]) from exc
        except BaseException:
            if os.getpid() != guard:
                os._exit(127)  # in the fork: nothing of the guard may run twice
            raise

    def _write_event_key(self, spec: RunSpec) -> None:
        path = spec.event_key_path
        fd = new_private_file(path)
        self._made.append(Held(path))
        with os.fdopen(fd, "w") as file:
            file.write(spec.event_key)

    def _offer_ssh_key(self, ssh_key: str, path: str) -> None:
        """Makes a fifo that a process of its own fills, because opening it waits for the reader."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        os.mkfifo(path, 0o600)
        self._made.append(Held(path))
        key = ssh_key.encode()
        if os.fork():
            return
        try:
            _default_signals()
            os.setsid()
            os.closerange(0, 256)
            fd = os.open(path, os.O_WRONLY | os.O_NOFOLLOW)
            with os.fdopen(fd, "wb") as fifo:
                fifo.write(key if key.endswith(b"\n") else key + b"\n")
        finally:
            os._exit(0)

    def read(self) -> bytes:
        """Returns the output that is there, up to a bound. :attr:`eof` is set when nobody can write any more."""
        pieces = []
        size = 0
        while size < _READ:
            try:
                data = os.read(self.fd, _READ)
            except BlockingIOError:
                break
            except OSError:
                data = b""
            if not data:
                self.eof = True
                break
            pieces.append(data)
            size += len(data)
        return b"".join(pieces)

    def answer(self, text: str) -> None:
        """Types ``text`` and return."""
        os.set_blocking(self.fd, True)
        with contextlib.suppress(OSError):
            os.write(self.fd, text.encode() + b"\n")
        os.set_blocking(self.fd, False)

    def interrupt(self) -> None:
        """Types Ctrl-C."""
        with contextlib.suppress(OSError):
            os.write(self.fd, b"\x03")

    def ended(self, wait_status: int) -> None:
        """The command was reaped."""
        code = os.waitstatus_to_exitcode(wait_status)
        self.rc = code if code >= 0 else 128 - code
        if code < 0:
            names = {number.value: number.name for number in signal.Signals}
            self.killed_by = names.get(-code, f"signal {-code}")
        elif self._isolated and code == _KILLED_INSIDE:
            self.killed_by = "SIGKILL"
        self._spawn.ptyproc.terminated = True

    def close(self) -> None:
        if self.rc is not None:
            self._spawn.ptyproc.delayafterclose = 0
            self._spawn.close()
        self.remove_files()

    def remove_files(self) -> None:
        for made in self._made:
            made.remove()
            made.close()
        self._made.clear()


def new_private_file(path: str) -> int:
    """A descriptor for a file that is made anew in the place of whatever was there."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)


def _default_signals() -> None:
    """Gives signals their defaults: a daemon or a shell in the background may have left them ignored, and Ansible must
    hear an interrupt.
    """
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
