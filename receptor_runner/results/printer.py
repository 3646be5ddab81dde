"""Printers: sinks that show a job's output on standard output.

Rules: a terminal gets colours (SGR) and no other escape sequence, because the text comes from strangers. A file or a
pipe gets plain text, or the text as it is if colours are asked for. If the reader goes away, the printing ends and
nothing else does."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from typing import IO

from ..stream.messages import JSONObject
from .sinks import EventSink
from .terminal import coloured, plain

__all__ = ["JSONPrinter", "JobPrinter", "TextPrinter"]


class JobPrinter(EventSink):
    """What the two printers share.

    :param file: a binary stream, buffered.
    :param terminal: whether it is a terminal.
    """

    def __init__(self, file: IO[bytes], *, terminal: bool) -> None:
        self._file = file
        self._terminal = terminal
        self._closed = False
        #: Why nothing more is printed, unless the reader has gone.
        self.error: str | None = None

    @property
    def closed(self) -> bool:
        """Whether nothing more can be printed."""
        return self._closed

    def write(self, data: bytes) -> None:
        self._guarded(self._file.write, data)

    def flush(self) -> None:
        self._guarded(self._file.flush)

    def _guarded(self, action: Callable[..., object], *arguments: bytes) -> None:
        if self._closed:
            return
        try:
            action(*arguments)
        except (OSError, ValueError) as exc:
            self._closed = True
            if getattr(exc, "errno", None) != errno.EPIPE:
                self.error = getattr(exc, "strerror", None) or str(exc)


class TextPrinter(JobPrinter):
    """Prints the output of the job, as Ansible showed it.

    :param colour: whether it keeps its colours; default: on a terminal.
    """

    def __init__(self, file: IO[bytes], *, terminal: bool, colour: bool | None = None) -> None:
        super().__init__(file, terminal=terminal)
        self._colour = terminal if colour is None else colour

    def event(self, name: str, data: JSONObject, raw: bytes) -> bool:
        text = data.get("stdout")
        if text and type(text) is str:
            if self._terminal:
                text = coloured(text) if self._colour else plain(text)
            elif not self._colour and ("\x1b" in text or "\r" in text):
                text = plain(text)
            self.write(text.encode("utf-8", "backslashreplace") + b"\n")
        return True


class JSONPrinter(JobPrinter):
    """Prints the events, one JSON object a line: as they came, or in plain ASCII for a terminal."""

    def event(self, name: str, data: JSONObject, raw: bytes) -> bool:
        self.write((json.dumps(data).encode() if self._terminal else raw) + b"\n")
        return True
