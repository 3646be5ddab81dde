"""What a program can be given: its arguments, its environment, and paths. And which names can travel.

Rules: no IO."""

from __future__ import annotations

import sys

__all__ = ["is_utf8", "passable"]


def passable(text: str) -> bool:
    """Whether ``text`` can be passed to a program: no NUL, and nothing that has no bytes (half of a character)."""
    try:
        return b"\0" not in text.encode(sys.getfilesystemencoding(), sys.getfilesystemencodeerrors())
    except UnicodeEncodeError:
        return False


def is_utf8(name: str) -> bool:
    """Whether the bytes of the file that is called ``name`` are UTF-8."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
