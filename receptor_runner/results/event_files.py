"""Event files: one file for each event in the artifact directory. A sink writes them, and they are read again.

Rules: an event that cannot be saved ends whoever delivers it, and not the job. A file that is no event is passed over:
a crash may have torn it, and a job may have written it."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import time
from collections.abc import Iterator, Sequence

from ..limits import DEFAULT_LIMITS
from ..stream.messages import JSONObject
from ..system.below import open_directory, open_file, read_whole
from ..system.signals import StopFlag
from .artifact_dir import EVENTS, ArtifactDir
from .sinks import EventSink, Sinks

__all__ = ["EventFiles", "saved_events", "tell_saved"]

#: So many events are told before the sinks are waited for, and all of that may take so long.
_AT_ONCE = 1000
_TELLING_SECONDS = 10.0
_NAME = re.compile(r"([1-9][0-9]{0,14})-[0-9A-Za-z_-]{1,64}\.json")


class EventFiles(EventSink):
    """Writes the events of one job into ``artifacts``.

    :param names: gets the name of each file, in order: an earlier run of the same ident may have left others.
    """

    essential = True

    def __init__(self, artifacts: ArtifactDir, names: list[str] | None = None) -> None:
        self._artifacts = artifacts
        self._names = names

    def event(self, name: str, data: JSONObject, raw: bytes) -> bool:
        """:raises OutputError: the file cannot be written."""
        self._artifacts.write_event(name, raw or json.dumps(data, default=str).encode())
        if self._names is not None:
            self._names.append(name)
        return True


def saved_events(directory: str) -> Iterator[tuple[JSONObject, bytes]]:
    """The events of the last run in the artifact directory ``directory``, by their counters, each with its line. No
    link below it is followed.
    """
    try:
        with contextlib.ExitStack() as opened:
            top = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            opened.callback(os.close, top)
            events = open_directory(top, [EVENTS])
            opened.callback(os.close, events)
            for name in _last_run(events):
                with contextlib.suppress(OSError, ValueError, RecursionError):
                    raw = read_whole(open_file(name, events), DEFAULT_LIMITS.line)
                    data = json.loads(raw)
                    if isinstance(data, dict):
                        yield data, raw
    except OSError:
        return


def tell_saved(directory: str, sinks: Sequence[EventSink], count: int, flag: StopFlag) -> None:
    """Tells ``sinks`` the first ``count`` events of the last run in ``directory``: earlier followers have handled them.
    Waits for the sinks meanwhile, for a bounded time.
    """
    if not sinks:
        return
    told, until = Sinks(sinks), time.monotonic() + _TELLING_SECONDS
    for number, (event, raw) in enumerate(itertools.islice(saved_events(directory), count), 1):
        told.event(event, raw)
        if not number % _AT_ONCE:
            for sink in sinks:
                sink.wait(max(0.0, until - time.monotonic()))
            if flag.raised:
                return


def _last_run(events: int) -> list[str]:
    """The names of its files, in order. A run begins with the first event: where there are several of them, what is
    older than the newest is of an earlier run."""
    found: list[tuple[int, int, str]] = []
    with os.scandir(events) as entries:
        for entry in entries:
            match = _NAME.fullmatch(entry.name)
            if match is not None:
                with contextlib.suppress(FileNotFoundError):
                    found.append((int(match[1]), entry.stat(follow_symlinks=False).st_mtime_ns, entry.name))
    first = min((counter for counter, _, _ in found), default=0)
    begins = [changed for counter, changed, _ in found if counter == first]
    begun = max(begins) if len(begins) > 1 else 0
    return [name for _, changed, name in sorted(found) if changed >= begun]
