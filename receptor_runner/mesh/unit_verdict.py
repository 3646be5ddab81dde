"""The verdict of a job that has ended, without following it: its results are read and not kept.

Rules: nothing is saved and no handler is called; a follower gets everything later.
"""

from __future__ import annotations

from typing import NamedTuple

from ..errors import Interrupted, ReceptorRunnerError, UnreachableError
from ..limits import RESULTS_LAG_SECONDS
from ..receptor.work_unit import UnitStatus
from ..stream.codec import Decoder
from ..stream.messages import EXTENSION, JSONObject, Status
from ..stream.status import CANCELED, ERROR, exit_status, job_state
from .following.source import unfinished
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
    :raises CommandError: there are none to be had.
    :raises Interrupted: the flag of ``handle`` was raised.
    """
    last, whole = _last_status(handle, unit_status)
    if not whole or not last:
        exc = unfinished(unit_status, 0)
        status = CANCELED if isinstance(exc, Interrupted) else ERROR
        return Verdict(job_state(status, exc.exit_code, whole=False), status, exc.exit_code, str(exc))
    status = str(last.get("status"))
    extension = last.get(EXTENSION)
    told = extension.get("exit_status") if isinstance(extension, dict) else None
    code = told if type(told) is int and status == "failed" else exit_status(status, None, told)
    return Verdict(job_state(status, code, whole=True), status, code, last.get("job_explanation"))


def _last_status(handle: UnitHandle, unit_status: UnitStatus) -> tuple[JSONObject, bool]:
    """The last status of the stream, and whether its end mark came; all bytes of the unit were read, if not."""
    decoder = Decoder()
    last: JSONObject = {}
    with handle.connect() as connection:
        connection.ask_for_results(handle.unit)
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
