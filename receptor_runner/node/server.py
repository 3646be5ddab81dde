"""The embedded node's control service: the daemon's protocol on a Unix socket, one asyncio loop.

Rules: everything that a client can see is read from the units on disk. A client that goes away costs nothing. What
the daemon does badly is done well where no client can depend on it: a cancelled unit's results end, a dead runner is
noticed, nobody is polled in a tight loop."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import fcntl
import logging
import os
import select
import socket
import stat
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from ..control import (
    CONNECTING,
    Command,
    CommandError,
    error_line,
    greeting,
    parse_command,
    reply_line,
    results_line,
    unit_created_line,
)
from ..errors import ConfigurationError, OutputError
from ..messages import JSONObject
from ..subreaper import reap
from ..utils.capacity import get_cpu_count, get_mem_in_bytes
from .config import NodeConfig
from .remote import remote_extra
from .units import Unit, Units

__all__ = ["Node"]

logger = logging.getLogger(__name__)

_LONGEST_LINE = 16 * 1024 * 1024
_BLOCK = 256 * 1024
#: How often a reader's file is looked at: at once after it grew, this often after a while of silence.
_QUICK_SECONDS = 0.01
_SLOW_SECONDS = 0.1
#: What a worker may take for its end, Receptor's ten seconds and what comes after.
_CANCEL_SECONDS = 20.0
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

        :raises ConfigurationError: the socket cannot be had.
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
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(stop.wait(), 0.5)
            server.close()
            for session in self._sessions:
                session.cancel()
            await asyncio.gather(*self._sessions)
        finally:
            for name in ((self._config.socket,) if self._served else ()) + (self._config.socket + ".lock",):
                with contextlib.suppress(OSError):
                    os.unlink(name)
            os.close(lock)

    def _open_units(self) -> Units:
        """Only who has the socket may touch the units."""
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
        if self._sessions or (self._until_idle and self.units.ids()):
            self._idle_since = time.monotonic() + _IDLE_SECONDS
        return self._until_idle and time.monotonic() > self._idle_since

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._sessions.add(task)
        try:
            await _Session(self, reader, writer).run()
        except (OSError, ValueError, asyncio.CancelledError) as exc:
            logger.debug("a client went away, or the node ends: %r", exc)
        finally:
            self._sessions.discard(task)
            writer.close()

    @property
    def name(self) -> str:
        return self._config.node

    @property
    def units(self) -> Units:
        """There are some once it serves."""
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
            while time.monotonic() < until and _processes_running() > _BUSY_PER_PROCESSOR * get_cpu_count():
                await asyncio.sleep(0.01)
            if unit.status().ended:
                raise CommandError("the work unit was cancelled before it started")
            unit.start(self._config.worktypes[worktype], params)

    def status(self, wanted: Any) -> JSONObject:
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


class _Session:
    """One client. A connection is a session of commands until a payload or results end it."""

    def __init__(self, node: Node, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._node = node
        self._reader = reader
        self._writer = writer
        sock = writer.get_extra_info("socket")
        self._hangup = select.poll()
        self._hangup.register(sock.fileno(), 0)
        self._open = True

    async def run(self) -> None:
        await self._say(greeting(self._node.name))
        while self._open:
            line = await self._reader.readline()
            if not line:
                return
            line = line.replace(b"\r", b"").rstrip(b"\n")
            if not line:
                continue
            try:
                reply = await self._act(parse_command(line))
            except CommandError as exc:
                await self._say(error_line(str(exc)))
                if exc.unusable:
                    await self._say(error_line("Unknown command"))
                continue
            if reply is not None:
                await self._say(reply_line(reply))

    async def _say(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def _act(self, command: Command) -> JSONObject | None:
        fields = command.fields
        match command.name:
            case "status":
                return self._node.status(fields.get("requested_fields"))
            case "ping":
                return self._ping(fields["target"])
            case "traceroute":
                return self._traceroute(fields["target"])
            case "reload":
                return {"Success": True}
            case "connect":
                return await self._connect(fields)
        actions: dict[str, Callable[[JSONObject], Awaitable[JSONObject | None]]] = {
            "submit": self._submit,
            "list": self._list,
            "status": self._status,
            "cancel": self._cancel,
            "release": self._release,
            "force-release": self._release,
            "results": self._results,
        }
        return await actions[command.subcommand](fields)

    def _ping(self, target: str) -> JSONObject:
        if target != self._node.name:
            return {"Error": "no route to node", "Success": False}
        return {"From": self._node.name, "Success": True, "Time": 1000, "TimeStr": "1µs"}

    def _traceroute(self, target: str) -> JSONObject:
        hop: JSONObject = {"From": self._node.name, "Time": 1000, "TimeStr": "1µs"}
        if target == self._node.name:
            return {"0": hop}
        return {"0": hop, "1": {"Error": "no route to node", **hop}}

    async def _connect(self, fields: JSONObject) -> JSONObject | None:
        """A bridge to the node itself is this session, greeting again."""
        if fields.get("tls"):
            raise CommandError(f"unknown TLS config {fields['tls']}")
        if fields["node"] not in (self._node.name, "localhost"):
            raise CommandError("INTERNAL_ERROR (local): no route to node")
        if fields["service"] != "control":
            raise CommandError("INTERNAL_ERROR (local): service unknown")
        await self._say(CONNECTING + greeting(self._node.name))
        return None

    async def _submit(self, fields: JSONObject) -> JSONObject:
        if fields.get("signature"):
            raise CommandError("work type did not expect a signature")
        here = fields["node"].lower() == "localhost" or fields["node"] == self._node.name
        extra: JSONObject | None = None
        params = fields.get("params", "")
        if here:
            if fields.get("ttl"):
                raise CommandError("ttl option is intended for remote work only")
            self._node.check_worktype(fields["worktype"], params)
        else:
            extra = remote_extra(fields)
        unit = self._node.units.create("remote" if extra else fields["worktype"], fields.get("workUnitID"), extra)
        await self._say(unit_created_line(unit.id))
        await self._take_payload(unit)
        self._open = False
        if unit.status().ended:
            raise CommandError("the work unit was cancelled before it started")
        if extra:
            unit.keep_pending("Starting Worker")
            return {"result": "Job Submitted", "unitid": unit.id}
        await self._node.start(unit, fields["worktype"], params)
        return {"result": "Job Started", "unitid": unit.id}

    async def _take_payload(self, unit: Unit) -> None:
        try:
            with open(unit.stdin, "wb") as file:
                while data := await self._reader.read(_BLOCK):
                    file.write(data)
        except OSError as exc:
            unit.fail(f"Error reading input data: {exc.strerror}")
            raise CommandError(f"Error reading input data: {exc.strerror}") from exc

    async def _list(self, fields: JSONObject) -> JSONObject:
        if "unitid" in fields:
            return {fields["unitid"]: self._node.units.find(fields["unitid"]).status().to_reply()}
        found = {}
        for unit in self._node.units.all():
            with contextlib.suppress(CommandError):
                found[unit.id] = unit.status().to_reply()
        return found

    async def _status(self, fields: JSONObject) -> JSONObject:
        return self._node.units.find(fields["unitid"]).status().to_reply()

    async def _cancel(self, fields: JSONObject) -> JSONObject:
        unit = self._node.units.find(fields["unitid"])
        await _stop(unit)
        return {"cancelled": unit.id}

    async def _release(self, fields: JSONObject) -> JSONObject:
        unit = self._node.units.find(fields["unitid"])
        with contextlib.suppress(CommandError):
            await _stop(unit)
        unit.remove()
        return {"released": unit.id}

    async def _results(self, fields: JSONObject) -> JSONObject | None:
        unit = self._node.units.find(fields["unitid"])
        await self._say(results_line(unit.id))
        self._open = self._node.held_results
        fd = await self._open_stdout(unit)
        if fd is None:
            return None
        try:
            await self._stream(unit, fd, max(0, fields["startpos"]))
        finally:
            os.close(fd)
        return None

    async def _open_stdout(self, unit: Unit) -> int | None:
        """The unit's output, waited for; None if there will be none."""
        while True:
            try:
                return os.open(unit.stdout, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                if not await self._worth_waiting(unit, _QUICK_SECONDS * 2):
                    return None

    async def _stream(self, unit: Unit, fd: int, position: int) -> None:
        nap = _QUICK_SECONDS
        ended = False
        while True:
            data = os.pread(fd, _BLOCK, position)
            if data:
                position += len(data)
                nap = _QUICK_SECONDS
                await self._say(data)
            elif ended:
                return
            else:
                # once more after the end: what was written before it is read then
                ended = not await self._worth_waiting(unit, nap)
                nap = min(nap * 1.5, _SLOW_SECONDS)

    async def _worth_waiting(self, unit: Unit, seconds: float) -> bool:
        """Waits; False if the unit has ended or gone, or nobody reads any more."""
        try:
            if unit.status().ended:
                return False
        except CommandError:
            return False
        await asyncio.sleep(seconds)
        if any(events & select.POLLHUP for _, events in self._hangup.poll(0)):
            raise ConnectionResetError("the reader of results has gone")
        return True


async def _stop(unit: Unit) -> None:
    """Returns when nothing works on the unit any more, or nothing can be done about it."""
    status = unit.status()
    if status.ended:
        return
    if not unit.locked():
        unit.cancel_before_start()
        return
    until = time.monotonic() + _CANCEL_SECONDS
    asked = False
    while time.monotonic() < until and not unit.status().ended:
        asked = asked or unit.interrupt()
        await asyncio.sleep(0.02)


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


def _version() -> str:
    """Clients warn about a version that is not their own."""
    from importlib import metadata

    try:
        return metadata.version("receptorctl")
    except metadata.PackageNotFoundError:
        return ""
