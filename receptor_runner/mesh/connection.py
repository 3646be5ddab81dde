"""One connection to a control service. receptorctl makes it; from the greeting on, this module reads and writes.

Rules: receptorctl has no timeouts, hides a unit's id until its payload is gone, and cannot be used again after an
error. So its class is used for addresses and TLS settings, and its commands are not. Every command is a coroutine and
has a deadline (see ``waiting``). Every foreign error becomes one of ours here."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import time
from collections.abc import Iterator

from ..errors import OutputError, ReceptorRunnerError, RefusedError, UnreachableError
from ..limits import CONTROL_SECONDS, MAX_REPLY, READ_BLOCK
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
from .receptorctl import ReceptorControl, shutdown_write
from .waiting import Wait, ready

__all__ = ["Connection", "SilenceError", "refusal"]

_WRITE_BLOCK = 256 * 1024
_REFUSALS = ("signature", "TLS", "CRYPTO_ERROR", "certificate", "secrets over a non-TLS", "signing key")


class SilenceError(UnreachableError):
    """Nothing was said in time."""


def refusal(exc: CommandError) -> ReceptorRunnerError:
    """``exc``, or what it means: signatures and TLS are refusals, not absences."""
    text = str(exc)
    if "expired" in text and "token" in text:
        text += "; are the clocks of the nodes apart?"
    if "signature is empty" in text:
        text += "; it takes signed work only, and the work was not signed"
    return RefusedError(text) if any(word in text for word in _REFUSALS) else exc


class Connection:
    """One session. ``node`` is the id of the node that greeted.

    :param undisturbed: no stop flag ends a wait of this connection.
    """

    def __init__(self, control: ReceptorControl, address: str, *, undisturbed: bool = False) -> None:
        self.node = ""
        #: Goes with every command that a signed worktype wants one for.
        self.signature: str | None = None
        #: Whether our side was half-closed.
        self.ended = False
        self._undisturbed = undisturbed
        self._control = control
        self._address = address
        self._sock: socket.socket = control._socket
        self._sock.setblocking(False)
        self._buffer = b""

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

    @contextlib.contextmanager
    def undisturbed(self) -> Iterator[None]:
        """No stop flag ends a wait inside of this context."""
        before, self._undisturbed = self._undisturbed, True
        try:
            yield
        finally:
            self._undisturbed = before

    async def greet(self, seconds: float) -> Connection:
        """Takes the greeting.

        :raises UnreachableError: there is none, or it is not Receptor's.
        """
        line = await self.readline(seconds)
        node = greeted_node(line)
        if node is None:
            shown = line.decode("utf-8", "replace").strip()[:80]
            raise UnreachableError(f"the control socket {self._address} greets with {shown!r}: not Receptor's")
        self.node = node
        return self

    async def command(self, seconds: float = CONTROL_SECONDS, **parts: object) -> JSONObject:
        """One command and its reply.

        :raises CommandError: it was refused.
        :raises RefusedError: because of a signature or TLS.
        :raises UnreachableError: there was no answer.
        """
        await self.send(command_line(**parts), seconds)
        try:
            return parse_reply(await self.readline(seconds))
        except CommandError as exc:
            raise refusal(exc) from exc

    async def unit_command(self, subcommand: str, unit: str, seconds: float = CONTROL_SECONDS) -> JSONObject:
        """``status``, ``cancel``, ``release`` or ``force-release`` of ``unit``; raises as :meth:`command`."""
        parts = {"command": "work", "subcommand": subcommand, "unitid": unit, "signature": self.signature}
        return await self.command(seconds, **parts)

    async def create_unit(self, **parts: object) -> str:
        """Submits work and returns the unit's id; its payload is what is sent next.

        No stop flag ends this: a unit that nobody knows would be left.

        :raises CommandError: there is no unit.
        :raises RefusedError: because of a signature or TLS.
        """
        await self.send(self._work_line("submit", **parts))
        try:
            with self.undisturbed():
                return created_unit(await self.readline())
        except CommandError as exc:
            raise refusal(exc) from exc

    async def ask_for_results(self, unit: str, start: int = 0) -> None:
        """What is read next are the results of ``unit`` from byte ``start`` on.

        :raises CommandError: there are none to be had.
        """
        await self.send(self._work_line("results", unitid=unit, startpos=start))
        check_results_line(await self.readline())

    async def ask_to_cancel(self, unit: str, seconds: float = CONTROL_SECONDS) -> None:
        """Does not wait for the answer, which proves nothing."""
        await self.send(self._work_line("cancel", unitid=unit), seconds)

    def _work_line(self, subcommand: str, **parts: object) -> bytes:
        return command_line(command="work", subcommand=subcommand, signature=self.signature, **parts)

    async def connect_to(self, node: str, tlsclient: str | None, seconds: float = CONTROL_SECONDS) -> None:
        """From here on this is a session with the control service of ``node``.

        :raises CommandError: there is no way to it.
        """
        await self.send(f"connect {node} control {tlsclient or ''}".rstrip().encode() + b"\n", seconds)
        line = await self.readline(seconds)
        if line + b"\n" != CONNECTING:
            parse_reply(line)
            raise CommandError(f"the control service answered {line[:200]!r} to connect")
        await self.greet(seconds)

    async def send(self, data: bytes, seconds: float = CONTROL_SECONDS) -> None:
        """:raises UnreachableError: nobody takes it for ``seconds``, or the other end has gone."""
        view = memoryview(data)
        while view:
            try:
                view = view[self._sock.send(view[:_WRITE_BLOCK]) :]
            except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
                if not await self._ready(select.POLLOUT, time.monotonic() + seconds):
                    raise UnreachableError(
                        f"the control socket {self._address} takes nothing for {seconds:.0f} s"
                    ) from None
            except OSError as exc:
                raise self._gone(exc) from exc

    def half_close(self) -> None:
        """Says that nothing more will be sent."""
        try:
            self.ended = True
            shutdown_write(self._sock)
        except OSError as exc:
            raise self._gone(exc) from exc

    async def readline(self, seconds: float = CONTROL_SECONDS) -> bytes:
        """A line without its newline.

        :raises UnreachableError: it does not come within ``seconds``, or the other end has gone.
        """
        until = time.monotonic() + seconds
        line, self._buffer = bytearray(self._buffer), b""
        while (end := line.find(b"\n")) < 0:
            if len(line) > MAX_REPLY:
                raise OutputError(f"the control socket {self._address} answers without end")
            data = await self._receive(until)
            if data is None or time.monotonic() > until:
                raise SilenceError(f"the control socket {self._address} does not answer within {seconds:.0f} s")
            if not data:
                raise self._gone(None)
            line += data
        self._buffer = bytes(line[end + 1 :])
        return bytes(line[:end])

    async def read(self, seconds: float) -> bytes | None:
        """Some bytes; empty at the end; None if none came in time."""
        if self._buffer:
            data, self._buffer = self._buffer, b""
            return data
        return await self._receive(time.monotonic() + seconds)

    def read_now(self) -> bytes | None:
        """The bytes that are here; empty at the end; None if there are none yet."""
        if self._buffer:
            data, self._buffer = self._buffer, b""
            return data
        try:
            return self._sock.recv(READ_BLOCK)
        except (BlockingIOError, ssl.SSLWantReadError):
            return None
        except OSError:
            return b""

    def fileno(self) -> int:
        return self._sock.fileno()

    @property
    def holds_data(self) -> bool:
        """Whether :meth:`read_now` has something that poll does not see."""
        return bool(self._buffer) or (isinstance(self._sock, ssl.SSLSocket) and self._sock.pending() > 0)

    async def _receive(self, until: float) -> bytes | None:
        while True:
            data = self.read_now()
            if data is not None or not await self._ready(select.POLLIN, until):
                return data

    async def _ready(self, events: int, until: float) -> bool:
        return await ready(Wait(self._sock.fileno(), events, until, self._undisturbed))

    def _gone(self, exc: OSError | None) -> UnreachableError:
        reason = f": {exc.strerror or exc}" if exc is not None else ""
        return UnreachableError(f"the control socket {self._address} was closed by the other end{reason}")
