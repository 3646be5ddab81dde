"""Signals that can be polled: a flag with a file descriptor.

Rules: a handler only raises the flag; nothing here ends a process. Outside of the main thread no handler is installed,
and a flag can still be raised by hand. A command whose work is done ignores signals until it ends: nothing undoes its
work, so its exit status must not say that something did."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

from ..errors import Interrupted
from .timeouts import milliseconds

__all__ = ["StopFlag", "check", "ignore_signals", "pause", "remember_interrupts", "stop_on_signals"]

#: The interrupts that came before anybody heeded signals.
_early: list[int] = []


class StopFlag:
    """A flag that a signal raises, or :meth:`raise_`. From then on its descriptor polls as readable."""

    def __init__(self) -> None:
        self._read_end, self._write_end = os.pipe()
        os.set_blocking(self._write_end, False)
        #: Signal numbers in the order of arrival; 0 stands for :meth:`raise_`.
        self.reasons: list[int] = []

    def fileno(self) -> int:
        return self._read_end

    @property
    def raised(self) -> bool:
        return bool(self.reasons)

    def raise_(self, reason: int = 0) -> None:
        self.reasons.append(reason)
        with contextlib.suppress(OSError):
            os.write(self._write_end, b"!")

    def acknowledge(self) -> None:
        """Makes the descriptor quiet until the next reason arrives; :attr:`raised` stays."""
        os.set_blocking(self._read_end, False)
        with contextlib.suppress(OSError):
            while os.read(self._read_end, 64):
                pass

    def wait(self, seconds: float) -> bool:
        """Whether a reason that was not acknowledged arrives within ``seconds``, or is there."""
        poll = select.poll()
        poll.register(self._read_end, select.POLLIN)
        return bool(poll.poll(milliseconds(seconds)))

    def close(self) -> None:
        os.close(self._read_end)
        os.close(self._write_end)

    def __enter__(self) -> StopFlag:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


@contextlib.contextmanager
def stop_on_signals(*numbers: signal.Signals) -> Iterator[StopFlag]:
    """A flag that the given signals (default: SIGINT and SIGTERM) raise while the context lasts. A handler that was
    replaced meanwhile stays. What :func:`remember_interrupts` remembers raises it at once."""
    with StopFlag() as flag:
        for number in _early:
            flag.raise_(number)
        if threading.current_thread() is not threading.main_thread():
            yield flag
            return

        def handle(number: int, frame: FrameType | None) -> None:
            flag.raise_(number)

        wanted = [n for n in numbers or (signal.SIGINT, signal.SIGTERM) if not _hangup_ignored(n)]
        previous = {number: signal.signal(number, handle) for number in wanted}
        try:
            yield flag
        finally:
            for number, handler in previous.items():
                if signal.getsignal(number) is handle:
                    signal.signal(number, handler)


def remember_interrupts() -> None:
    """Makes an interrupt a ``KeyboardInterrupt`` that is also remembered, because Python loses it in the callbacks of
    an import.
    """

    def handle(number: int, frame: FrameType | None) -> None:
        _early.append(number)
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, handle)


def ignore_signals() -> None:
    """From here on no signal that asks this process to stop changes how it ends."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def _hangup_ignored(number: signal.Signals) -> bool:
    """Whether ``nohup`` started this process."""
    return number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN


def check(flag: StopFlag | None) -> None:
    """:raises Interrupted: ``flag`` was raised."""
    if flag is not None and flag.raised:
        raise Interrupted("interrupted")


def pause(flag: StopFlag | None, seconds: float) -> None:
    """:raises Interrupted: ``flag`` was raised, now or meanwhile."""
    if flag is None:
        time.sleep(seconds)
    elif flag.wait(seconds):
        raise Interrupted("interrupted")
