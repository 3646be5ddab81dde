"""The verdict on a job that has ended, without following it: its results are read and not kept.

Rules: nothing is saved and no handler is called; a follower gets everything later. The judge is the same as for every
other reader."""

from __future__ import annotations

from ..errors import ReceptorRunnerError, UnreachableError
from ..limits import RESULTS_LAG_SECONDS
from ..receptor.work_unit import UnitStatus
from ..results.artifact_dir import event_file_name
from ..results.verdict import Evidence, Verdict, judge
from ..stream.messages import JobEvent, JSONObject, Status
from ..stream.reader import StreamReader
from .following.unit_end import unfinished
from .units import UnitHandle

__all__ = ["ended_unit_verdict"]


async def ended_unit_verdict(handle: UnitHandle, unit_status: UnitStatus) -> Verdict:
    """:raises UnreachableError: the results cannot be read, or not all of them.
    :raises CommandError: there are none to be had.
    """
    reader = StreamReader(archives=False)
    last: JSONObject = {}
    events = 0
    with await handle.connect() as connection:
        await connection.ask_for_results(handle.unit)
        while not reader.finished and reader.offset < unit_status.stdout_size:
            data = await connection.read(RESULTS_LAG_SECONDS)
            if not data:
                raise UnreachableError(f"the results of {handle.unit} stop at byte {reader.offset}, for now")
            try:
                for item in reader.feed(data):
                    if isinstance(item, JobEvent):
                        events += event_file_name(item.data.get("counter"), item.data.get("uuid")) is not None
                    elif isinstance(item, Status):
                        last = item.data
            except ReceptorRunnerError:
                break
    fault = None if reader.finished and last else unfinished(unit_status, 0)
    return judge(Evidence(last, reader.finished, events, fault=fault))
