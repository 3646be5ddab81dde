"""One connection to a control service: receptorctl makes it, and from its greeting on we read and write it.

Rules: receptorctl has no timeouts, hides a unit's id until its payload is gone, and poisons its object after an
error, so its class is used for addresses and TLS settings, and its commands are not. Every wait ends at a deadline or
when a stop flag is raised; every foreign error becomes one of ours here."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import time
from collections.abc import Iterator
from typing import Any

from ..errors import Interrupted, OutputError, RefusedError, UnreachableError
from ..limits import CONTROL_SECONDS, MAX_LINE, READ_BLOCK
from ..receptor.control_protocol import (
    CONNECTING,
    CommandError,
    check_results_line,
    command_line,
    created_unit,
    greeted_node,
    parse_reply,
)
from ..stream.messages import JSONObject
from ..system.signals import StopFlag, check
from ..system.waiting import milliseconds
from .receptorctl import ReceptorControl, shutdown_write

__all__ = ["Connection", "SilenceError", "refusal"]

_WRITE_BLOCK = 256 * 1024
_REFUSALS = ("signature", "TLS", "CRYPTO_ERROR", "certificate", "secrets over a non-TLS")


class SilenceError(UnreachableError):
    """Nothing was said in time."""


def refusal(exc: CommandError) -> Exception:
    """``exc``, or what it means: signatures and TLS are refusals, not absences."""
    text = str(exc)
    if "expired" in text and "token" in text:
        text += "; are the clocks of the nodes apart?"
    return RefusedError(text) if any(word in text for word in _REFUSALS) else exc


class Connection:
    """One session. ``node`` is the id of the node that greeted."""

    def __init__(self, control: ReceptorControl, flag: StopFlag | None, address: str) -> None:
        self.node = ""
        #: Goes with every command that a signed worktype wants one for.
        self.signature: str | None = None
        self._control = control
        self._flag = flag
        self._address = address
        self._sock: socket.socket = control._socket
        self._sock.setblocking(False)
        self._buffer = b""
        #: Whether our side was half-closed.
        self.ended = False

    @contextlib.contextmanager
    def undisturbed(self) -> Iterator[None]:
        """The flag is not heeded meanwhile."""
        flag, self._flag = self._flag, None
        try:
            yield
        finally:
            self._flag = flag

    def check_flag(self) -> None:
        """:raises Interrupted: the flag was raised."""
        check(self._flag)

    def greet(self, seconds: float) -> Connection:
        """Takes the greeting.

        :raises UnreachableError: there is none, or it is not Receptor's.
        :raises Interrupted: the flag was raised.
        """
        line = self.readline(seconds)
        node = greeted_node(line)
        if node is None:
            shown = line.decode("utf-8", "replace").strip()[:80]
            raise UnreachableError(f"the control socket {self._address} greets with {shown!r}: not Receptor's")
        self.node = node
        return self

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        with contextlib.suppress(Exception):
            self._sock.close()
        for _ in range(2):  # its close() may raise, and then needs another
            with contextlib.suppress(Exception):
                self._control.close()

    def command(self, seconds: float = CONTROL_SECONDS, **parts: Any) -> JSONObject:
        """One command and its reply.

        :raises CommandError: it was refused.
        :raises RefusedError: because of a signature or TLS.
        :raises UnreachableError: there was no answer.
        :raises Interrupted: the flag was raised.
        """
        self.send(command_line(**parts), seconds)
        try:
            return parse_reply(self.readline(seconds))
        except CommandError as exc:
            raise refusal(exc) from exc

    def unit_command(self, subcommand: str, unit: str, seconds: float = CONTROL_SECONDS) -> JSONObject:
        """``status``, ``cancel``, ``release`` or ``force-release`` of ``unit``; raises as :meth:`command`."""
        return self.command(seconds, command="work", subcommand=subcommand, unitid=unit, signature=self.signature)

    def create_unit(self, **parts: Any) -> str:
        """Submits work and returns the unit's id; its payload is what is sent next.

        Heeds no flag until the id is known: a unit that nobody knows would be left.

        :raises CommandError: there is no unit.
        :raises RefusedError: because of a signature or TLS.
        """
        self.send(self._work_line("submit", **parts))
        try:
            with self.undisturbed():
                return created_unit(self.readline())
        except CommandError as exc:
            raise refusal(exc) from exc

    def ask_for_results(self, unit: str, start: int = 0) -> None:
        """What is read next are the results of ``unit`` from byte ``start`` on.

        :raises CommandError: there are none to be had.
        """
        self.send(self._work_line("results", unitid=unit, startpos=start))
        check_results_line(self.readline())

    def ask_to_cancel(self, unit: str, seconds: float = CONTROL_SECONDS) -> None:
        """Does not wait for the answer, which proves nothing."""
        self.send(self._work_line("cancel", unitid=unit), seconds)

    def _work_line(self, subcommand: str, **parts: Any) -> bytes:
        return command_line(command="work", subcommand=subcommand, signature=self.signature, **parts)

    def connect_to(self, node: str, tlsclient: str | None, seconds: float = CONTROL_SECONDS) -> None:
        """From here on this is a session with the control service of ``node``.

        :raises CommandError: there is no way to it.
        """
        self.send(f"connect {node} control {tlsclient or ''}".rstrip().encode() + b"\n", seconds)
        line = self.readline(seconds)
        if line + b"\n" != CONNECTING:
            parse_reply(line)
            raise CommandError(f"the control service answered {line[:200]!r} to connect")
        self.greet(seconds)

    def send(self, data: bytes, seconds: float = CONTROL_SECONDS) -> None:
        """:raises UnreachableError: nobody takes it for ``seconds``, or the other end has gone."""
        view = memoryview(data)
        while view:
            try:
                view = view[self._sock.send(view[:_WRITE_BLOCK]) :]
            except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
                if not self._wait(select.POLLOUT, seconds):
                    raise UnreachableError(
                        f"the control socket {self._address} takes nothing for {seconds:.0f} s"
                    ) from None
            except OSError as exc:
                raise self._gone(exc) from exc

    def _wait(self, event: int, seconds: float | None) -> bool:
        """Whether the socket became ready in time."""
        poll = select.poll()
        poll.register(self._sock, event)
        if self._flag is not None:
            poll.register(self._flag.fileno(), select.POLLIN)
        ready = poll.poll(milliseconds(seconds))
        if self._flag is not None and any(fd == self._flag.fileno() for fd, _ in ready):
            raise Interrupted("interrupted")
        return bool(ready)

    def half_close(self) -> None:
        """Says that nothing more will be sent."""
        try:
            self.ended = True
            shutdown_write(self._sock)
        except OSError as exc:
            raise self._gone(exc) from exc

    def readline(self, seconds: float = CONTROL_SECONDS) -> bytes:
        """A line without its newline.

        :raises UnreachableError: it does not come within ``seconds``, or the other end has gone.
        :raises Interrupted: the flag was raised.
        """
        until = time.monotonic() + seconds
        while b"\n" not in self._buffer:
            left = until - time.monotonic()
            data = self._receive(left) if left > 0 else None
            if data is None:
                raise SilenceError(f"the control socket {self._address} does not answer within {seconds:.0f} s")
            if not data:
                raise self._gone(None)
            self._buffer += data
            if len(self._buffer) > MAX_LINE:
                raise OutputError(f"the control socket {self._address} answers without end")
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line

    def read(self, seconds: float | None) -> bytes | None:
        """Some bytes; empty at the end; None if there were none in time or the flag was raised."""
        if self._buffer:
            data, self._buffer = self._buffer, b""
            return data
        try:
            return self._receive(seconds)
        except Interrupted:
            return None

    def _receive(self, seconds: float | None) -> bytes | None:
        while True:
            try:
                return self._sock.recv(READ_BLOCK)
            except (BlockingIOError, ssl.SSLWantReadError):
                pass
            except OSError:
                return b""
            if not self._wait(select.POLLIN, seconds):
                return None

    def _gone(self, exc: OSError | None) -> UnreachableError:
        reason = f": {exc.strerror or exc}" if exc is not None else ""
        return UnreachableError(f"the control socket {self._address} was closed by the other end{reason}")
