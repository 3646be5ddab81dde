"""What a stream says: one class for each kind of line.

Rules: data only, no bytes on the wire and no IO. A field named ``data`` is the JSON object of the line, as it came.
What our own stages add to a line is an :class:`Extension`, read once, when it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, NamedTuple, TypeAlias

__all__ = [
    "ALL",
    "EXTENSION",
    "EXTENSIONS",
    "PREPARED",
    "ArchiveData",
    "ArchiveEnd",
    "ArchiveStart",
    "EndOfStream",
    "Extension",
    "Foreign",
    "JSONObject",
    "JobEvent",
    "Keepalive",
    "Kwargs",
    "Message",
    "Status",
    "Unknown",
]

JSONObject: TypeAlias = dict[str, Any]

#: The key under which our stages add what ansible-runner does not know, inside lines that it does know.
EXTENSION = "receptor_runner"


@dataclass(frozen=True, slots=True)
class Extension:
    """What our stages add to a line. Everything may be missing: ansible-runner's stages add nothing.

    ``job`` and ``owner`` say whose job it is. ``ignored`` names parameters that the worker does not know. ``sha256``
    is an archive's digest in hex. ``exit_status`` and ``events`` say how the job ended and how many events it had.
    ``archives`` names the archive formats that the sender reads beside zip. ``warnings`` are for whoever submitted the
    job. ``ended`` is when it ended, in seconds since the epoch, and ``rc`` its return code. ``place`` says where a job
    in place is, by the names of :class:`~receptor_runner.job.place.Place`. ``collect`` are shell patterns of files that
    are wanted back, below the private data dir. ``format`` is that of an archive, if it is not zip. ``parameters`` are
    those of a job that only a worker that knows its archive may run. ``store`` says whose store is used: ``owner``, and
    the ``key`` of its digests, in hex. ``lacks`` are digests of what a worker does not have, or :data:`ALL`.
    ``sealed`` says for which key a job is encrypted, or is a part of encrypted results."""

    job: str | None = None
    owner: str | None = None
    ignored: tuple[str, ...] = ()
    sha256: str | None = None
    exit_status: int | None = None
    events: int | None = None
    archives: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    ended: float | None = None
    rc: int | None = None
    place: JSONObject | None = None
    collect: tuple[str, ...] = ()
    format: str | None = None
    parameters: JSONObject | None = None
    store: JSONObject | None = None
    lacks: tuple[str, ...] = ()
    sealed: JSONObject | None = None

    @classmethod
    def of(cls, line: Mapping[str, Any]) -> Extension:
        """The extension of a line. A value of the wrong type counts as missing: a stranger may have written it."""
        data = line.get(EXTENSION)
        if not isinstance(data, dict):
            return _NO_EXTENSION
        return cls(
            _text(data.get("job")),
            _text(data.get("owner")),
            _texts(data.get("ignored")),
            _text(data.get("sha256")),
            _number(data.get("exit_status")),
            _number(data.get("events")),
            _texts(data.get("archives")),
            _texts(data.get("warnings")),
            _time(data.get("ended")),
            _number(data.get("rc")),
            _object(data.get("place")),
            _texts(data.get("collect")),
            _text(data.get("format")),
            _object(data.get("parameters")),
            _object(data.get("store")),
            _texts(data.get("lacks")),
            _object(data.get("sealed")),
        )

    def to_json(self) -> JSONObject:
        """What is there, by name; empty if nothing is."""
        values = ((name, getattr(self, name)) for name in EXTENSIONS)
        return {
            name: list(value) if type(value) is tuple else value for name, value in values if value not in (None, ())
        }


#: Stands for every digest.
ALL = "*"
#: The key of the answer of a node that was to prepare: ``lacks`` (digests in hex, or :data:`ALL`), ``images`` (by name
#: ``present``, ``pulled``, or why not), ``error`` (a text, or null).
PREPARED = "prepared"
#: The names of all that our stages add.
EXTENSIONS = tuple(field.name for field in fields(Extension))
#: The end of the year 9999, in seconds since the epoch.
_LAST_SECOND = 253402300799
_NO_EXTENSION = Extension()


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _texts(value: object) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, list) else ()


def _object(value: object) -> JSONObject | None:
    return value if isinstance(value, dict) else None


def _time(value: object) -> float | None:
    """None for what no calendar has."""
    return float(value) if isinstance(value, (int, float)) and 0 < value < _LAST_SECOND else None


def _number(value: object) -> int | None:
    return value if type(value) is int else None


class JobEvent(NamedTuple):
    """One job event. ``raw`` is its line without the newline. A named tuple, because there are many."""

    data: JSONObject
    raw: bytes


@dataclass(frozen=True, slots=True)
class Kwargs:
    """The parameters of a job, from transmit."""

    data: JSONObject

    @property
    def extension(self) -> Extension:
        return Extension.of(self.data)


@dataclass(frozen=True, slots=True)
class Status:
    """A change of a job's status, from a worker."""

    data: JSONObject

    @property
    def extension(self) -> Extension:
        return Extension.of(self.data)


@dataclass(frozen=True, slots=True)
class ArchiveStart:
    """An archive of ``size`` bytes follows; ``sha256`` in hex if the sender told it. ``warnings`` say what is not in
    it."""

    size: int
    sha256: str | None = None
    format: str = "zip"
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ArchiveData:
    chunk: bytes


@dataclass(frozen=True, slots=True)
class ArchiveEnd:
    pass


@dataclass(frozen=True, slots=True)
class Keepalive:
    pass


@dataclass(frozen=True, slots=True)
class EndOfStream:
    pass


@dataclass(frozen=True, slots=True)
class Unknown:
    """A JSON object of no known kind. Another version may know it."""

    data: JSONObject


@dataclass(frozen=True, slots=True)
class Foreign:
    """Text that is not part of the protocol; ``offset`` is where it began."""

    text: bytes
    offset: int


Message: TypeAlias = (
    JobEvent | Kwargs | Status | ArchiveStart | ArchiveData | ArchiveEnd | Keepalive | EndOfStream | Unknown | Foreign
)
