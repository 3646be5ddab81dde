"""Where an archive is kept on its way, in or out: a temporary file that nobody else can name.

Rules: closing it removes it.
"""

from __future__ import annotations

import tempfile
from typing import IO

from ..errors import OutputError

__all__ = ["spool"]

_BUFFER = 128 * 1024


def spool() -> IO[bytes]:
    """:raises OutputError: the temporary directory cannot be written."""
    try:
        return tempfile.TemporaryFile(buffering=_BUFFER)
    except OSError as exc:
        raise OutputError(f"cannot make a temporary file in {tempfile.gettempdir()}: {exc.strerror}") from exc
