"""Cancels a work unit, and shows that it has ended.

Rules: the answer to a cancel proves nothing. A unit has ended if its node says so, or if nothing works on it in two
looks."""

from __future__ import annotations

import time

from ..errors import LostError, ReceptorRunnerError
from ..records.record import Record
from ..system.signals import StopFlag, pause
from .units import UnitHandle
from .waiting import run
from .worker_queries import probe

__all__ = ["cancel_unit"]

#: How long a unit may take to be seen as ended after its cancel was answered: the far status comes once a second.
_SHOWN_SECONDS = 15.0
_POLL_SECONDS = 0.1


def cancel_unit(handle: UnitHandle, record: Record, flag: StopFlag | None) -> None:
    """Cancels the unit of the job in ``record``, and returns when its node says that it has ended.

    :raises LostError: nothing works on it, and its node does not say that it has ended.
    :raises UnitGoneError: the node does not know it any more.
    :raises ReceptorRunnerError: it cannot be shown that the unit has ended.
    """
    answer = run(handle.cancel(), flag)
    until = time.monotonic() + _SHOWN_SECONDS
    while not run(handle.status(), flag).ended:
        if time.monotonic() > until:
            break
        pause(flag, _POLL_SECONDS)
    else:
        return
    looks = [run(probe(handle.address, record.route, record.units[0].far_unit)) for _ in range(2)]
    if looks == [False, False]:
        raise LostError("its runner was gone before it was cancelled")
    raise ReceptorRunnerError(
        f"the cancel of {record.id} cannot be shown to have worked: the mesh answered {answer!r}, "
        f"and the work unit {handle.unit} has not ended"
    )
