"""Checks of the links on the way to a node: the socket, its daemon, the routes, the node's control service."""

from __future__ import annotations

import dataclasses
import re
import ssl
import time
from collections.abc import Iterator
from importlib import metadata

from ..errors import ConfigurationError, Interrupted, ReceptorRunnerError, RefusedError, UnreachableError
from ..mesh.connection import SilenceError
from ..mesh.endpoint import connect
from ..mesh.route import MeshStatus
from ..mesh.waiting import run
from ..receptor.address import Address
from ..stream.messages import JSONObject
from ..system.signals import StopFlag
from .finding import Finding, fault, ok, warning

__all__ = ["Link", "seconds_since", "tls_check"]

_SOCKET, _WAY = "The mesh", "The way to the node"
_SLOW_SECONDS = 1.0
#: A ping may take 10 s in the daemon (pkg/netceptor/ping.go).
_PING_SECONDS = 15.0
_CONTROL_SECONDS = 8.0
_OLDEST_DAEMON = (1, 2)
#: OpenSSL's numbers for what is wrong with a certificate (x509_vfy.h).
_EXPIRED, _NAMES, _AUTHORITIES = (9, 10), (62, 64), (2, 18, 19, 20, 21, 27)


class Link:
    """The way from this machine to ``node``; None for the node of the socket.

    What is found is kept for the checks behind: ``status`` and ``node``.
    """

    def __init__(self, address: Address, node: str | None, flag: StopFlag | None = None) -> None:
        self.address = address
        self.node = node or ""
        self.status: MeshStatus | None = None
        #: Whether the routing table has a way to the node.
        self.reachable = False
        #: Whether its own control service was reached.
        self.direct = False
        self._flag = flag
        self._raw: JSONObject = {}

    def findings(self) -> Iterator[Finding]:
        """The socket and its daemon first, then the way to the node."""
        yield from self._socket()
        if self.status is None:
            return
        self.node = self.node or self.status.own
        yield from self._daemon()
        if self.node == self.status.own:
            self.reachable = self.direct = True
            yield ok(_WAY, "route", f"{self.node} is the node of the socket")
            return
        yield from self._route()
        if self.reachable:
            yield from self._ping()
            yield self._control_service()

    def _socket(self) -> Iterator[Finding]:
        try:
            self._raw = run(_command(self.address, _CONTROL_SECONDS, command="status"), self._flag)
            self.status = MeshStatus(self._raw)
        except Interrupted:
            raise
        except ReceptorRunnerError as exc:
            yield fault(_SOCKET, _socket_check(exc), str(exc), exc.exit_code)
            return
        yield ok(_SOCKET, "socket", f"{self.address.socket} answers: the node {self.status.own}")

    def _daemon(self) -> Iterator[Finding]:
        version = str(self._raw.get("Version") or "")
        client = metadata.version("receptorctl")
        if not version:
            yield ok(_SOCKET, "daemon", f"its daemon does not tell its version; receptorctl is {client}")
        elif _numbers(version) < _OLDEST_DAEMON:
            text = f"its daemon is {version}, which is too old"
            yield fault(_SOCKET, "daemon-version", text, ConfigurationError.exit_code)
        else:
            yield ok(_SOCKET, "daemon", f"its daemon is {version}, receptorctl is {client}")

    def _route(self) -> Iterator[Finding]:
        assert self.status is not None
        self.reachable = self.status.node(self.node).reachable
        if not self.reachable:
            absent = self.status.absent(self.node)
            yield fault(_WAY, "node-absent", str(absent), UnreachableError.exit_code)
            return
        hops = _hops(self._raw.get("KnownConnectionCosts"), self.status.own, self.node)
        through = f", {hops} hop{'s' if hops != 1 else ''} away" if hops else ""
        yield ok(_WAY, "route", f"{self.node} is in the mesh{through}")

    def _ping(self) -> Iterator[Finding]:
        try:
            reply = run(_command(self.address, _PING_SECONDS, command="ping", target=self.node), self._flag)
        except Interrupted:
            raise
        except ReceptorRunnerError as exc:
            reply = {"Error": str(exc)}
        seconds = reply.get("Time")
        if not reply.get("Success") or not isinstance(seconds, (int, float)):
            text = f"{self.node} does not answer a ping: {reply.get('Error') or 'no reason given'}"
            yield fault(_WAY, "node-mute", text, UnreachableError.exit_code)
            return
        took = seconds / 1e9
        text = f"{self.node} answers a ping in {took * 1000:.1f} ms"
        yield warning(_WAY, "node-slow", text) if took > _SLOW_SECONDS else ok(_WAY, "ping", text)

    def _control_service(self) -> Finding:
        assert self.status is not None
        try:
            way = self.status.way_to(self.node, self.address.tlsclient)
            there = dataclasses.replace(self.address, through=self.node, through_tls=way)
            told = run(_command(there, _CONTROL_SECONDS, command="status"), self._flag)
            if self.status.node(self.node).worktypes is None:
                self.status = MeshStatus(_joined(self._raw, told))
        except Interrupted:
            raise
        except RefusedError as exc:
            check = "control-tls" if "no tls-client" in str(exc) else tls_check(exc)
            return fault(_WAY, check, str(exc), exc.exit_code)
        except ReceptorRunnerError as exc:
            tls = tls_check(exc)
            if tls != "tls-other" or "TLS" in str(exc) or "CRYPTO" in str(exc):
                return fault(_WAY, tls, str(exc), RefusedError.exit_code)
            return warning(_WAY, "control-mute", f"the control service of {self.node} is not reached: {exc}")
        self.direct = True
        return ok(_WAY, "control", f"the control service of {self.node} answers")


