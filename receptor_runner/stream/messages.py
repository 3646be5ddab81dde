"""What a stream says, one class for each kind of line.

Rules: data only; no bytes on the wire, no IO. A field named ``data`` is the JSON object of the line, as it came.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

JSONObject: TypeAlias = dict[str, Any]

#: The key under which our stages put what ansible-runner does not know, inside lines that it does know.
EXTENSION = "receptor_runner"
#: What our stages say there: whose job it is, which parameters were ignored, the digest of an archive, how the job
#: ended and how many events it had.
EXTENSIONS = ("job", "owner", "ignored", "sha256", "exit_status", "events")


class JobEvent(NamedTuple):
    """One job event. ``raw`` is its line without the newline; a named tuple because there are many."""

    data: JSONObject
    raw: bytes


@dataclass(frozen=True, slots=True)
class Kwargs:
    """The parameters of a job, from transmit."""

    data: JSONObject


@dataclass(frozen=True, slots=True)
class Status:
    """A change of a job's status, from a worker."""

    data: JSONObject


@dataclass(frozen=True, slots=True)
class ArchiveStart:
    """An archive of ``size`` bytes follows; ``sha256`` in hex if the sender told."""

    size: int
    sha256: str | None = None


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
    """A JSON object of no known kind: another version's business."""

    data: JSONObject


@dataclass(frozen=True, slots=True)
class Foreign:
    """Text that is not part of the protocol; ``offset`` is where it began."""

    text: bytes
    offset: int


Message: TypeAlias = (
    JobEvent | Kwargs | Status | ArchiveStart | ArchiveData | ArchiveEnd | Keepalive | EndOfStream | Unknown | Foreign
)
