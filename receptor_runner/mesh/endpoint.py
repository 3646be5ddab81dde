"""Where a control service is, and how one gets there: a socket, TLS, another node behind it.

Rules: receptorctl's class is used for addresses and TLS settings, and for nothing that waits without end. Whatever
prevents a connection is told by what a user can do about it."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import ssl
import stat
from dataclasses import dataclass, fields
from typing import Any

from ..errors import ConfigurationError, RefusedError, UnreachableError
from ..limits import CONTROL_SECONDS
from ..receptor.control_protocol import CommandError
from ..stream.messages import JSONObject
from ..system.signals import StopFlag
from .connection import Connection, SilenceError
from .receptorctl import ReceptorControl
from .signing import sign

__all__ = ["Endpoint"]

_TCP = re.compile(r"(tcp|tls):(?://)?([a-zA-Z0-9-.:]+):([0-9]+)")


@dataclass(frozen=True)
class Endpoint:
    """Where the control service of a node is, in receptorctl's terms. ``tlsclient`` names a ``tls-client`` of the
    file ``config`` here, and of the daemon's own configuration for the way to other nodes.
    """

    socket: str
    config: str | None = None
    tlsclient: str | None = None
    rootcas: str | None = None
    key: str | None = None
    cert: str | None = None
    insecureskipverify: bool = False
    #: The node whose control service is meant, by way of the one at ``socket``; ``through_tls`` names a
    #: ``tls-client`` of the daemon's there.
    through: str | None = None
    through_tls: str | None = None
    #: File of the key that signs commands for ``through``, and for how many seconds a signature is valid.
    signing_key: str | None = None
    signature_seconds: float = 0.0

    @classmethod
    def from_record(cls, data: JSONObject) -> Endpoint:
        """What is unknown is left out: a newer version may have written it."""
        known = {one.name for one in fields(cls)}
        return cls(**{name: value for name, value in data.items() if name in known})

    def connect(self, flag: StopFlag | None = None, seconds: float = CONTROL_SECONDS) -> Connection:
        """:raises UnreachableError: there is no socket, nobody serves it, or it is mute.
        :raises RefusedError: we are not allowed, or TLS fails.
        :raises ConfigurationError: the TLS settings cannot be used, or the key that signs.
        """
        connection = self._connect(flag, seconds)
        if self.through is None:
            return connection
        try:
            connection.connect_to(self.through, self.through_tls, seconds)
            if self.signing_key is not None:
                connection.signature = sign(self.signing_key, self.through, self.signature_seconds)
        except CommandError as exc:
            connection.close()
            raise UnreachableError(f"the node {self.through} cannot be reached: {exc}") from exc
        except BaseException:
            connection.close()
            raise
        return connection

    def _connect(self, flag: StopFlag | None, seconds: float) -> Connection:
        control = self._control(seconds)
        try:
            control.connect()
        except Exception as exc:
            with contextlib.suppress(Exception):
                control.close()
            raise self._explained(exc, seconds) from exc
        connection = Connection(control, flag, self.socket)
        try:
            return connection.greet(seconds)
        except BaseException as exc:
            connection.close()
            if isinstance(exc, SilenceError):
                raise self._explained(TimeoutError(), seconds) from exc
            raise

    def _control(self, seconds: float) -> _Control:
        tls = self.socket.startswith("tls:")
        try:
            return _Control(
                self.socket,
                config=self.config if tls and not self.rootcas and self.tlsclient else None,
                tlsclient=self.tlsclient,
                rootcas=self.rootcas,
                key=self.key,
                cert=self.cert,
                insecureskipverify=self.insecureskipverify,
                seconds=seconds,
            )
        except (OSError, RuntimeError, ValueError, AttributeError, KeyError) as exc:
            raise ConfigurationError(f"cannot use the receptor configuration {self.config}: {exc}") from exc

    def _explained(self, exc: Exception, seconds: float) -> Exception:
        where = f"the control socket {self.socket}"
        if isinstance(exc, PermissionError):
            return RefusedError(f"{where} may not be used: {exc.strerror}; see permissions of its control-service")
        if isinstance(exc, TimeoutError):
            return UnreachableError(f"{where} is mute: no greeting within {seconds:.0f} s; is the daemon frozen?")
        if isinstance(exc, ssl.SSLError):
            return RefusedError(f"{where}: TLS fails: {exc}")
        if isinstance(exc, ConnectionError) and os.path.exists(self.socket) and not _is_socket(self.socket):
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
    """With a deadline for connection and TLS; the greeting is left to :class:`Connection`, which heeds a flag."""

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
