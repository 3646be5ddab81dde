"""Shows a job's output to whoever reads standard output.

Rules: a terminal gets colours (SGR) and no other escape sequence, since the text comes from strangers; a file or pipe
gets the text as it is. A reader who goes away ends the printing and nothing else."""

from __future__ import annotations

import json
import re
from typing import Any, Protocol

from ..stream.messages import JSONObject

__all__ = ["JSONPrinter", "Printer", "TextPrinter", "safe_for_terminal"]

#: CSI sequences, OSC/DCS/APC/PM/SOS strings, other two-byte escapes, and C0/C1 controls other than tab and newline.
_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[PX\]^_].*?(?:\x1b\\|\x07|$)|\x1b[ -/]*[0-~]|[\x00-\x08\x0b-\x1f\x7f-\x9f]", re.S
)
_COLOUR = re.compile(r"\x1b\[[0-9;:]*m")


def safe_for_terminal(text: str) -> str:
    """``text`` with colours and without anything else that a terminal obeys."""
    return _ESCAPES.sub(lambda match: match[0] if _COLOUR.fullmatch(match[0]) else "", text.replace("\r\n", "\n"))


class Printer(Protocol):
    def event(self, data: JSONObject, raw: bytes) -> None: ...

    def flush(self) -> None: ...


class _FilePrinter:
    """``file`` is a binary stream, buffered."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self.closed = False

    def write(self, data: bytes) -> None:
        self._guarded(self._file.write, data)

    def flush(self) -> None:
        self._guarded(self._file.flush)

    def _guarded(self, action: Any, *arguments: Any) -> None:
        if self.closed:
            return
        try:
            action(*arguments)
        except (OSError, ValueError):
            self.closed = True


class TextPrinter(_FilePrinter):
    """The output of the job, as Ansible showed it."""

    def __init__(self, file: Any, *, terminal: bool) -> None:
        super().__init__(file)
        self._terminal = terminal

    def event(self, data: JSONObject, raw: bytes) -> None:
        text = data.get("stdout")
        if not text or type(text) is not str:
            return
        if self._terminal:
            text = safe_for_terminal(text)
        self.write(text.encode("utf-8", "backslashreplace") + b"\n")


class JSONPrinter(_FilePrinter):
    """The events, one JSON object a line: as they came, or in plain ASCII for a terminal."""

    def __init__(self, file: Any, *, terminal: bool) -> None:
        super().__init__(file)
        self._terminal = terminal

    def event(self, data: JSONObject, raw: bytes) -> None:
        self.write((json.dumps(data).encode() if self._terminal else raw) + b"\n")
