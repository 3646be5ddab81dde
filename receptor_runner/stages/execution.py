"""Runs one command and relays its lines: the same for a worker and for a local run.

Rules: the guard runs the command, and this waits for what it reports. What a stage does with lines and signals is its
:class:`Relay`. The artifacts ``command``, ``status`` and ``rc`` are written here and nowhere else."""

from __future__ import annotations

import select
from collections.abc import Collection, Iterable
from typing import Protocol

from ..guard.client import CommandResult, Guard, GuardHangsError
from ..guard.protocol import Lines
from ..preparation.fact_cache import kept_facts
from ..preparation.run_spec import MaskedCommand, RunSpec
from ..results.artifact_dir import RC, ArtifactDir
from ..stream.status import CANCELED, RC_STOPPED
from ..system.timeouts import milliseconds

__all__ = ["Relay", "execute"]


class Relay(Protocol):
    """What a stage does while its command runs."""

    def announce(self, spec: RunSpec, masked: MaskedCommand) -> None:
        """The command is about to start; ``masked`` is what may be told about it."""

    def lines(self, lines: Lines) -> None:
        """Event lines, encoded."""

    def should_stop(self) -> bool:
        """Whether the command is to be stopped. Asked after each wait."""

    def hurried(self) -> bool:
        """Asked between two steps of what is done before and after the command: whether there is no time for more."""

    def waits(self) -> Iterable[float | None]:
        """Seconds after which :meth:`should_stop` is to be asked at the latest; None for no limit."""

    def watched(self) -> Iterable[tuple[int, int]]:
        """Descriptors whose poll events end a wait."""

    def woke(self, ready: Collection[int]) -> None:
        """A wait has ended; ``ready`` are the descriptors with events. May raise."""


def execute(guard: Guard, spec: RunSpec, artifacts: ArtifactDir, relay: Relay) -> CommandResult:
    """Runs ``spec`` to its end. The caller checks whether the end can be believed: :meth:`CommandResult.check`.

    :raises ReceptorRunnerError: the command could not be run.
    """
    masked = spec.masked()
    artifacts.write_json("command", masked)
    relay.announce(spec, masked)
    with kept_facts(spec.fact_cache, spec.core, artifacts.open_below, artifacts.write_json, relay.hurried):
        guard.run(spec)
        result = _relayed(guard, relay)
    artifacts.write("status", result.status.encode())
    artifacts.write(RC, str(result.rc).encode())
    return result


def _relayed(guard: Guard, relay: Relay) -> CommandResult:
    """Hands on what the guard reports until it reports the end."""
    poll = select.poll()
    poll.register(guard.fileno(), select.POLLIN)
    for fd, events in relay.watched():
        poll.register(fd, events)
    stopping = False
    sent = 0
    while True:
        ready = {fd for fd, _ in poll.poll(milliseconds(guard.wait_seconds(), *relay.waits()))}
        relay.woke(ready)
        if not stopping and relay.should_stop():
            stopping = True
            guard.cancel()
        for report in guard.reports() if guard.fileno() in ready else ():
            if isinstance(report, CommandResult):
                return report
            sent += report.data.count(b"\n")
            relay.lines(report)
        try:
            guard.check()
        except GuardHangsError as exc:
            if not exc.stopping:
                raise
            return CommandResult(RC_STOPPED, CANCELED, sent, None, None, None)
