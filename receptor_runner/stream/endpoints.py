"""Reads and writes the two ends of a stage, whatever they are.

Rules: nothing here knows what the bytes mean. A descriptor is waited for with poll, so that a stop flag, a deadline or
a closed reader is seen at once. A file object of a caller is read with ``readline(size)`` and ``read(size)`` only, and
never beyond what the stream is known to hold, because a socket file would block."""

from __future__ import annotations

import os
import select
import stat
import time
from collections.abc import Callable
from typing import Any, Protocol

from ..errors import InputError, OutputClosedError, OutputError
from ..limits import MAX_LINE, READ_BLOCK
from ..system.signals import StopFlag
from ..system.timeouts import milliseconds

__all__ = ["FdInput", "FdOutput", "FileInput", "FileOutput", "Input", "Output", "open_input", "open_output"]

#: A pipe that polls as writable takes this much without blocking (PIPE_BUF on Linux).
_PIPE_CHUNK = 4096


class Input(Protocol):
    def read(self, wanted: int, timeout: float | None) -> bytes | None:
        """Some bytes; empty at the end; None if none came in ``timeout`` seconds or a stop flag was raised.

        ``wanted`` is :attr:`receptor_runner.stream.codec.Decoder.wanted`.
        """


class Output(Protocol):
    #: A monotonic time after which a reader who does not read is given up.
    deadline: float | None
    #: Called now and then while a reader does not read; may set the deadline, or raise.
    while_waiting: Callable[[], None] | None

    def write(self, data: bytes) -> None:
        """All of ``data``, handed on at once.

        :raises OutputClosedError: nobody will read it.
        :raises OutputError: it cannot be written.
        """

    def closed_by_reader(self) -> bool:
        """Whether the reader is known to have gone."""

    def fileno(self) -> int | None:
        """A descriptor that polls as an error when the reader goes; None if there is no such."""


class FdInput:
    """A descriptor, read in blocks. A wait also ends when ``flag`` is raised or the reader of ``output`` goes away."""

    def __init__(self, fd: int, flag: StopFlag | None = None, output: Output | None = None) -> None:
        self._fd = fd
        self._poll = select.poll()
        self._poll.register(fd, select.POLLIN)
        if flag is not None:
            self._poll.register(flag.fileno(), select.POLLIN)
        watched = output.fileno() if output is not None else None
        if watched is not None:
            self._poll.register(watched, 0)

    def read(self, wanted: int, timeout: float | None) -> bytes | None:
        ready = self._poll.poll(milliseconds(timeout))
        if not any(fd == self._fd for fd, _ in ready):
            return None
        try:
            return os.read(self._fd, READ_BLOCK)
        except OSError as exc:
            raise InputError(f"cannot read the stream: {exc.strerror}") from exc


class FileInput:
    """A caller's file object, read exactly as far as the stream goes."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def read(self, wanted: int, timeout: float | None) -> bytes | None:
        try:
            data = self._file.read(min(wanted, READ_BLOCK)) if wanted else self._file.readline(MAX_LINE)
        except (OSError, ValueError) as exc:
            raise InputError(f"cannot read the stream: {exc}") from exc
        return data.encode() if isinstance(data, str) else data


class FdOutput:
    """A descriptor. One that may block is written only when it is ready."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.while_waiting: Callable[[], None] | None = None
        self._regular = stat.S_ISREG(os.fstat(fd).st_mode)
        self._poll = select.poll()
        self._poll.register(fd, select.POLLOUT)
        self.deadline: float | None = None

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        try:
            while view:
                if self._regular:
                    view = view[os.write(self._fd, view) :]
                    continue
                self._wait()
                view = view[os.write(self._fd, view[:_PIPE_CHUNK]) :]
        except BrokenPipeError as exc:
            raise OutputClosedError("the output was closed by its reader") from exc
        except OSError as exc:
            raise OutputError(f"cannot write the stream: {exc.strerror}") from exc

    def _wait(self) -> None:
        while not self._poll.poll(250):
            if self.while_waiting is not None:
                self.while_waiting()
            if self.deadline is not None and time.monotonic() > self.deadline:
                raise OutputError("cannot write the stream: its reader does not read")

    def closed_by_reader(self) -> bool:
        if self._regular:
            return False
        return any(events & (select.POLLERR | select.POLLNVAL) for _, events in self._poll.poll(0))

    def fileno(self) -> int | None:
        return None if self._regular else self._fd


class FileOutput:
    """A caller's file object, flushed after each write."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self.deadline: float | None = None
        self.while_waiting: Callable[[], None] | None = None

    def write(self, data: bytes) -> None:
        try:
            view = memoryview(data)
            while view:
                written = self._file.write(view)
                view = view[written if written is not None else len(view) :]
            self._file.flush()
        except BrokenPipeError as exc:
            raise OutputClosedError("the output was closed by its reader") from exc
        except (OSError, ValueError) as exc:
            raise OutputError(f"cannot write the stream: {exc}") from exc

    def closed_by_reader(self) -> bool:
        return False

    def fileno(self) -> int | None:
        return None


def open_input(file: Any, flag: StopFlag | None = None, output: Output | None = None) -> Input:
    """The input of a stage: ``file``, or standard input."""
    return FdInput(0, flag, output) if file is None else FileInput(file)


def open_output(file: Any) -> Output:
    """The output of a stage: ``file``, or standard output."""
    return FdOutput(1) if file is None else FileOutput(file)
