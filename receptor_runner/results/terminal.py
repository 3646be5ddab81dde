"""The gate for the text of strangers on its way to a terminal: what a job, a worker, a node or a daemon said.

Rules: no IO. Whatever shows such text asks here. A job's own output keeps its colours (SGR) and loses every other
escape sequence. Everything else becomes one plain line."""

from __future__ import annotations

import re

__all__ = ["coloured", "one_line", "plain"]

#: CSI sequences, OSC/DCS/APC/PM/SOS strings, other two-byte escapes, C0/C1 controls other than tab and newline, and
#: halves of characters, which an encoder may turn into any byte.
_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[PX\]^_].*?(?:\x1b\\|\x07|$)|\x1b[ -/]*[0-~]"
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]",
    re.S,
)
_COLOUR = re.compile(r"\x1b\[[0-9;:]*m")


def coloured(text: str) -> str:
    """``text`` with colours and without anything else that a terminal obeys."""
    return _ESCAPES.sub(lambda match: match[0] if _COLOUR.fullmatch(match[0]) else "", text.replace("\r\n", "\n"))


def plain(text: str) -> str:
    """``text`` with its lines, and without anything that a terminal obeys."""
    return _ESCAPES.sub("", text.replace("\r\n", "\n"))


def one_line(text: str) -> str:
    """``text`` as one line, without anything that a terminal obeys."""
    return plain(" ".join(text.splitlines()))
