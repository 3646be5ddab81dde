"""A unit's ``status`` file, as the daemon writes it: one JSON object in one line.

Rules: the file is replaced as a whole, so a reader finds the old one or the new one. This module imports next to
nothing, because every runner has it."""

from __future__ import annotations

import json
import os

from ..receptor.work_unit import UnitStatus
from ..stream.bounded_json import parse_json
from ..system.below import open_regular
from ..system.files import replace_file

__all__ = ["read_status", "write_status"]

#: The fields of a command, each byte as up to six.
_LONGEST = 4 * 1024 * 1024


def read_status(directory: str | os.PathLike[str]) -> UnitStatus:
    """:raises OSError: there is none, or it cannot be read.
    :raises ValueError: it is damaged.
    """
    with os.fdopen(open_regular(os.path.join(directory, "status")), "rb") as file:
        return UnitStatus.from_json(parse_json(file.read(_LONGEST)))


def write_status(directory: str | os.PathLike[str], status: UnitStatus) -> None:
    """Replaces a unit's status as a whole.

    :raises OSError: it cannot be written.
    """
    line = json.dumps(status.to_file(), separators=(",", ":")).encode() + b"\n"
    replace_file(os.path.join(directory, "status"), line)
