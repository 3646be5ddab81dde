"""The events of a job as its node has them, read without following the job.

Rules: nothing is saved, no handler is called, and whoever follows the job is not disturbed. Every read has a deadline;
when it is over, the node is asked whether the job still runs."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

from ..errors import ArchiveError, ProtocolError, TruncatedStreamError, UnreachableError
from ..limits import RESULTS_LAG_SECONDS
from ..stream.messages import JobEvent, JSONObject, Status
from ..stream.reader import StreamReader
from ..stream.status import RUNNING, STARTING
from .units import UnitHandle

__all__ = ["read_events"]

#: After so long a silence the node is asked how the job is.
_LOOK_SECONDS = 5.0


async def read_events(
    handle: UnitHandle,
    take: Callable[[JSONObject, bytes], None],
    *,
    follow: bool,
    reader: StreamReader,
) -> None:
    """Hands out every event that is there, in order.

    :param follow: go on with those that come, until the job ends.
    :param reader: goes on where it stopped, and is the caller's to close. It takes no archives.
    :raises UnreachableError: the results cannot be read, or not all of them.
    :raises CommandError: there are none to be had.
    """
    size = (await handle.status()).stdout_size
    with contextlib.ExitStack() as opened:
        connection = opened.enter_context(await handle.connect())
        await connection.ask_for_results(handle.unit, reader.offset)
        heard = time.monotonic()
        while not reader.finished and (follow or reader.offset < size):
            data = await connection.read(_LOOK_SECONDS)
            if data:
                heard = time.monotonic()
                if not _taken(reader, data, take):
                    return
                continue
            status = await handle.status()
            if reader.offset >= status.stdout_size and status.ended:
                return
            late = time.monotonic() - heard > RESULTS_LAG_SECONDS and (not follow or reader.offset < status.stdout_size)
            if data == b"" or late:
                raise UnreachableError(f"the results of {handle.unit} stop at byte {reader.offset}, for now")


def _taken(reader: StreamReader, data: bytes, take: Callable[[JSONObject, bytes], None]) -> bool:
    """False if no more events will come."""
    try:
        for item in reader.feed(data):
            if isinstance(item, JobEvent):
                take(item.data, item.raw)
            elif isinstance(item, Status) and item.data.get("status") not in (STARTING, RUNNING):
                return False
    except (ProtocolError, ArchiveError, TruncatedStreamError):
        return False
    return True
