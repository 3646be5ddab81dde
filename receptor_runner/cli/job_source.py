"""Where the events of a job are: at its node, or in its artifacts; and what is known of the job beside them.

Rules: nothing is saved, and who follows the job is not disturbed. What the node still has is read there."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from ..errors import InputError, LostError
from ..results.artifact_dir import EVENTS, RC, RC_BYTES, rc_of
from .output import complain

if TYPE_CHECKING:
    from ..mesh.submitted import SubmittedJob
    from ..reports.collect import ReportHead
    from ..stream.messages import JSONObject
    from ..system.signals import StopFlag

Take: TypeAlias = "Callable[[JSONObject, bytes], None]"

__all__ = ["is_directory", "known_job", "read_job", "report_head"]

_STATUS_BYTES = 32


def is_directory(job: str) -> bool:
    """Whether ``job`` names an artifact directory, and no submitted job."""
    return os.sep in job or os.path.isdir(os.path.join(job, EVENTS))


def read_job(job: str, take: Take, *, flag: StopFlag, follow: bool = False) -> SubmittedJob | None:
    """Hands every event of a submitted job, or of an artifact directory, to ``take``; the job, if it is one.

    :raises InputError: there is no such job, or no event.
    """
    if is_directory(job):
        _show_saved(job, take)
        return None
    submitted = known_job(job)
    if submitted.record.units and not submitted.record.released:
        try:
            submitted.read_events(take, follow=follow, flag=flag)
            return submitted
        except LostError as exc:
            complain(f"{exc}; its artifacts have what was saved")
    _show_saved(submitted.record.artifact_dir, take)
    return submitted


def known_job(name: str) -> SubmittedJob:
    """:raises InputError: there is none."""
    from ..mesh.client import Mesh
    from ..records.store import NoJobError

    try:
        return Mesh.job(name)
    except NoJobError as exc:
        exc.hint = f"receptor-runner jobs lists those there are; of a job of run, name DIR/artifacts/{name}"
        raise


def _show_saved(directory: str, take: Take) -> None:
    """:raises InputError: there are none."""
    from ..results.event_files import saved_events

    found = False
    for data, raw in saved_events(directory):
        found = True
        take(data, raw)
    if not found:
        raise InputError(f"there are no events of a job in {directory}")


def report_head(job: str, submitted: SubmittedJob | None) -> ReportHead:
    """What is known of the job beside its events."""
    from ..reports.collect import ReportHead

    if submitted is None:
        return _head_of(os.path.abspath(job), os.path.basename(os.path.abspath(job)))
    record = submitted.refresh()
    verdict = record.verdict
    explanation = record.explanation or ""
    goes_on = verdict is None
    return ReportHead(record.id, record.state, verdict.rc if verdict else None, explanation, record.where, goes_on)


def _head_of(directory: str, name: str) -> ReportHead:
    from ..reports.collect import ReportHead

    status = (_artifact(directory, "status", _STATUS_BYTES) or b"").decode("ascii", "replace").strip()
    return ReportHead(name, status, rc_of(_artifact(directory, RC, RC_BYTES)))


def _artifact(directory: str, name: str, limit: int) -> bytes | None:
    from ..system.below import open_file

    with contextlib.suppress(OSError), os.fdopen(open_file(os.path.join(directory, name), None), "rb") as file:
        return file.read(limit)
    return None
