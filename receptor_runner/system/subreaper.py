"""Makes orphaned descendants children of this process.

Rules: this module imports next to nothing, because whoever watches a command starts with it. It works on Linux only
(PR_SET_CHILD_SUBREAPER, prctl(2)). Elsewhere an orphan escapes."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator

__all__ = ["adopt_orphans", "reap"]

_PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans() -> None:
    """Orphaned descendants become children of this process."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def reap() -> Iterator[tuple[int, int]]:
    """Process ids and wait statuses of children that have ended."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return
        yield pid, status
