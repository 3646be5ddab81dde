"""The verdict on a job that has ended, without following it: its results are read and not kept.

Rules: nothing is saved and no handler is called; a follower gets everything later. The judge is the same as for every
other reader."""

from __future__ import annotations

import time

from ..errors import ArchiveError, ProtocolError, RefusedError, TruncatedStreamError, UnreachableError
from ..limits import RESULTS_LAG_SECONDS
from ..receptor.work_unit import UnitStatus
from ..results.artifact_dir import RC, RC_BYTES, event_file_name, rc_of
from ..results.verdict import Evidence, Verdict, judge
from ..stream.archive_receiver import ArchiveReceiver
from ..stream.messages import JobEvent, JSONObject, Status
from ..stream.reader import SealedAwayError, StreamReader
from .following.unit_end import unfinished
from .units import UnitHandle

__all__ = ["ended_unit_verdict"]


async def ended_unit_verdict(
    handle: UnitHandle, unit_status: UnitStatus, seconds: float, reader: StreamReader
) -> Verdict:
    """:param seconds: how long the results may take.
    :param reader: reads them from their beginning, without archives.
    :raises UnreachableError: the results cannot be read, or not all of them.
    :raises LimitError: they are larger than a stream is by default.
    :raises CommandError: there are none to be had.
    :raises SealedAwayError: they are sealed, and the key is not here.
    """
    until = time.monotonic() + seconds
    last: JSONObject = {}
    events = highest = 0
    rc: int | None = None
    refused: RefusedError | None = None
    with await handle.connect() as connection:
        await connection.ask_for_results(handle.unit)
        while not reader.finished and reader.offset < unit_status.stdout_size:
            data = await connection.read(min(RESULTS_LAG_SECONDS, until - time.monotonic()))
            if not data or time.monotonic() > until:
                raise UnreachableError(f"the results of {handle.unit} stop at byte {reader.offset}, for now")
            try:
                for item in reader.feed(data):
                    if isinstance(item, JobEvent):
                        counter = item.data.get("counter")
                        if isinstance(counter, int) and event_file_name(counter, item.data.get("uuid")) is not None:
                            events, highest = events + 1, max(highest, counter)
                    elif isinstance(item, Status):
                        last = item.data
                        reader.archives = True
                    elif isinstance(item, ArchiveReceiver):
                        rc = rc_of(item.member(RC, RC_BYTES))
            except (ProtocolError, ArchiveError, TruncatedStreamError, RefusedError) as exc:
                refused = _refused(exc)
                break  # the stream is what it is; anything else is a fault or a limit of ours
    refused = refused or reader.doubt(last.get("job_explanation"))
    fault = refused or (None if reader.finished and last else unfinished(unit_status, 0))
    return judge(Evidence(last, reader.finished, events, highest, rc, fault))


def _refused(exc: Exception) -> RefusedError | None:
    """:raises SealedAwayError: it is one."""
    if isinstance(exc, SealedAwayError):
        raise exc
    return exc if isinstance(exc, RefusedError) else None
