"""The guard's two pipes to its stage: commands in, frames out.

Rules: neither end ever blocks the guard. Output that the stage does not take yet is held, and
:attr:`Channel.congested` says when to stop making more. When the stage is gone, what is written goes nowhere."""

from __future__ import annotations

import json
import os
import struct
from collections import deque
from typing import Any

from ..limits import BLOCK

__all__ = ["HEADER", "Channel", "frame"]

#: Kind and length of a frame.
HEADER = struct.Struct(">cI")

_CONGESTED = 1024 * 1024


def frame(kind: bytes, content: bytes | memoryview) -> bytes:
    return HEADER.pack(kind, len(content)) + content


class Channel:
    """The guard's end: descriptor 0 for commands, ``output`` for frames."""

    def __init__(self, commands: int, output: int) -> None:
        self.commands = commands
        self.output = output
        self.closed = False
        os.set_blocking(commands, False)
        os.set_blocking(output, False)
        self._received = b""
        self._pending: deque[memoryview] = deque()
        self._pending_size = 0

    @property
    def congested(self) -> bool:
        return self._pending_size > _CONGESTED and not self.closed

    @property
    def pending(self) -> bool:
        return bool(self._pending)

    def receive(self) -> list[dict[str, Any]]:
        """Commands that have arrived; sets :attr:`closed` at the end of them."""
        try:
            while data := os.read(self.commands, BLOCK):
                self._received += data
            self.closed = True
        except BlockingIOError:
            pass
        *lines, self._received = self._received.split(b"\n")
        return [json.loads(line) for line in lines]

    def send(self, kind: bytes, content: bytes | memoryview) -> None:
        if self.closed:
            return
        self._pending.append(memoryview(frame(kind, content)))
        self._pending_size += len(self._pending[-1])
        self.flush()

    def send_lines(self, lines: bytes) -> None:
        """Whole lines, in pieces of a block; only the last piece ends where something else may follow."""
        view = memoryview(lines)
        while len(view) > BLOCK:
            self.send(b"w", view[:BLOCK])
            view = view[BLOCK:]
        self.send(b"W", view)

    def flush(self) -> None:
        """Writes what the stage takes."""
        try:
            while self._pending:
                written = os.write(self.output, self._pending[0])
                self._pending_size -= written
                if written == len(self._pending[0]):
                    self._pending.popleft()
                else:
                    self._pending[0] = self._pending[0][written:]
        except BlockingIOError:
            pass
        except OSError:
            self._pending.clear()
            self._pending_size = 0
            self.closed = True
