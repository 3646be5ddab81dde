"""Looks into a running job: asks its node, and reads its events at the same time.

Rules: who follows the job is not disturbed, and nothing is saved. What one of the two cannot tell is no reason to keep
back what the other tells."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

from ..errors import Interrupted, LostError, ReceptorRunnerError, UnreachableError
from ..inspection.answers import Inspection
from ..results.event_files import saved_events
from ..results.history import JobHistory
from ..stream.messages import JSONObject
from ..system.signals import StopFlag, check
from .insight import JobInsight, Moment, insight_of
from .reading import read_events
from .waiting import run
from .worker_queries import ask_inspection

if TYPE_CHECKING:
    from .submitted import SubmittedJob

__all__ = ["JobLook"]

_LOOK_SECONDS = 0.1


class JobLook:
    """Looks at one job as often as one likes; what was read once is not read again. Close it."""

    def __init__(self, job: SubmittedJob) -> None:
        self.history = JobHistory()
        self._job = job
        self._reader = job.reader()

    def __enter__(self) -> JobLook:
        return self

    def __exit__(self, *exc: object) -> None:
        self._reader.close()

    def look(self, flag: StopFlag | None = None) -> JobInsight:
        """The job as it is now.

        :raises UnreachableError: its node does not answer, and there are no artifacts.
        """
        record = self._job.refresh(flag)
        name, node = record.id, record.where
        if record.verdict is not None or not record.units:
            self._read_what_is_left(flag)
            return insight_of(Moment(name, record.state, node, ended=record.verdict is not None), self.history)
        question = _Question(self._job)
        unread = None
        try:
            self._read(flag)
        except Interrupted:
            raise
        except (ReceptorRunnerError, OSError) as exc:
            unread = f"its events: {exc}"
        seen, note = question.answer(flag)
        return insight_of(Moment(name, record.state, node), self.history, seen, note or unread)

    def _read(self, flag: StopFlag | None) -> None:
        run(read_events(self._job.handle, self._take, follow=False, reader=self._reader), flag)

    def _read_what_is_left(self, flag: StopFlag | None) -> None:
        """The node has the events of a job that has ended, or the artifacts have."""
        record = self._job.record
        if record.units and not record.released:
            with contextlib.suppress(LostError, UnreachableError):
                self._read(flag)
                return
        if not self.history.events:
            for event, raw in saved_events(record.artifact_dir):
                self._take(event, raw)

    def _take(self, event: JSONObject, raw: bytes) -> None:
        self.history.take(event)


class _Question:
    """Asks the node what it knows, in a thread of its own. It has a deadline."""

    def __init__(self, job: SubmittedJob) -> None:
        self._job = job
        self._seen: Inspection | None = None
        self._note: str | None = None
        self._thread = threading.Thread(target=self._ask, name="receptor-runner-inspect", daemon=True)
        self._thread.start()

    def _ask(self) -> None:
        record = self._job.record
        try:
            far_unit = run(self._job.handle.far_unit())
            self._seen = run(ask_inspection(record.address, record.route, far_unit))
        except (ReceptorRunnerError, OSError) as exc:
            self._note = str(exc)

    def answer(self, flag: StopFlag | None) -> tuple[Inspection | None, str | None]:
        """:raises Interrupted: ``flag`` was raised."""
        while self._thread.is_alive():
            check(flag)
            self._thread.join(_LOOK_SECONDS)
        return self._seen, self._note
