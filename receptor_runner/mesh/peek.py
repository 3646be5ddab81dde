"""The verdict of a job that has ended, without following it: its results are read and not kept.

Rules: nothing is saved and no handler is called; a follower gets everything later.
"""

from __future__ import annotations

from typing import NamedTuple

from ..control import command_line
from ..errors import LostError, ReceptorRunnerError
from ..limits import SLOW_CONTROL_SECONDS
from ..messages import EXTENSION, JSONObject, Status
from ..protocol import Decoder
from ..status import EXIT_LOST, EXIT_TRUNCATED, exit_status
from ..workunit import UnitStatus
from .follow import LOST_DETAILS, unfinished
from .units import UnitHandle

__all__ = ["Verdict", "peek"]


class Verdict(NamedTuple):
    """How a job ended; ``state`` as in a job's record."""

    state: str
    status: str
    exit_code: int
    explanation: str | None


def peek(handle: UnitHandle, unit_status: UnitStatus) -> Verdict:
    """:raises UnreachableError: the results cannot be read."""
    last, whole = _last_status(handle, unit_status)
    if not whole or not last:
        exc: ReceptorRunnerError = unfinished(unit_status, 0)
        if unit_status.detail.startswith(LOST_DETAILS):
            exc = LostError(unit_status.detail)
        state = {130: "canceled", EXIT_LOST: "lost", EXIT_TRUNCATED: "truncated"}.get(exc.exit_code, "error")
        return Verdict(state, "canceled" if state == "canceled" else "error", exc.exit_code, str(exc))
    status = str(last.get("status"))
    extension = last.get(EXTENSION)
    told = extension.get("exit_status") if isinstance(extension, dict) else None
    code = told if type(told) is int and status == "failed" else exit_status(status, None, told)
    state = {EXIT_LOST: "lost"}.get(code, status)
    return Verdict(state, status, code, last.get("job_explanation"))


def _last_status(handle: UnitHandle, unit_status: UnitStatus) -> tuple[JSONObject, bool]:
    decoder = Decoder()
    last: JSONObject = {}
    with handle.connect() as connection:
        connection.send(command_line(command="work", subcommand="results", unitid=handle.unit, startpos=0))
        connection.readline()
        while not decoder.finished and decoder.offset < unit_status.stdout_size:
            data = connection.read(SLOW_CONTROL_SECONDS)
            if not data:
                break
            try:
                for message in decoder.receive(data):
                    if isinstance(message, Status):
                        last = message.data
            except ReceptorRunnerError:
                break
    return last, decoder.finished
