"""The guard's two pipes to its stage: orders in, reports out.

Rules: neither end ever blocks the guard. Output that the stage does not take yet is held, and
:attr:`Channel.congested` says when to make no more. When the stage is gone, what is written goes nowhere."""

from __future__ import annotations

import os
from collections import deque

from ..limits import BLOCK
from .protocol import Answer, Order, decode_order, encode_lines, encode_report

__all__ = ["Channel"]

_CONGESTED = 1024 * 1024


class Channel:
    """The guard's end: descriptor ``orders`` to read, ``output`` to write."""

    def __init__(self, orders: int, output: int) -> None:
        self.orders = orders
        self.output = output
        self.closed = False
        os.set_blocking(orders, False)
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

    def receive(self) -> list[Order]:
        """The orders that have arrived; sets :attr:`closed` at the end of them."""
        try:
            while data := os.read(self.orders, BLOCK):
                self._received += data
            self.closed = True
        except BlockingIOError:
            pass
        *lines, self._received = self._received.split(b"\n")
        return [order for order in map(decode_order, lines) if order is not None]

    def report(self, report: Answer) -> None:
        self._send(encode_report(report))

    def send_lines(self, lines: bytes) -> None:
        """Whole lines, in pieces of a block; only the last piece ends where something else may follow."""
        view = memoryview(lines)
        while len(view) > BLOCK:
            self._send(encode_lines(view[:BLOCK], whole=False))
            view = view[BLOCK:]
        self._send(encode_lines(view, whole=True))

    def _send(self, frame: bytes) -> None:
        if self.closed:
            return
        self._pending.append(memoryview(frame))
        self._pending_size += len(frame)
        self.flush()

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
