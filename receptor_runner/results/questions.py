"""Whether a job asks something: by the last line of its output.

Rules: no IO. An event that has as many line breaks inside as it has lines ends in the middle of a line. A prompt ends
there, but for that of the module ``pause``."""

from __future__ import annotations

import re
from typing import NamedTuple

from ..stream.messages import JSONObject
from .terminal import one_line

__all__ = ["LastLine", "last_line"]

_QUESTION = re.compile(r"(?:[:?>\]]|\([^()]*\))\s*$")
_LONGEST = 500


class LastLine(NamedTuple):
    """The last line of an event. ``open`` says that it has no end."""

    text: str
    open: bool

    @property
    def question(self) -> str:
        """What of it looks like a question that waits."""
        return self.text if self.open and _QUESTION.search(self.text) else ""


def last_line(event: JSONObject) -> LastLine:
    text, start, end = event.get("stdout"), event.get("start_line"), event.get("end_line")
    if not isinstance(text, str) or not isinstance(start, int) or not isinstance(end, int):
        return LastLine("", open=False)
    last = one_line(text.rpartition("\n")[2]).strip()[-_LONGEST:]
    return LastLine(last, end - start == text.count("\n"))
