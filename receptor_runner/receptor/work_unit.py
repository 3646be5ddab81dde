"""A work unit as data: its state, what a status says about it, and what its id may be.

Rules: no IO. States, names and keys are Receptor's (pkg/workceptor/workunitbase.go). An id has no inner meaning here:
daemons before 1.4.11 and after give it different forms."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from ..errors import UsageError
from ..stream.messages import JSONObject

__all__ = [
    "CANCELED",
    "FAILED",
    "PENDING",
    "RUNNER_GONE",
    "RUNNING",
    "STATE_NAMES",
    "SUCCEEDED",
    "UnitStatus",
    "check_unit_id",
]

PENDING = 0
RUNNING = 1
SUCCEEDED = 2
FAILED = 3
CANCELED = 4
#: What an embedded node says of a unit when nothing works on it any more.
RUNNER_GONE = "the process that ran the command is gone"
STATE_NAMES = {PENDING: "Pending", RUNNING: "Running", SUCCEEDED: "Succeeded", FAILED: "Failed", CANCELED: "Canceled"}
_ID = re.compile(r"[A-Za-z0-9_:@-][A-Za-z0-9._:@-]{0,199}")


class UnitStatus(NamedTuple):
    """``stdout_size`` is in bytes. ``extra`` is a dictionary, a text or None, as the daemon has it."""

    state: int
    detail: str
    stdout_size: int
    worktype: str
    extra: Any = None

    @classmethod
    def from_json(cls, data: JSONObject) -> UnitStatus:
        """From a reply, or from a unit's ``status`` file; what is missing is zero or empty.

        :raises ValueError: it is no status.
        """
        if not isinstance(data, dict):
            raise ValueError(f"a status is an object, not {type(data).__name__}")
        state, size = data.get("State"), data.get("StdoutSize")
        return cls(
            state if type(state) is int else PENDING,
            str(data.get("Detail") or ""),
            size if type(size) is int else 0,
            str(data.get("WorkType") or ""),
            data.get("ExtraData"),
        )

    def to_file(self) -> JSONObject:
        """In the order of the daemon's ``status`` files."""
        return {
            "State": self.state,
            "Detail": self.detail,
            "StdoutSize": self.stdout_size,
            "WorkType": self.worktype,
            "ExtraData": self.extra,
        }

    def to_reply(self) -> JSONObject:
        """In the order of the daemon's replies."""
        return {
            "Detail": self.detail,
            "ExtraData": self.extra,
            "State": self.state,
            "StateName": STATE_NAMES.get(self.state, f"Unknown: {self.state}"),
            "StdoutSize": self.stdout_size,
            "WorkType": self.worktype,
        }

    @property
    def ended(self) -> bool:
        return self.state in (SUCCEEDED, FAILED, CANCELED)

    def remote(self, name: str) -> Any:
        """A value of a remote unit's extra data, or None."""
        return self.extra.get(name) if isinstance(self.extra, dict) else None


def check_unit_id(unit: str) -> str:
    """:raises UsageError: it could be something else than an id: a word of a command, or a hidden directory."""
    if not _ID.fullmatch(unit):
        raise UsageError(f"{unit[:80]!r} is not the id of a work unit")
    return unit
