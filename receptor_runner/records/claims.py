"""Takes the name of a job among the records.

Rules: a name is taken under the lock of its record. Two submitters of one job are one: the second waits for the first
and finds its job."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from ..errors import InputError
from ..limits import START_SECONDS
from ..system.signals import StopFlag, pause
from .store import BusyError, Records

__all__ = ["claimed"]

#: How often the name of a job that is being submitted is looked at.
_BUSY_SECONDS = 0.05


@contextlib.contextmanager
def claimed(records: Records, job: str, flag: StopFlag | None) -> Iterator[bool]:
    """Holds the place of a job; whether it is ours. It is not if the job is there and somebody follows it. Another
    submitter of the same job is waited for.
    """
    until = time.monotonic() + START_SECONDS
    with contextlib.ExitStack() as held:
        mine = False
        while not mine:
            try:
                held.enter_context(records.followed(job))
                mine = True
            except BusyError:
                if _is_accepted(records, job) or time.monotonic() >= until:
                    break
                pause(flag, _BUSY_SECONDS)
        yield mine


def _is_accepted(records: Records, job: str) -> bool:
    try:
        record = records.load(job)
    except InputError:
        return False
    return bool(record.units) and record.accepted
