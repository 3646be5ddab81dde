"""What a program can be given: its arguments, its environment, and paths.

Rules: no IO."""

from __future__ import annotations

import sys

__all__ = ["passable"]


def passable(text: str) -> bool:
    """Whether ``text`` can be passed to a program: no NUL, and nothing that has no bytes (half of a character)."""
    try:
        return b"\0" not in text.encode(sys.getfilesystemencoding(), sys.getfilesystemencodeerrors())
    except UnicodeEncodeError:
        return False
