"""Connects to a control service, by its address.

Rules: receptorctl's class is used for addresses and TLS settings, and for nothing that waits without end. Whatever
prevents a connection is told together with what a user can do about it. A connection and its TLS are made in one
blocking step that has a deadline; everything after it is a coroutine."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import socket
import ssl
import stat
import struct
from typing import Any

from ..errors import ConfigurationError, RefusedError, UnreachableError
from ..limits import CONTROL_SECONDS
from ..receptor.address import Address
from ..receptor.control_protocol import CommandError
from .connection import Connection, SilenceError
from .receptorctl import ReceptorControl
from .signing import sign

__all__ = ["connect"]

logger = logging.getLogger(__name__)

#: ``struct ucred``: process, user and group.
_CREDENTIALS = struct.Struct("3i")
_TCP = re.compile(r"(tcp|tls):(?://)?([a-zA-Z0-9-.:]+):([0-9]+)")


async def connect(address: Address, seconds: float = CONTROL_SECONDS, *, undisturbed: bool = False) -> Connection:
    """A connection whose greeting was taken.

    :param undisturbed: no stop flag ends a wait of the connection.
    :raises UnreachableError: there is no socket, nobody serves it, or it does not answer.
    :raises RefusedError: we are not allowed, or TLS fails.
    :raises ConfigurationError: the TLS settings cannot be used, or the key that signs.
    """
    connection = await _connect(address, seconds, undisturbed=undisturbed)
    logger.debug("connected to %s, node %s", address.socket, connection.node)
    if address.through is None:
        return connection
    try:
        await connection.connect_to(address.through, address.through_tls, seconds)
        if address.signing_key is not None:
            connection.signature = sign(address.signing_key, address.through, address.signature_seconds)
    except CommandError as exc:
        connection.close()
        raise UnreachableError(f"the node {address.through} cannot be reached: {exc}") from exc
    except BaseException:
        connection.close()
        raise
    logger.debug("connected through it to %s (tls-client: %s)", address.through, address.through_tls or "none")
    return connection


async def _connect(address: Address, seconds: float, *, undisturbed: bool) -> Connection:
    control = _control(address, seconds)
    try:
        control.connect()
    except Exception as exc:
        with contextlib.suppress(Exception):
            control.close()
        raise _explained(address.socket, exc, seconds) from exc
    connection = Connection(control, address.socket, undisturbed=undisturbed)
    try:
        if address.private:
            _check_server(control)
        return await connection.greet(seconds)
    except BaseException as exc:
        connection.close()
        if isinstance(exc, SilenceError):
            raise _explained(address.socket, TimeoutError(), seconds) from exc
        raise


def _control(address: Address, seconds: float) -> _Control:
    tls = address.socket.startswith("tls:")
    try:
        return _Control(
            address.socket,
            config=address.config if tls and not address.rootcas and address.tlsclient else None,
            tlsclient=address.tlsclient,
            rootcas=address.rootcas,
            key=address.key,
            cert=address.cert,
            insecureskipverify=address.insecureskipverify,
            seconds=seconds,
        )
    except (OSError, RuntimeError, ValueError, AttributeError, KeyError) as exc:
        raise ConfigurationError(f"cannot use the receptor configuration {address.config}: {exc}") from exc


def _check_server(control: _Control) -> None:
    """Asks the kernel who serves (SO_PEERCRED, unix(7)): another user might have taken the name of the socket.

    :raises RefusedError: it is somebody else.
    """
    _, user, _ = _CREDENTIALS.unpack(
        control._socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    )
    if user != os.geteuid():
        raise RefusedError(f"the socket {control._socketaddress} of a private node is served by the user {user}")


def _explained(address: str, exc: Exception, seconds: float) -> Exception:
    where = f"the control socket {address}"
    if isinstance(exc, PermissionError):
        return RefusedError(f"{where} may not be used: {exc.strerror}; see permissions of its control-service")
    if isinstance(exc, TimeoutError):
        return UnreachableError(f"{where} does not answer: no greeting within {seconds:.0f} s; is the daemon frozen?")
    if isinstance(exc, ssl.SSLError):
        return RefusedError(f"{where}: TLS fails: {exc}")
    if isinstance(exc, ConnectionError) and os.path.exists(address) and not _is_socket(address):
        return UnreachableError(f"{where} is not a socket")
    if isinstance(exc, ConnectionError):
        return UnreachableError(f"{where} is refused: the daemon that made it does not run")
    if isinstance(exc, FileNotFoundError):
        return UnreachableError(f"{where} does not exist; does the daemon run, and is this its control-service?")
    return UnreachableError(f"{where} cannot be used: {exc or type(exc).__name__}")


def _is_socket(path: str) -> bool:
    try:
        return stat.S_ISSOCK(os.stat(path).st_mode)
    except OSError:
        return False


class _Control(ReceptorControl):  # type: ignore[misc]
    """receptorctl's class, with a deadline for connection and TLS. :class:`Connection` takes the greeting, because it
    heeds a flag.
    """

    def __init__(self, address: str, *, seconds: float, **options: Any) -> None:
        super().__init__(address, **options)
        self._seconds = seconds

    def connect(self) -> None:
        match = _TCP.fullmatch(self._socketaddress)
        path = self._socketaddress.removeprefix("unix:").removeprefix("//")
        if match:
            self._socket = socket.create_connection((match[2], int(match[3])), self._seconds)
            if match[1] == "tls":
                self._socket = self._tls_context().wrap_socket(self._socket, server_hostname=match[2])
        elif ":" in path:
            raise ValueError("it is neither a path nor tcp://host:port nor tls://host:port")
        else:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self._socket.settimeout(self._seconds)
            self._socket.connect(os.path.expanduser(path))
        self._sockfile = self._socket.makefile("rwb")

    def _tls_context(self) -> ssl.SSLContext:
        """As receptorctl's, which has no deadline around it."""
        context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=self._rootcas)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self._key and self._cert:
            context.load_cert_chain(certfile=self._cert, keyfile=self._key)
        if self._insecureskipverify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context
