"""The embedded node's control service: the daemon's protocol on a Unix socket, in one asyncio loop.

Rules: everything that a client can see is read from the units on disk. A client that goes away costs nothing. A flood
of jobs leaves the node some processor time."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import fcntl
import functools
import logging
import os
import socket
import stat
import time
from collections.abc import Callable
from pathlib import Path

from ..errors import ConfigurationError, OutputError
from ..receptor.control_protocol import CommandError
from ..stream.messages import JSONObject
from ..system.subreaper import reap
from ..utils.capacity import get_cpu_count, get_mem_in_bytes
from .config import NodeConfig
from .control_session import ControlSession
from .units import Unit, Units

__all__ = ["Node"]

logger = logging.getLogger(__name__)

#: A command, in bytes. No program can be given parameters that are longer than half of it (execve(2)).
_LONGEST_LINE = 256 * 1024
_IDLE_SECONDS = 2.0
#: A busy machine starts one unit at a time, each after this long a wait at most: a flood of workers that start up would
#: leave the node itself no processor, and every client without an answer.
_CALM_SECONDS = 0.12
_BUSY_PER_PROCESSOR = 3
_FIRST_CLIENT_SECONDS = 10.0


class Node:
    """One embedded node.

    :param held_results: do as daemons from 1.5 on do: ids of units begin with the node's, and a results connection
        stays open until the client half-closes.
    :param until_idle: end when there is neither a unit nor a client any more.
    """

    def __init__(self, config: NodeConfig, *, held_results: bool = False, until_idle: bool = False) -> None:
        self._config = config
        self._held_results = held_results
        self._until_idle = until_idle
        self._starting = asyncio.Lock()
        self._idle_since = time.monotonic() + _FIRST_CLIENT_SECONDS
        self._units: Units | None = None
        self._served = False
        self._sessions: set[asyncio.Task[None]] = set()

    async def serve(self, ready: Callable[[], None], stop: asyncio.Event) -> None:
        """Until ``stop`` is set, or the node is idle and was to end then.

        :raises ConfigurationError: another node has the socket or the data directory.
        :raises OutputError: the data directory cannot be used.
        """
        lock = _lock_socket(self._config.socket)
        try:
            self._units = self._open_units()
            server = await self._listen()
            self._served = True
            ready()
            while not stop.is_set() and not self._done():
                for _ in reap():
                    pass
                self._remove_left()
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(stop.wait(), 0.5)
            server.close()
            for session in self._sessions:
                session.cancel()
            await asyncio.gather(*self._sessions)
        finally:
            if self._units is not None:
                self._units.close()
            for name in ((self._config.socket,) if self._served else ()) + (self._config.socket + ".lock",):
                with contextlib.suppress(OSError):
                    os.unlink(name)
            os.close(lock)

    def _remove_left(self) -> None:
        with contextlib.suppress(OSError):
            for unit in self.units.all():
                if unit.is_left:
                    unit.remove()

    def _open_units(self) -> Units:
        """Opens the units. Only the node that has the socket may touch them."""
        config = self._config
        try:
            return Units(Path(config.datadir) / config.node, config.node if self._held_results else "")
        except OSError as exc:
            raise OutputError(f"cannot use the data directory {config.datadir}: {exc.strerror}") from exc

    async def _listen(self) -> asyncio.Server:
        path = self._config.socket
        if os.path.lexists(path):
            if not stat.S_ISSOCK(os.lstat(path).st_mode):
                raise ConfigurationError(f"cannot serve on the socket {path}: something else has that name")
            os.unlink(path)
        listener = socket.socket(socket.AF_UNIX)
        try:
            mask = os.umask(0o777 & ~self._config.permissions)
            try:
                listener.bind(path)
            finally:
                os.umask(mask)
            return await asyncio.start_unix_server(self._client, sock=listener, limit=_LONGEST_LINE, backlog=512)
        except OSError as exc:
            listener.close()
            raise ConfigurationError(f"cannot serve on the socket {path}: {exc.strerror}") from exc

    def _done(self) -> bool:
        if self._sessions or (self._until_idle and self._has_units()):
            self._idle_since = time.monotonic() + _IDLE_SECONDS
        return self._until_idle and time.monotonic() > self._idle_since

    def _has_units(self) -> bool:
        """If that cannot be told, it has."""
        try:
            return bool(self.units.ids())
        except OSError:
            return True

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._sessions.add(task)
        try:
            await ControlSession(self, reader, writer).run()
        except (OSError, asyncio.CancelledError) as exc:
            logger.debug("a client went away, or the node ends: %r", exc)
        except Exception:
            logger.exception("a client's command failed")
        finally:
            self._sessions.discard(task)
            writer.close()

    @property
    def name(self) -> str:
        return self._config.node

    @property
    def units(self) -> Units:
        """The units of this node, once it serves."""
        assert self._units is not None
        return self._units

    @property
    def held_results(self) -> bool:
        return self._held_results

    def check_worktype(self, worktype: str, params: str) -> None:
        """:raises CommandError: a unit of it cannot be had."""
        work = self._config.worktypes.get(worktype)
        if work is None:
            raise CommandError(f"unknown work type {worktype}")
        if params and not work.allow_runtime_params:
            raise CommandError("extra params provided but not allowed")

    async def start(self, unit: Unit, worktype: str, params: str) -> None:
        async with self._starting:
            until = time.monotonic() + _CALM_SECONDS
            busy = _BUSY_PER_PROCESSOR * get_cpu_count()
            while time.monotonic() < until and _processes_running() > busy:
                await asyncio.sleep(0.01)
            if unit.status().ended:
                raise CommandError("the work unit was cancelled before it started")
            unit.start(self._config.worktypes[worktype], params)

    def status(self, wanted: object) -> JSONObject:
        """The reply to ``status``, with the fields of the daemon (pkg/controlsvc/status.go)."""
        now = datetime.datetime.now(datetime.timezone.utc).isoformat().replace("+00:00", "Z")
        worktypes = [{"WorkType": name, "Secure": False} for name in self._config.worktypes]
        data: JSONObject = {
            "Advertisements": [
                {
                    "NodeID": self.name,
                    "Service": "control",
                    "Time": now,
                    "ConnType": 1,
                    "Tags": {"type": "Control Service"},
                    "WorkCommands": worktypes,
                }
            ],
            "Connections": [],
            "KnownConnectionCosts": {},
            "NodeID": self.name,
            "RoutingTable": {},
            "SystemCPUCount": int(get_cpu_count()) or 1,
            "SystemMemoryMiB": get_mem_in_bytes() // 1024**2,
            "Version": _version(),
        }
        if not isinstance(wanted, list):
            return data
        return {name: data[name] for name in wanted if isinstance(name, str) and name in data}


def _processes_running() -> int:
    """How many processes want a processor now (proc(5), ``procs_running``); 0 where that is not known."""
    try:
        with open("/proc/stat", "rb") as file:
            for line in file:
                if line.startswith(b"procs_running"):
                    return int(line.split()[1])
    except (OSError, ValueError):
        pass
    return 0


def _lock_socket(path: str) -> int:
    """The daemon's own way to keep a socket for itself: a lock on ``PATH.lock``."""
    try:
        fd = os.open(path + ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        raise ConfigurationError(f"cannot serve on the socket {path}: {exc.strerror}") from exc
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise ConfigurationError(f"another node serves on the socket {path} already") from None
    return fd


@functools.cache
def _version() -> str:
    """Clients warn about a version that is not their own."""
    from importlib import metadata

    try:
        return metadata.version("receptorctl")
    except metadata.PackageNotFoundError:
        return ""