async def _command(address: Address, seconds: float, **parts: object) -> JSONObject:
    with await connect(address, min(seconds, _CONTROL_SECONDS)) as connection:
        return await connection.command(seconds, **parts)


def _joined(ours: JSONObject, theirs: JSONObject) -> JSONObject:
    """Our status, with the advertisements that the node has of itself."""
    return {**ours, "Advertisements": [*(ours.get("Advertisements") or []), *(theirs.get("Advertisements") or [])]}


def _socket_check(exc: ReceptorRunnerError) -> str:
    cause = exc.__cause__
    if isinstance(exc, ConfigurationError):
        return "mesh-configuration"
    if "is not a socket" in str(exc):
        return "socket-other"
    if isinstance(cause, ssl.SSLError):
        return tls_check(exc)
    for kind, check in (
        (FileNotFoundError, "socket-missing"),
        (PermissionError, "socket-permission"),
        ((TimeoutError, SilenceError), "socket-mute"),
        (ConnectionRefusedError, "socket-refused"),
    ):
        if isinstance(cause, kind):
            return check
    return "socket-other"


def tls_check(exc: BaseException) -> str:
    """Which of the checks of TLS an error is about: by OpenSSL's number, or by what Go's crypto/x509 says."""
    number = getattr(exc.__cause__, "verify_code", 0)
    text = str(exc)
    if number in _EXPIRED or "expired" in text or "not yet valid" in text:
        return "tls-expired"
    if number in _NAMES or "certificate is valid for" in text or "is not valid for any names" in text:
        return "tls-name"
    if number in _AUTHORITIES or "unknown authority" in text or "unknown certificate authority" in text:
        return "tls-authority"
    return "tls-other"


def _numbers(version: str) -> tuple[int, ...]:
    head = version.split("+", maxsplit=1)[0].split("-", maxsplit=1)[0].split(".")
    return tuple(int(part) for part in head[:2] if part.isdigit()) or _OLDEST_DAEMON


def _hops(costs: object, start: str, end: str) -> int:
    """How many connections are on the shortest way; 0 if that is not known."""
    known = costs if isinstance(costs, dict) else {}
    seen, level, count = {start}, [start], 0
    while level and end not in level:
        neighbours = [str(name) for one in level for name in (known.get(one) or {})]
        level = [name for name in dict.fromkeys(neighbours) if name not in seen]
        seen.update(level)
        count += 1
    return count if level else 0


def seconds_since(moment: str | None) -> float | None:
    """How long ago an advertisement was made, by its node's clock; None if that is not known."""
    import datetime

    try:
        whole = re.sub(r"\.\d+", "", str(moment))  # a fraction may have more digits than Python takes
        made = datetime.datetime.fromisoformat(whole.replace("Z", "+00:00"))
    except ValueError:
        return None
    return time.time() - made.timestamp() if made.tzinfo is not None else None
