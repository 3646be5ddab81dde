"""How a job ended: one verdict, and one judge.

Rules: no IO. The tables here are those of ``docs/mesh.md`` and ``docs/exit-status.md``. Every reader of a stream that
says how a job ended asks :func:`judge`. Success needs proof: the end mark, and a final status that nothing contradicts.
Whether every event arrived is another question: it changes no status. What has run a job itself needs no proof, and
asks :func:`verdict_of`."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import NamedTuple

from ..errors import (
    ArchiveError,
    Interrupted,
    LimitError,
    LostError,
    ProtocolError,
    ReceptorRunnerError,
    TruncatedStreamError,
    exit_code_of,
)
from ..stream.messages import Extension, JSONObject
from ..stream.status import CANCELED, ERROR, FAILED, RUNNING, STARTING, SUCCESSFUL, TIMEOUT, UNSTARTED

__all__ = ["FAULTS", "LOST", "STATUSES", "TRUNCATED", "Evidence", "Verdict", "judge", "verdict_of"]

#: States of a job that no status of the stream has.
LOST = "lost"
TRUNCATED = "truncated"

#: Ansible's own exit statuses that are passed on. Any other failure is 1.
_PASSED_ON = frozenset({*range(1, 9), 99, 250})

#: A final status, and the exit status that it stands for; None where the job itself says which.
STATUSES: dict[str, int | None] = {SUCCESSFUL: 0, FAILED: None, CANCELED: 130, TIMEOUT: 124, ERROR: None}
_NOT_FINAL = (UNSTARTED, STARTING, RUNNING)


class FaultRow(NamedTuple):
    """What it means for a job that its stream has no end of its own, because of an error of this class."""

    error: type[BaseException]
    state: str
    status: str


#: The first row whose class fits counts. The exit status is that of the error.
FAULTS = (
    FaultRow(Interrupted, CANCELED, CANCELED),
    FaultRow(LostError, LOST, ERROR),
    FaultRow(TruncatedStreamError, TRUNCATED, ERROR),
    FaultRow(ProtocolError, TRUNCATED, ERROR),
    FaultRow(ArchiveError, TRUNCATED, ERROR),
    FaultRow(LimitError, TRUNCATED, ERROR),
    FaultRow(BaseException, ERROR, ERROR),
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a job ended.

    ``status`` is the last status of its stream, or ``error``. ``state`` is the same, or ``lost`` or ``truncated``.
    ``exit_code`` is what a command ends with because of it. ``rc`` is the job's own return code, None if it did not
    tell. ``missing_events`` did not arrive, as far as can be known. ``ended`` is when the job ended, if it told, in
    seconds since the epoch."""

    state: str
    status: str
    exit_code: int
    rc: int | None = None
    explanation: str | None = None
    missing_events: int = 0
    ended: float | None = None

    @property
    def complete(self) -> bool:
        return not self.missing_events


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of a job when nothing more will come.

    :param last: the last status line of its stream; empty if there was none.
    :param ended: whether the end mark of the stream came.
    :param events: how many events arrived; None if nobody counted.
    :param highest: the highest counter of an event that arrived.
    :param rc: the return code in its artifacts; None if there is none.
    :param fault: why the stream has no end, or could not be read or saved.
    """

    last: JSONObject = field(default_factory=dict)
    ended: bool = False
    events: int | None = None
    highest: int = 0
    rc: int | None = None
    fault: BaseException | None = None


def judge(evidence: Evidence) -> Verdict:
    """The verdict. A stream without its end mark or its final status never makes a success."""
    ended = Extension.of(evidence.last).ended
    return replace(_judged(evidence), missing_events=_missing_events(evidence), ended=ended)


def _missing_events(evidence: Evidence) -> int:
    """Workers number their events without gaps, and ours say how many there were."""
    if evidence.events is None:
        return 0
    return max(Extension.of(evidence.last).events or 0, evidence.highest, evidence.events) - evidence.events


def _judged(evidence: Evidence) -> Verdict:
    if evidence.fault is not None:
        return _of_fault(evidence.fault, evidence.rc)
    status = str(evidence.last.get("status", UNSTARTED))
    if not evidence.ended:
        return _of_fault(TruncatedStreamError("the stream ended before its end mark"), evidence.rc)
    if status in _NOT_FINAL:
        return _of_fault(TruncatedStreamError("the stream ended without a final status"), evidence.rc)
    told = Extension.of(evidence.last)
    for name, code in (("return code", evidence.rc), ("exit status", told.exit_status)):
        if status == SUCCESSFUL and code:
            text = f"the worker contradicts itself: the job is {SUCCESSFUL}, and its {name} is {code}"
            return _of_fault(TruncatedStreamError(text), evidence.rc)
    explanation = evidence.last.get("job_explanation")
    rc = (evidence.rc if evidence.rc is not None else told.rc) if status != ERROR else None
    return verdict_of(status, rc, told.exit_status, explanation if isinstance(explanation, str) else None)


def verdict_of(status: str, rc: int | None, told: int | None = None, explanation: str | None = None) -> Verdict:
    """The verdict on a job that ended with ``status``.

    :param rc: its return code, if that is known.
    :param told: the exit status that its worker gave with the status.
    """
    code = STATUSES.get(status, ReceptorRunnerError.exit_code)
    if code is None:
        code = _failed(rc, told) if status == FAILED else _error(told)
    state = LOST if code == LostError.exit_code and status == ERROR else status
    return Verdict(state, status, code, rc, explanation)


def _failed(rc: int | None, told: int | None) -> int:
    return next((code for code in (rc, told) if code in _PASSED_ON), None) or 1


def _error(told: int | None) -> int:
    return told if told is not None and 0 < told < 256 else ReceptorRunnerError.exit_code


def _of_fault(fault: BaseException, rc: int | None) -> Verdict:
    row = next(row for row in FAULTS if isinstance(fault, row.error))
    return Verdict(row.state, row.status, exit_code_of(fault), rc, str(fault) or type(fault).__name__)
