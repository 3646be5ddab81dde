"""Ends what a job does for one host, by asking the node that runs it.

Rules: it is done when Ansible itself counts the host as failed, or has said so before it ended. What cannot be shown is
an error."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import LostError, ReceptorRunnerError, RefusedError, UsageError
from ..inspection.answers import Ending
from ..results.event_files import saved_events
from ..results.history import FAILED, IGNORED, UNREACHABLE, JobHistory
from ..stream.messages import JSONObject
from ..system.signals import StopFlag
from .waiting import run
from .worker_queries import ask_to_end

if TYPE_CHECKING:
    from .submitted import SubmittedJob

__all__ = ["end_host"]


def end_host(job: SubmittedJob, host: str, flag: StopFlag | None = None) -> Ending:
    """:raises UsageError: the job does not run.
    :raises RefusedError: nothing was done, because it is not safe or nothing runs for the host.
    :raises ReceptorRunnerError: it cannot be shown that Ansible has given that host up.
    """
    record = job.refresh(flag)
    if record.verdict is not None:
        raise UsageError(f"the job {record.id} has ended ({record.state}), and runs for no host")
    if not record.units:
        raise RefusedError(f"nothing was done: the job {record.id} is {record.state}, and no node has it yet")
    ending = run(ask_to_end(record.address, record.route, run(job.handle.far_unit(), flag), host))
    if ending.refused:
        raise RefusedError(f"nothing was done: {ending.refused}")
    if not (ending.reported or (ending.over and ending.gone and _is_told(job, host, ending.began, flag))):
        what = "has not reported the host" if ending.gone else "still has its process for the host"
        left = f"; these processes could not be ended: {', '.join(ending.left)}" if ending.left else ""
        raise ReceptorRunnerError(f"the end of {host} cannot be shown: Ansible {what}{left}")
    return ending


def _is_told(job: SubmittedJob, host: str, began: float, flag: StopFlag | None) -> bool:
    """Whether the events of a job that is about to end say that ``host`` failed since.

    :param began: in seconds since the epoch, by the clock of the node.
    """
    history, told = JobHistory(), False

    def take(event: JSONObject, raw: bytes) -> None:
        nonlocal told
        done = history.take(event)
        if done is not None and done.host == host and done.outcome in (FAILED, UNREACHABLE, IGNORED):
            told = told or (done.ended or 0.0) >= began

    try:
        job.read_events(take, follow=True, flag=flag)
    except LostError:
        for event, raw in saved_events(job.record.artifact_dir):
            take(event, raw)
    return told
