"""Timeouts for poll: the earliest of several deadlines.

Rules: a timeout is never negative, and never longer than poll can take. A wait that ends too early is repeated."""

from __future__ import annotations

__all__ = ["milliseconds"]

_LONGEST_SECONDS = 3600.0


def milliseconds(*waits: float | None) -> float:
    """The timeout for ``poll``, for waits in seconds; None is a wait without limit."""
    return max(0.0, min([_LONGEST_SECONDS, *(wait for wait in waits if wait is not None)])) * 1000
