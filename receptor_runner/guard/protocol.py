"""What a stage and its guard say to each other: orders one way, reports the other.

Rules: no IO. Both ends use the classes here. A stage writes orders as lines of JSON to the guard's standard input; the
end of that input means: stop everything, remove what is temporary, end. The guard writes reports as frames to its
standard output: one byte for the kind, four for the length (big endian), and the content. The JSON keeps its form from
version to version, because a stage that started before an upgrade starts the guard of the version after it."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from typing import NamedTuple, TypeAlias

from ..preparation.run_spec import RunSpec

__all__ = [
    "Answer",
    "Cancel",
    "CommandEnd",
    "CommandMissing",
    "GuardFault",
    "Lines",
    "Order",
    "Own",
    "Ping",
    "Pong",
    "Ready",
    "Report",
    "ReportParser",
    "Run",
    "Setup",
    "decode_order",
    "encode_lines",
    "encode_order",
    "encode_report",
]

_HEADER = struct.Struct(">cI")
_READY, _WHOLE_LINES, _PART_OF_LINE, _RESULT, _PONG = b"P", b"W", b"w", b"R", b"A"


@dataclass(frozen=True)
class Setup:
    """Make a directory for the job's temporary files, and one to work in if ``temporary`` says so. ``remove`` is a
    directory that goes at the end. ``place`` is where they are made, if not where temporary files are. It is the first
    order, and the second one of a job that turns out to belong elsewhere.
    """

    temporary: bool
    remove: str | None
    place: str | None = None


@dataclass(frozen=True)
class Own:
    """Remove the tree ``path`` at the end, whether it exists yet or not."""

    path: str


@dataclass(frozen=True)
class Run:
    """Run the command."""

    spec: RunSpec


@dataclass(frozen=True)
class Cancel:
    """Stop the command."""


@dataclass(frozen=True)
class Ping:
    """Say that you are there."""


Order: TypeAlias = Setup | Own | Run | Cancel | Ping


def encode_order(order: Order) -> bytes:
    """One line."""
    match order:
        case Setup():
            data: dict[str, object] = {"setup": asdict(order)}
        case Own(path):
            data = {"own": path}
        case Run(spec):
            data = {"run": spec.to_json()}
        case Cancel():
            data = {"cancel": True}
        case Ping():
            data = {"ping": True}
    return json.dumps(data).encode() + b"\n"


def decode_order(line: bytes) -> Order | None:
    """The order in a line without its newline; None for one of a version that this one does not know."""
    data = json.loads(line)
    if "setup" in data:
        setup = data["setup"]
        return Setup(bool(setup.get("temporary")), setup.get("remove"), setup.get("place"))
    if "own" in data:
        return Own(data["own"])
    if "run" in data:
        return Run(RunSpec.from_json(data["run"]))
    if "ping" in data:
        return Ping()
    return Cancel() if data.get("cancel") else None


class Ready(NamedTuple):
    """The answer to :class:`Setup`: the directory to work in, empty if none was asked for, the one for temporary files,
    and the guard's process id.
    """

    path: str
    scratch: str
    pid: int = 0


class Lines(NamedTuple):
    """Event lines, encoded. ``whole``: whether they end where something else may follow."""

    data: bytes
    whole: bool


@dataclass(frozen=True)
class CommandEnd:
    """How the command ended. ``events`` counts the job events that were sent."""

    rc: int
    status: str
    events: int
    #: Why the command's output could not be kept.
    output_error: str | None = None
    #: The name of the signal that ended the command, if it was not the guard's.
    killed_by: str | None = None
    #: What an engine or sandbox said when it could not run the command.
    isolation_error: str | None = None
    #: Whether it can be shown that nothing is left of the command.
    gone: bool = True
    #: Why the guard stopped it, if it is not that somebody asked for it.
    stopped_because: str | None = None
    #: Whether the callback plugin has said anything.
    framed: bool = True
    #: How many processes it left running when it ended by itself. They were stopped.
    left: int = 0


@dataclass(frozen=True)
class CommandMissing:
    """There is no such command, or it cannot be run as the job wants; ``not_found`` says why."""

    not_found: str


@dataclass(frozen=True)
class GuardFault:
    """The guard failed. ``no_space``: the machine is short of room, memory, descriptors or processes."""

    fault: str
    no_space: bool = False


@dataclass(frozen=True)
class Pong:
    """The answer to :class:`Ping`."""


Answer: TypeAlias = Ready | CommandEnd | CommandMissing | GuardFault | Pong
Report: TypeAlias = Lines | Answer


def encode_report(report: Answer) -> bytes:
    """One frame."""
    if isinstance(report, Pong):
        return _frame(_PONG, b"")
    if isinstance(report, Ready):
        return _frame(_READY, json.dumps(list(report)).encode())
    return _frame(_RESULT, json.dumps(asdict(report)).encode())


def encode_lines(data: memoryview, *, whole: bool) -> bytes:
    """One frame of event lines."""
    return _frame(_WHOLE_LINES if whole else _PART_OF_LINE, data)


def _frame(kind: bytes, content: bytes | memoryview) -> bytes:
    return _HEADER.pack(kind, len(content)) + content


class ReportParser:
    """Turns what a guard writes into reports. What a newer guard says besides is passed over."""

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> Iterator[Report]:
        """The reports that ``data`` completes."""
        self._buffer += data
        while len(self._buffer) >= _HEADER.size:
            kind, length = _HEADER.unpack_from(self._buffer)
            end = _HEADER.size + length
            if len(self._buffer) < end:
                return
            content = self._buffer[_HEADER.size : end]
            self._buffer = self._buffer[end:]
            report = _report(kind, content)
            if report is not None:
                yield report


def _report(kind: bytes, content: bytes) -> Report | None:
    if kind in (_WHOLE_LINES, _PART_OF_LINE):
        return Lines(content, kind == _WHOLE_LINES)
    if kind == _PONG:
        return Pong()
    if kind not in (_READY, _RESULT):
        return None
    data = json.loads(content)
    if kind == _READY:
        return Ready(*data[:3])
    if "not_found" in data:
        return CommandMissing(data["not_found"])
    if "fault" in data:
        return GuardFault(data["fault"], bool(data.get("no_space")))
    return CommandEnd(**{field.name: data[field.name] for field in fields(CommandEnd) if field.name in data})
