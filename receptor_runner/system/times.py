"""Times as people and programs read them.

Rules: a time is UTC, whatever this machine's zone is."""

from __future__ import annotations

from typing import overload

__all__ = ["iso_time"]


@overload
def iso_time(seconds: float) -> str: ...
@overload
def iso_time(seconds: None) -> None: ...
@overload
def iso_time(seconds: float | None) -> str | None: ...
def iso_time(seconds: float | None) -> str | None:
    """ISO 8601 in UTC, to the millisecond; None if there is no time.

    :param seconds: since the epoch.
    """
    if seconds is None:
        return None
    import datetime  # what needs no time does without it

    moment = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
