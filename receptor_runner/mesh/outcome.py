"""How a job of a mesh ended, for whoever followed it. Data only."""

from __future__ import annotations

from typing import NamedTuple

from ..records.record import Record
from ..stream.messages import JSONObject

__all__ = ["Outcome"]


class Outcome(NamedTuple):
    """How a job ended. ``rc`` is the job's own, None if it did not tell; ``stats`` the data of ``playbook_on_stats``;
    ``exit_code`` what a command ends with; ``state`` one of product states: ``successful``, ``failed``, ``canceled``,
    ``timeout``, ``error``, ``lost``, ``truncated``; ``missing_events`` did not arrive, as far as is known.
    """

    status: str
    rc: int | None
    stats: JSONObject | None
    artifact_dir: str
    exit_code: int
    state: str
    explanation: str | None
    missing_events: int = 0

    @property
    def complete(self) -> bool:
        """Whether every event arrived."""
        return not self.missing_events

    @classmethod
    def of(cls, record: Record, stats: JSONObject | None) -> Outcome:
        """The outcome of a job whose record has its verdict."""
        verdict = record.verdict
        assert verdict is not None
        return cls(
            verdict.status,
            verdict.rc,
            stats,
            record.artifact_dir,
            verdict.exit_code,
            verdict.state,
            verdict.explanation,
            verdict.missing_events,
        )
