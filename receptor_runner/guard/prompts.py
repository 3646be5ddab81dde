"""Finds password prompts in a command's output.

Rules: no IO. Only the latest output is looked at, and only when output pauses, because a program that waits for an
answer prints nothing more. The earliest match wins, and the user's order decides between two at the same place. What
was matched is not looked at again."""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence

from ..limits import PROMPT_WINDOW

__all__ = ["Prompts"]


class Prompts:
    """``pairs`` of a regular expression and its answer; expressions are multi-line, as for ansible-runner."""

    def __init__(self, pairs: Sequence[tuple[str, str]]) -> None:
        self._pairs = [(re.compile(pattern, re.M), answer) for pattern, answer in pairs]
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._window = ""
        self._fresh = False

    def __bool__(self) -> bool:
        return bool(self._pairs)

    @property
    def waiting(self) -> bool:
        """Whether there is output that was not looked at yet."""
        return bool(self._pairs) and self._fresh

    def receive(self, text: bytes) -> None:
        self._window = (self._window + self._decode(text))[-PROMPT_WINDOW:]
        self._fresh = True

    def answer(self) -> str | None:
        """The answer to the earliest prompt since the last one answered."""
        if not self._fresh:
            return None
        self._fresh = False
        best: tuple[int, int, str] | None = None
        for pattern, answer in self._pairs:
            match = pattern.search(self._window)
            if match and (best is None or match.start() < best[0]):
                best = match.start(), match.end(), answer
        if best is None:
            return None
        self._window = self._window[best[1] :]
        self._fresh = best[1] > best[0] and bool(self._window)
        return best[2]
