"""A temporary file that holds an archive on its way in or out. Nobody else can name it.

Rules: closing the file removes it."""

from __future__ import annotations

import tempfile
from typing import IO

from ..errors import OutputError
from ..system.places import temporary_place

__all__ = ["spool"]

_BUFFER = 128 * 1024


def spool() -> IO[bytes]:
    """:raises OutputError: the temporary directory cannot be written."""
    try:
        return tempfile.TemporaryFile(buffering=_BUFFER)
    except OSError as exc:
        raise OutputError(f"cannot make a temporary file in {temporary_place()}: {exc.strerror}") from exc
