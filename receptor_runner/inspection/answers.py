"""What a node answers about a job that runs there: as data, and as JSON.

Rules: no IO. An answer is a stranger's: what has another type than it should is left out, and every text is bounded.
Process ids are those of the node itself, also for a job in a container."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from typing import Any, TypeVar

from ..stream.bounded_json import parse_json
from ..stream.messages import JSONObject

__all__ = [
    "LONGEST_ANSWER",
    "Ending",
    "HostWork",
    "Inspection",
    "ProcessSeen",
    "read_ending",
    "read_inspection",
    "work_of",
]

#: In bytes.
LONGEST_ANSWER = 4 * 1024 * 1024
_LONGEST_TEXT = 4096
_LARGEST_NUMBER = 2.0**53

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ProcessSeen:
    """A process of a job. ``age`` and ``cpu`` (of processor time) are seconds. ``host`` is the inventory's name of the
    host that it works for, None if that is not known. ``reads`` says that it waits for input from the job's terminal.
    """

    pid: int
    parent: int
    age: float
    cpu: float
    state: str
    arguments: str
    host: str | None = None
    reads: bool = False


@dataclass(frozen=True, slots=True)
class HostWork:
    """What Ansible says that it does for a host now, and the process that does it. ``task`` is empty if Ansible has not
    its name at hand. ``shared`` says why the end of it would be felt by other hosts: ``run_once``,
    ``any_errors_fatal``, ``max_fail_percentage``, ``last_host``, or ``unknown``; empty if it would not.
    """

    pid: int
    host: str
    task: str
    no_log: bool = False
    shared: str = ""


@dataclass(frozen=True, slots=True)
class Inspection:
    """What a node knows about a job. ``time`` is now there, in seconds since the epoch; ``age`` is that of the job, in
    seconds, None if nothing works on it. ``silent`` says why Ansible did not tell what it does; empty if it did.
    """

    time: float
    age: float | None = None
    silent: str = ""
    work: list[HostWork] = field(default_factory=list)
    processes: list[ProcessSeen] = field(default_factory=list)

    def to_json(self) -> JSONObject:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Ending:
    """What became of the wish to end the task of one host. ``refused`` says why nothing was done; empty if something
    was. ``began`` is when, by the clock of the node, in seconds since the epoch. ``gone`` says that Ansible's process
    for the host is, and ``reported`` that Ansible has counted the host as failed or unreachable since. ``over`` says
    that Ansible has ended meanwhile. ``left`` are processes that could not be ended, with their arguments.
    """

    refused: str = ""
    task: str = ""
    began: float = 0.0
    gone: bool = False
    reported: bool = False
    over: bool = False
    ended: int = 0
    left: list[str] = field(default_factory=list)

    def to_json(self) -> JSONObject:
        return asdict(self)


def read_inspection(answer: bytes) -> Inspection | None:
    """None if this is no answer, or not all of it."""
    return _read(answer, "inspection", _inspection)


def read_ending(answer: bytes) -> Ending | None:
    """None if this is no answer, or not all of it."""
    return _read(answer, "ending", lambda data: Ending(**{**_plain(Ending, data), "left": _texts(data.get("left"))}))


def _read(answer: bytes, name: str, understand: Callable[[JSONObject], T]) -> T | None:
    """Only a whole line counts: answers of other workers may be JSON, too."""
    line, newline, _ = answer.partition(b"\n")
    if not newline:
        return None
    try:
        found = parse_json(line)[name]
        return understand(found) if isinstance(found, dict) else None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _inspection(data: JSONObject) -> Inspection:
    plain = _plain(Inspection, data)
    plain["work"] = work_of(data.get("work"))
    seen = [_plain(ProcessSeen, one) for one in _objects(data.get("processes"))]
    plain["processes"] = [ProcessSeen(**one) for one in seen if one.keys() >= _NEEDED]
    return Inspection(**plain) if "time" in plain else Inspection(0.0)


def work_of(value: Any) -> list[HostWork]:
    """What of ``value``, a list of objects, can be understood."""
    return [
        HostWork(**plain)
        for one in _objects(value)
        if {"pid", "host", "task"} <= (plain := _plain(HostWork, one)).keys()
    ]


def _objects(value: Any) -> list[JSONObject]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _texts(value: Any) -> list[str]:
    return [one[:_LONGEST_TEXT] for one in value if isinstance(one, str)] if isinstance(value, list) else []


#: What a process must have told.
_NEEDED = {"pid", "parent", "age", "cpu", "state", "arguments"}
#: The types of simple fields, by their annotations.
_SIMPLE: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
    "str | None": (str, type(None)),
    "float | None": (int, float, type(None)),
}


def _plain(kind: type[Any], data: JSONObject) -> dict[str, Any]:
    """The simple fields of ``data`` that have their own types."""
    found: dict[str, Any] = {}
    for one in fields(kind):
        types, value = _SIMPLE.get(str(one.type)), data.get(one.name)
        if types is None or one.name not in data or not isinstance(value, types):
            continue
        if isinstance(value, bool) and bool not in types:
            continue
        if isinstance(value, (int, float)) and not abs(value) < _LARGEST_NUMBER:
            continue
        found[one.name] = value[:_LONGEST_TEXT] if isinstance(value, str) else value
    return found
