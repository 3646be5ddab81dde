"""Looks into a running job, and ends what it does for one host: asks its node, and reads its events beside that.

Rules: who follows the job is not disturbed, and nothing is saved. The end of a host's task counts as shown when Ansible
has reported that host, by an event that came after the wish."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

from ..errors import LostError, ReceptorRunnerError, RefusedError, UnreachableError, UsageError
from ..inspection.answers import Ending, Inspection
from ..results.event_files import saved_events
from ..results.history import JobHistory, moment
from ..stream.messages import JSONObject
from ..stream.reader import StreamReader
from ..system.signals import StopFlag, check
from .insight import JobInsight, insight_of
from .reading import read_events
from .waiting import run
from .worker_queries import ask_inspection, ask_to_end

if TYPE_CHECKING:
    from .submitted import SubmittedJob

__all__ = ["JobLook", "end_host"]

_REPORTS = ("runner_on_failed", "runner_on_unreachable")
#: How long Ansible may take to report a host whose process is gone, and its event to come here, in seconds.
_REPORT_SECONDS = 30.0
_LOOK_SECONDS = 0.1


class JobLook:
    """Looks at one job as often as one likes; what was read once is not read again. Close it."""

    def __init__(self, job: SubmittedJob) -> None:
        self.history = JobHistory()
        self._job = job
        self._reader = StreamReader(archives=False)

    def __enter__(self) -> JobLook:
        return self

    def __exit__(self, *exc: object) -> None:
        self._reader.close()

    def look(self, flag: StopFlag | None = None) -> JobInsight:
        """The job as it is now.

        :raises UnreachableError: its node does not answer, and there are no artifacts.
        """
        record = self._job.refresh(flag)
        name, node = record.id, record.route.node
        if record.verdict is not None or not record.units:
            self._read_what_is_left(flag)
            return insight_of(name, record.state, node, self.history)
        question = _Question(self._job)
        try:
            self._read(flag)
        finally:
            seen, note = question.answer(flag)
        return insight_of(name, record.state, node, self.history, seen, note)

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


class _ReportedError(Exception):
    """The event that was waited for came."""


def end_host(job: SubmittedJob, host: str, flag: StopFlag | None = None) -> Ending:
    """:raises UsageError: the job does not run.
    :raises RefusedError: nothing was done, because it is not safe or nothing runs for the host.
    :raises ReceptorRunnerError: it cannot be shown that Ansible has given that host up.
    """
    record = job.refresh(flag)
    if record.verdict is not None or not record.units:
        raise UsageError(f"the job {record.id} is {record.state}, and runs for no host")
    ending = run(ask_to_end(record.address, record.route, run(job.handle.far_unit(), flag), host))
    if ending.refused:
        raise RefusedError(f"nothing was done: {ending.refused}")
    reported = _is_reported(job, host, ending.began, flag)
    if not (ending.gone and reported):
        what = "has not reported the host" if ending.gone else "still has its process for the host"
        left = f"; these processes could not be ended: {', '.join(ending.left)}" if ending.left else ""
        raise ReceptorRunnerError(f"the end of {host} cannot be shown: Ansible {what}{left}")
    return ending


def _is_reported(job: SubmittedJob, host: str, began: float, flag: StopFlag | None) -> bool:
    def take(event: JSONObject, raw: bytes) -> None:
        data = event.get("event_data")
        if event.get("event") in _REPORTS and isinstance(data, dict) and data.get("host") == host:
            created = moment(event.get("created"))
            if created is not None and created >= began:
                raise _ReportedError

    try:
        run(read_events(job.handle, take, follow=True, seconds=_REPORT_SECONDS), flag)
    except _ReportedError:
        return True
    except LostError:
        return False
    return False
