"""One client of the embedded node: a session of commands, until a payload or results end it.

Rules: what a client can see is the daemon's protocol, also where the daemon does badly. Where no client can depend on
that, it is done well: the results of a cancelled unit end, and a reader who goes away is forgotten at once."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import select
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

from ..receptor.control_protocol import (
    CONNECTING,
    CommandError,
    ControlCommand,
    error_line,
    greeting,
    parse_command,
    reply_line,
    results_line,
    unit_created_line,
)
from ..stream.messages import JSONObject
from ..system.below import open_regular
from .remote_unit import remote_extra
from .units import Unit, Units

__all__ = ["ControlSession"]

logger = logging.getLogger(__name__)

_BLOCK = 256 * 1024
#: How often the file of a reader is looked at: at once after it grew, this often after a while of silence.
_QUICK_SECONDS = 0.01
_PROMPT_SECONDS = 0.02
_SLOW_SECONDS = 0.1
#: A worker may take this long to end: Receptor's ten seconds, and what comes after.
_CANCEL_SECONDS = 20.0
#: A command that has begun comes whole within this time.
_LINE_SECONDS = 30.0


class Services(Protocol):
    """What a session needs of its node."""

    @property
    def name(self) -> str: ...

    @property
    def units(self) -> Units: ...

    @property
    def held_results(self) -> bool: ...

    def check_worktype(self, worktype: str, params: str) -> None: ...

    async def start(self, unit: Unit, worktype: str, params: str) -> None: ...

    def status(self, wanted: object) -> JSONObject: ...


class ControlSession:
    """One connection."""

    def __init__(self, node: Services, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._node = node
        self._reader = reader
        self._writer = writer
        sock = writer.get_extra_info("socket")
        self._hangup = select.poll()
        self._hangup.register(sock.fileno(), 0)
        self._open = True
        self._streaming = False

    async def run(self) -> None:
        await self._say(greeting(self._node.name))
        while self._open:
            line = await self._line()
            if line is None:
                return
            if line:
                await self._answer(line)

    async def _line(self) -> bytes | None:
        """The next line; None at the end. One that is not finished may not stay for long: it takes memory."""
        try:
            first = await self._reader.readexactly(1)
            rest = b"" if first == b"\n" else await asyncio.wait_for(self._reader.readline(), _LINE_SECONDS)
        except asyncio.IncompleteReadError:
            return None
        except ValueError:
            await self._say(error_line("the line is too long"))
            return None
        except asyncio.TimeoutError:
            await self._say(error_line(f"the line was not finished within {_LINE_SECONDS:.0f} s"))
            return None
        return (first + rest).replace(b"\r", b"").rstrip(b"\n")

    async def _answer(self, line: bytes) -> None:
        """Whatever a client says, it gets an answer, and nobody else notices."""
        try:
            reply = await self._act(parse_command(line))
            if reply is not None:
                await self._say(reply_line(reply))
        except CommandError as exc:
            await self._say(error_line(str(exc)))
            if exc.unusable:
                await self._say(error_line("Unknown command"))
        except ConnectionError:
            raise
        except OSError as exc:
            await self._refuse(f"the node cannot do that now: {exc.strerror or exc}")
        except Exception as exc:
            logger.exception("a command failed")
            await self._refuse(f"the node failed: {type(exc).__name__}")

    async def _refuse(self, text: str) -> None:
        """In the middle of results there is no place for words."""
        if self._streaming:
            self._open = False
        else:
            await self._say(error_line(text))

    async def _say(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def _act(self, command: ControlCommand) -> JSONObject | None:
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
        """A bridge to the node itself: this session greets again."""
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
        self._streaming = True
        fd = await self._open_stdout(unit)
        if fd is None:
            return None
        try:
            await self._stream(unit, fd, max(0, fields["startpos"]))
            self._streaming = False
        finally:
            os.close(fd)
        return None

    async def _open_stdout(self, unit: Unit) -> int | None:
        """The unit's output, waited for; None if there will be none."""
        while True:
            try:
                return open_regular(unit.stdout)
            except FileNotFoundError:
                if not await self._worth_waiting(unit, _QUICK_SECONDS * 2):
                    return None

    async def _stream(self, unit: Unit, fd: int, position: int) -> None:
        """A look at the file costs little, and one at the unit more."""
        nap = _QUICK_SECONDS
        ended = False
        look_at = 0.0
        while True:
            data = os.pread(fd, _BLOCK, position)
            if data:
                position += len(data)
                nap = _QUICK_SECONDS
                await self._say(data)
            elif ended:
                return
            elif time.monotonic() < look_at:
                await asyncio.sleep(nap)
                nap = min(nap * 1.5, _PROMPT_SECONDS)
            else:
                # once more after the end: what was written before it is read then
                ended = not await self._worth_waiting(unit, nap)
                look_at = time.monotonic() + _SLOW_SECONDS

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
    with contextlib.suppress(CommandError):  # somebody has released it already
        while time.monotonic() < until and not unit.status().ended:
            asked = asked or unit.interrupt()
            await asyncio.sleep(0.02)
        if not unit.status().ended:
            await asyncio.to_thread(unit.kill)
