"""The sink ``jsonl``: every event as a line of JSON, at the end of a file, and the last status as the last line.

Rules: a line is whole or not there: what a full disk has cut is taken back. A file that is there is added to."""

from __future__ import annotations

import contextlib
import json
import os
import stat

from ..errors import OutputError
from ..results.masked_events import EventMasker
from ..results.sinks import EventSink
from ..stream.messages import JSONObject

__all__ = ["JSONLines"]

_BLOCK = 64 * 1024


class JSONLines(EventSink):
    """:param path: the file.
    :raises OutputError: it cannot be written.
    """

    def __init__(self, path: str, masker: EventMasker) -> None:
        self._masker = masker
        self._lines: list[bytes] = []
        self._size = 0
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK
            self._fd = os.open(path, flags, 0o600)
            if not stat.S_ISFIFO(os.fstat(self._fd).st_mode):
                os.set_blocking(self._fd, True)
        except OSError as exc:
            raise OutputError(f"cannot write {path}: {exc.strerror}") from exc

    def event(self, name: str, data: JSONObject, raw: bytes) -> bool:
        self._add(self._masker.event(data))
        if self._size > _BLOCK:
            self.flush()
        return True

    def status(self, data: JSONObject) -> None:
        self._add({name: data[name] for name in ("status", "runner_ident", "job_explanation") if name in data})

    def flush(self) -> None:
        """:raises OSError: they cannot be written, and none of them is half there."""
        lines, self._lines, self._size = b"".join(self._lines), [], 0
        view = memoryview(lines)
        try:
            while view:
                view = view[os.write(self._fd, view) :]
        except OSError:
            whole = lines[: len(lines) - len(view)].rpartition(b"\n")[0]
            self.lost = lines.count(b"\n") - (whole.count(b"\n") + 1 if whole else 0)
            torn = len(lines) - len(view) - (len(whole) + 1 if whole else 0)
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, os.fstat(self._fd).st_size - torn)
            raise

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.flush()
        os.close(self._fd)

    def _add(self, data: JSONObject) -> None:
        line = json.dumps(data, default=str).encode() + b"\n"
        self._lines.append(line)
        self._size += len(line)
