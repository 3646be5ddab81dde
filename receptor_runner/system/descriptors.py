"""How many descriptors this process may have.

Rules: a node lifts its own limit as far as it may, because it has two for each job that somebody follows. What it
starts gets the limit that it was started with: some programs go wrong with descriptors beyond 1,024."""

from __future__ import annotations

import contextlib
import resource

__all__ = ["lift_descriptor_limit", "lower_descriptor_limit"]

_first: list[tuple[int, int]] = []


def lift_descriptor_limit() -> None:
    """As far as the hard limit allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        _first.append((soft, hard))


def lower_descriptor_limit() -> None:
    """What a child does before it becomes another program."""
    if _first:
        resource.setrlimit(resource.RLIMIT_NOFILE, _first[0])
