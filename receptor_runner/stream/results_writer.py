"""A worker's output: whole lines and archives, with keep-alives in the gaps.

Rules: everything passes through one object on one thread, so nothing is ever written into the middle of something
else. A keep-alive is due when nothing was written for its interval, also while an archive is packed."""

from __future__ import annotations

import time
from collections.abc import Iterable

from ..errors import OutputError
from .codec import END_OF_STREAM, KEEPALIVE, encode, encode_archive
from .endpoints import Output
from .messages import JSONObject

__all__ = ["ResultsWriter"]


class ResultsWriter:
    """Wraps the output of a worker. ``keepalive`` is an interval in seconds, None or 0 for none."""

    def __init__(self, output: Output, keepalive: float | None = None) -> None:
        self.output = output
        self._keepalive = keepalive or None
        self._last = time.monotonic()
        self._broken = False
        self._whole = True

    def wait_seconds(self) -> float | None:
        """Until the next keep-alive is due."""
        if self._keepalive is None:
            return None
        return max(0.0, self._last + self._keepalive - time.monotonic())

    def tick(self) -> None:
        """Writes a keep-alive if one is due."""
        if self.wait_seconds() == 0.0:
            self.lines(KEEPALIVE)

    def lines(self, data: bytes, *, whole: bool = True) -> None:
        """:param whole: whether something else may follow.
        :raises OutputError: the output cannot be written, or a write failed before: half a line may be out there.
        """
        if self._broken:
            raise OutputError("the output failed before")
        self._broken = True
        self.output.write(data)
        self._broken = False
        self._whole = whole
        self._last = time.monotonic()

    def send(self, data: JSONObject) -> None:
        """One line. If whoever wrote the line before was killed in the middle of it, that line is ended first."""
        self.lines(encode(data) if self._whole else b"\n" + encode(data))

    def archive(self, size: int, sha256: str, chunks: Iterable[bytes], warnings: tuple[str, ...] = ()) -> None:
        for piece in encode_archive(size, sha256, chunks, warnings):
            self.lines(piece)

    def end(self) -> None:
        self.lines(END_OF_STREAM)
