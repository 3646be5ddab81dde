"""The verdict of a job that has ended, without following it: its results are read and not kept.

Rules: nothing is saved and no handler is called; a follower gets everything later.
"""

from __future__ import annotations

from typing import NamedTuple

from ..control import command_line
from ..errors import LostError, ReceptorRunnerError, UnreachableError
from ..limits import RESULTS_LAG_SECONDS
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
    """:raises UnreachableError: the results cannot be read, or not all of them.
    :raises Interrupted: the flag of ``handle`` was raised.
    """
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
    """The last status of the stream, and whether its end mark came; all bytes of the unit were read, if not."""
    decoder = Decoder()
    last: JSONObject = {}
    with handle.connect() as connection:
        connection.send(command_line(command="work", subcommand="results", unitid=handle.unit, startpos=0))
        line = connection.readline()
        if not line.startswith(b"Streaming results"):
            raise UnreachableError(f"the results of {handle.unit} cannot be read: {line[:200]!r}")
        while not decoder.finished and decoder.offset < unit_status.stdout_size:
            data = connection.read(RESULTS_LAG_SECONDS)
            if not data:
                handle.check_flag()
                raise UnreachableError(f"the results of {handle.unit} stop at byte {decoder.offset}, for now")
            try:
                messages = decoder.receive(data)
            except ReceptorRunnerError:
                break
            for message in messages:
                if isinstance(message, Status):
                    last = message.data
    return last, decoder.finished
