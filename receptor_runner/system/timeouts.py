"""Timeouts for poll: the earliest of several deadlines.

Rules: never negative, and never longer than poll can take; a wait that ends early is waited for again.
"""

from __future__ import annotations

__all__ = ["milliseconds"]

_LONGEST_SECONDS = 3600.0


def milliseconds(*waits: float | None) -> float:
    """What to give to ``poll`` for waits in seconds, None for no limit."""
    return max(0.0, min([_LONGEST_SECONDS, *(wait for wait in waits if wait is not None)])) * 1000
