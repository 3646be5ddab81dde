"""What it means that a work unit has ended and its stream has not.

Rules: no IO. The details are the daemon's texts (pkg/workceptor), and those of the embedded node. The first row that
fits counts; the error's class is the row of the verdict (``results/verdict.py``)."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from ...errors import (
    ConfigurationError,
    Interrupted,
    LostError,
    ReceptorRunnerError,
    RefusedError,
    TruncatedStreamError,
    UnreachableError,
)
from ...receptor.work_unit import CANCELED, RUNNER_GONE, UnitStatus

__all__ = ["UNIT_ENDS", "unfinished"]


class UnitEnd(NamedTuple):
    """``fits`` tells whether a status is of this kind; ``says`` is the text of the error, before the detail."""

    fits: Callable[[UnitStatus], bool]
    error: type[ReceptorRunnerError]
    says: str


def _begins(*texts: str) -> Callable[[UnitStatus], bool]:
    return lambda status: status.detail.startswith(texts)


def _contains(*texts: str) -> Callable[[UnitStatus], bool]:
    return lambda status: any(text in status.detail for text in texts)


UNIT_ENDS = (
    UnitEnd(
        _begins(RUNNER_GONE, "Pending at restart", "Failed to restart", "Remote work unit is gone"),
        LostError,
        "the work unit has failed",
    ),
    UnitEnd(
        lambda status: status.state == CANCELED or status.detail == "Locally Cancelled",
        Interrupted,
        "",
    ),
    UnitEnd(_begins("Work unit expired"), UnreachableError, "the node did not take the job in time"),
    UnitEnd(_contains("signature", "signing key", "TLS", "CRYPTO_ERROR"), RefusedError, "the node refused the job"),
    UnitEnd(_begins("Error starting worker"), UnreachableError, "the node refused the job"),
    UnitEnd(
        _begins("fork/exec", "exec:", "EOF found when expecting"),
        ConfigurationError,
        "the node cannot start the command of its worktype",
    ),
)


def unfinished(status: UnitStatus, offset: int) -> ReceptorRunnerError:
    """The error that says why a stream that stopped at byte ``offset`` has no end."""
    for row in UNIT_ENDS:
        if row.fits(status):
            if row.error is Interrupted:
                return Interrupted("the work unit was cancelled")
            return row.error(f"{row.says}: {status.detail}")
    return TruncatedStreamError(
        f"the work unit ended ({status.detail or 'without a word'}) and its stream did not: it stops at byte {offset}"
    )
