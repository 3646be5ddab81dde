"""The statuses of a job, by the names that ansible-runner gives them, and the line that says ``error``.

Rules: no IO. What a status means for an exit status is said in ``results/verdict.py``."""

from __future__ import annotations

from dataclasses import replace

from .messages import EXTENSION, Extension, JSONObject

__all__ = [
    "CANCELED",
    "ERROR",
    "FAILED",
    "RC_STOPPED",
    "RUNNING",
    "STARTING",
    "SUCCESSFUL",
    "TIMEOUT",
    "UNSTARTED",
    "error_status",
    "status_from_rc",
]

UNSTARTED = "unstarted"
STARTING = "starting"
RUNNING = "running"
SUCCESSFUL = "successful"
FAILED = "failed"
CANCELED = "canceled"
TIMEOUT = "timeout"
ERROR = "error"

#: The ``rc`` artifact of a job that was cancelled or timed out, as ansible-runner writes it.
RC_STOPPED = 254


def status_from_rc(rc: int) -> str:
    return SUCCESSFUL if rc == 0 else FAILED


def error_status(
    explanation: str, traceback: str, code: int, ident: str | None = None, extension: Extension | None = None
) -> JSONObject:
    """An ``error`` status line. Controllers show ``result_traceback``, so it is never empty.

    :param extension: what goes with it beside ``code``.
    """
    data: JSONObject = {"status": ERROR}
    if ident is not None:
        data["runner_ident"] = ident
    data["job_explanation"] = explanation
    data["result_traceback"] = traceback or explanation
    data[EXTENSION] = replace(extension or Extension(), exit_status=code).to_json()
    return data
