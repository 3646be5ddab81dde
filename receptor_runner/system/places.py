"""Where temporary files go, for messages: the place may be missing, and then that is what the message is about.

Rules: nothing is made here, and nothing raises."""

from __future__ import annotations

import tempfile

__all__ = ["temporary_place"]


def temporary_place() -> str:
    """The directory for temporary files, or what is tried if none can be used."""
    try:
        return tempfile.gettempdir()
    except OSError:
        return "any of TMPDIR, /tmp, /var/tmp"
