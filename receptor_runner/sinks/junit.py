"""The sink ``junit``: a test report in a file, when the job has ended.

Rules: the file is written aside and renamed, so a reader finds the old one or the new one."""

from __future__ import annotations

import os
from typing import Any

from ..errors import OutputError
from ..reports.junit import junit_xml
from ..results.history import CHANGED, OK, HostTask
from ..results.masked_events import EventMasker
from ..results.sinks import EventSink
from ..stream.messages import JSONObject
from ..system.files import replace_file
from .summary import Summary

__all__ = ["JUnitFile"]

#: What is kept until the end.
_MOST_RESULTS = 1_000_000


class JUnitFile(EventSink):
    """:param path: the file.
    :raises OutputError: it cannot be written there.
    """

    whole = True

    def __init__(self, path: str, job: str, masker: EventMasker) -> None:
        self._path = os.path.abspath(path)
        self._summary = Summary(job, masker)
        self._results: list[HostTask] = []
        directory = os.path.dirname(self._path)
        if not os.access(directory, os.W_OK | os.X_OK):
            why = "it may not be written" if os.path.isdir(directory) else "there is no such directory"
            raise OutputError(f"cannot write {path}: {directory}: {why}")

    def event(self, name: str, data: JSONObject, raw: bytes) -> bool:
        done = self._summary.event(data)
        if done is not None and len(self._results) < _MOST_RESULTS:
            if done.outcome in (OK, CHANGED):
                done.text = ""  # it would not be written
            self._results.append(done)
        return True

    def finished(self, result: Any) -> None:
        """:raises OSError: it cannot be written."""
        ended = self._summary.ended(result)
        replace_file(self._path, junit_xml(ended["job"], self._results, ended), mode=0o666)
