"""A job of another controller that is looked at without being taken over.

Rules: nothing is noted of it here."""

from __future__ import annotations

from ..limits import VERDICT_SECONDS
from ..records.record import Record
from ..system.signals import StopFlag
from .submitted import SubmittedJob

__all__ = ["OtherJob"]


class OtherJob(SubmittedJob):
    """Its record is in memory alone."""

    def refresh(self, flag: StopFlag | None = None, seconds: float = VERDICT_SECONDS) -> Record:
        """:raises ReceptorRunnerError: its node cannot be asked, or has no such unit."""
        self.ask(flag, seconds)
        return self.record
