"""Event files as a sink: one file for each event in the artifact directory.

Rules: an event that cannot be saved ends whoever delivers it, and not the job."""

from __future__ import annotations

import json

from ..stream.messages import JSONObject
from .artifact_dir import ArtifactDir
from .sinks import EventSink

__all__ = ["EventFiles"]


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
