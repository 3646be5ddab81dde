"""Event files: one file for each event in the artifact directory, as a sink, and read again.

Rules: an event that cannot be saved ends whoever delivers it, and not the job. A file that is no event is passed over:
a crash may have torn it, and a job may have written it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

from ..limits import DEFAULT_LIMITS
from ..stream.messages import JSONObject
from ..system.below import read_regular
from .artifact_dir import EVENTS, ArtifactDir
from .sinks import EventSink

__all__ = ["EventFiles", "saved_events"]


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
    """The events in the artifact directory ``directory``, by their counters, each with the content of its file."""
    top = os.path.join(directory, EVENTS)
    try:
        names = [name for name in os.listdir(top) if name.endswith(".json") and name.partition("-")[0].isdigit()]
    except OSError:
        return
    for name in sorted(names, key=lambda name: (int(name.partition("-")[0]), name)):
        try:
            raw = read_regular(os.path.join(top, name), DEFAULT_LIMITS.line)
            data = json.loads(raw)
        except (OSError, ValueError, RecursionError):
            continue
        if isinstance(data, dict):
            yield data, raw
