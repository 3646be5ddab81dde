"""How a job ended, in the few words that somebody wants who was not there.

Rules: no IO. Everything is masked, and bounded."""

from __future__ import annotations

from typing import Any

from ..results.history import FAILED, UNREACHABLE, HostTask, JobHistory
from ..results.masked_events import EventMasker
from ..stream.messages import JSONObject
from ..stream.status import SUCCESSFUL
from ..system.times import iso_time

__all__ = ["MOST_FAILURES", "Summary"]

#: How many failures are told.
MOST_FAILURES = 100


class Summary:
    """Feed it events.

    :param job: the name of the job; empty if it has none.
    """

    def __init__(self, job: str, masker: EventMasker) -> None:
        self.history = JobHistory()
        self._job = job
        self._masker = masker
        self._failures: list[HostTask] = []

    def event(self, data: JSONObject) -> HostTask | None:
        """What the event is the end of; nothing of it is kept unmasked."""
        done = self.history.take(self._masker.event(data))
        if done is not None and done.outcome in (FAILED, UNREACHABLE) and len(self._failures) < MOST_FAILURES:
            self._failures.append(done)
        return done

    def ended(self, result: Any) -> JSONObject:
        """:param result: a :class:`~receptor_runner.stages.process.Processor` whose job has ended."""
        history, verdict = self.history, result.verdict
        failures = [one for one in self._failures if one.outcome in (FAILED, UNREACHABLE)]
        state = verdict.state if verdict is not None else result.status
        explanation = verdict.explanation if verdict is not None else None
        if not explanation and not failures and state != SUCCESSFUL:
            explanation = history.prelude.strip()
        return {
            "job": self._job or str(getattr(result.config, "ident", None) or ""),
            "playbook": history.playbook,
            "state": state,
            "rc": verdict.rc if verdict is not None else None,
            "exit_code": verdict.exit_code if verdict is not None else None,
            "explanation": self._masker.text(explanation) if explanation else None,
            "started": iso_time(history.begun),
            "ended": iso_time(history.heard),
            "seconds": (history.heard or 0.0) - (history.begun or 0.0) if history.begun is not None else None,
            "hosts": history.totals(),
            "failed_hosts": sorted(history.failed_hosts()),
            "failures": [
                {
                    "host": one.host,
                    "task": one.task.name,
                    "path": one.task.path,
                    "outcome": one.outcome,
                    "text": one.text,
                }
                for one in failures
            ],
        }
