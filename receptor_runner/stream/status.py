"""How a job ended, as data: status names, exit statuses, and the verdict that combines what is known.

Rules: no IO; the table in ``docs/exit-status.md`` is this file in words.
"""

from __future__ import annotations

from typing import Any

from .messages import EXTENSION, JSONObject

__all__ = [
    "CANCELED",
    "ERROR",
    "EXIT_LOST",
    "EXIT_TRUNCATED",
    "FAILED",
    "RC_STOPPED",
    "RUNNING",
    "STARTING",
    "SUCCESSFUL",
    "TIMEOUT",
    "UNSTARTED",
    "error_status",
    "exit_status",
    "job_state",
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

EXIT_LOST = 74
EXIT_TRUNCATED = 76
EXIT_TIMEOUT = 124
EXIT_CANCELED = 130
EXIT_INTERNAL = 70

#: Ansible's own exit statuses that are passed on; any other failure is 1.
_PASSED_ON = frozenset({*range(1, 9), 99, 250})


def status_from_rc(rc: int) -> str:
    return SUCCESSFUL if rc == 0 else FAILED


def exit_status(status: str, rc: int | None, told: Any = None) -> int:
    """The exit status of a command whose job ended with ``status``.

    :param rc: the job's own return code, if it is known.
    :param told: the exit status given with an ``error`` status.
    """
    if status == SUCCESSFUL:
        return 0
    if status == FAILED:
        return rc if rc is not None and rc in _PASSED_ON else 1
    if status == CANCELED:
        return EXIT_CANCELED
    if status == TIMEOUT:
        return EXIT_TIMEOUT
    if status == ERROR and type(told) is int and 0 < told < 256:
        return told
    if status in (UNSTARTED, STARTING, RUNNING):
        return EXIT_TRUNCATED
    return EXIT_INTERNAL


def job_state(status: str, code: int, *, whole: bool) -> str:
    """The state of a job over a mesh that ended with ``status`` and the exit status ``code``.

    :param whole: whether its stream came to its own end.
    """
    if code == EXIT_LOST:
        return "lost"
    return "truncated" if code == EXIT_TRUNCATED and not whole else status


def error_status(explanation: str, traceback: str, code: int, ident: str | None = None) -> JSONObject:
    """An ``error`` status line. Controllers show ``result_traceback``, so it is never empty."""
    data: JSONObject = {"status": ERROR}
    if ident is not None:
        data["runner_ident"] = ident
    data["job_explanation"] = explanation
    data["result_traceback"] = traceback or explanation
    data[EXTENSION] = {"exit_status": code}
    return data
