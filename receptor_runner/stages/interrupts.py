"""What signals and cancel callbacks do to a job whose results are being read.

Rules: no IO. A policy is told what arrived and when, and answers with a :class:`Reaction`. One policy is for a pipe:
nobody can cancel the job from here. The other is for a mesh: a cancel can be sent, and the job outlives its reader."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from ..errors import DetachedError, Interrupted, ReceptorRunnerError
from ..limits import LINGER_SECONDS, MESH_LINGER_SECONDS

__all__ = ["Interrupts", "MeshInterrupts", "PipeInterrupts", "Reaction"]


class Reaction(NamedTuple):
    """What to do: send a cancel, and end with ``error``, in this order; each may be missing."""

    cancel: bool = False
    error: ReceptorRunnerError | None = None


_NOTHING = Reaction()


class Interrupts(Protocol):
    """``give_up_at`` is the time by which the stream must have ended, None as long as nobody asked it to end. Times are
    those of one clock, in seconds.
    """

    give_up_at: float | None

    def signalled(self, signals: Sequence[int], now: float, *, begun: bool) -> Reaction:
        """These signals have arrived so far, at least one. ``begun``: whether a byte of the stream has come."""

    def cancelled(self, now: float) -> Reaction:
        """The cancel callback said so."""

    def expired(self, now: float) -> Reaction:
        """The time that the stream had to end may be over."""


class PipeInterrupts:
    """The worker at the other end of the pipe got the same Ctrl-C: after the first one its last words are awaited for
    ``linger`` seconds. Anything else ends the stage.
    """

    def __init__(self, linger: float = LINGER_SECONDS) -> None:
        self.give_up_at: float | None = None
        self._linger = linger

    def signalled(self, signals: Sequence[int], now: float, *, begun: bool) -> Reaction:
        if len(signals) > 1 or not begun or signal.SIGTERM in signals:
            return Reaction(error=Interrupted("interrupted; the job may go on where it runs"))
        self.give_up_at = self.give_up_at or now + self._linger
        return _NOTHING

    def cancelled(self, now: float) -> Reaction:
        return Reaction(error=Interrupted("cancelled by the cancel callback"))

    def expired(self, now: float) -> Reaction:
        if self.give_up_at is None or now < self.give_up_at:
            return _NOTHING
        return Reaction(error=Interrupted(_not_ended(self._linger)))


class MeshInterrupts:
    """The first signal cancels the job, and its end is awaited for ``linger`` seconds. The second one, and SIGHUP,
    leave the job to itself."""

    def __init__(self, linger: float = MESH_LINGER_SECONDS) -> None:
        self.give_up_at: float | None = None
        self._linger = linger

    def signalled(self, signals: Sequence[int], now: float, *, begun: bool) -> Reaction:
        if signal.SIGHUP in signals:
            return Reaction(error=DetachedError("detached"))
        reaction = self.cancelled(now)
        if len(signals) > 1:
            error = DetachedError("no longer waiting for the job to end; it may go on", Interrupted.exit_code)
            return reaction._replace(error=error)
        return reaction

    def cancelled(self, now: float) -> Reaction:
        if self.give_up_at is not None:
            return _NOTHING
        self.give_up_at = now + self._linger
        return Reaction(cancel=True)

    def expired(self, now: float) -> Reaction:
        if self.give_up_at is None or now < self.give_up_at:
            return _NOTHING
        text = f"{_not_ended(self._linger)}; the cancel cannot be shown to have worked"
        return Reaction(error=DetachedError(text, ReceptorRunnerError.exit_code))


def _not_ended(linger: float) -> str:
    return f"the stream did not end within {linger:.0f} s of the interrupt"
