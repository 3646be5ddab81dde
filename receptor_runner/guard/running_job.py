"""What a running command consists of, and how it is signalled: processes of this machine, a sandbox, a container.

Rules: an interrupt reaches the command as Ctrl-C on its terminal does. What an engine runs is stopped by way of the
engine. The engine ends a moment after the command, because it cleans up."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time

import psutil

from ..isolation.isolated import Isolated
from ..limits import ENGINE_PATIENCE_SECONDS
from ..system.process_tree import descendants, is_helper, signal_descendants
from .engine import Engine
from .pty_child import Child

__all__ = ["RunningJob", "running_job"]


class RunningJob:
    """A command on this machine: every descendant is part of it."""

    def __init__(self, child: Child) -> None:
        self._child = child

    def send(self, number: int) -> int:
        """Signals all of it; returns how many processes there were."""
        return signal_descendants(number)

    def counted(self, left: list[psutil.Process]) -> int:
        """How many of the processes that it left are ones that somebody may miss."""
        return sum(not is_helper(process) for process in left)

    def remove(self, until: float) -> bool:
        """Removes what is left when the processes are gone; False if that cannot be shown.

        :param until: the end of patience, in ``time.monotonic()``.
        """
        return True

    def ended(self) -> bool:
        """Whether its processes show that nothing of it runs, although something may be left to remove."""
        return True


class _Sandboxed(RunningJob):
    """A command in a sandbox. The sandbox's own processes get no signal: the command would die with them before it had
    its chance.
    """

    def send(self, number: int) -> int:
        return signal_descendants(number, () if number == signal.SIGKILL else self._sandbox())

    def _sandbox(self) -> set[int]:
        with contextlib.suppress(psutil.Error):
            outer = psutil.Process(self._child.pid)
            name = outer.name()
            return {outer.pid, *(process.pid for process in outer.children() if process.name() == name)}
        return set()


class _Contained(RunningJob):
    def __init__(self, child: Child, engine: Engine) -> None:
        super().__init__(child)
        self._engine = engine
        self._told: dict[int, float] = {}
        self._tellers: list[subprocess.Popen[bytes] | None] = []
        self._had_monitor = False

    def counted(self, left: list[psutil.Process]) -> int:
        """Nothing outlives a container but what belongs to its engine."""
        return 0

    def send(self, number: int) -> int:
        running = self._child.rc is None
        if number == signal.SIGINT:
            if running:
                self._child.interrupt()
        elif running or number == signal.SIGKILL:
            self._signal(number)
        processes = descendants()
        self._had_monitor = self._had_monitor or any(map(self._is_monitor, processes))
        return len(processes)

    def _is_monitor(self, process: psutil.Process) -> bool:
        """A podman that runs on this machine has a monitor for each container, which ends after it (conmon(8))."""
        with contextlib.suppress(psutil.Error):
            return process.name() == "conmon" and self._engine.container() in process.cmdline()
        return False

    def _signal(self, number: int) -> None:
        now = time.monotonic()
        first = self._told.setdefault(number, now)
        container = self._engine.container()
        if container is None:
            if self._child.rc is None:
                os.kill(self._child.pid, number)
        elif first == now:
            # reaped with all other children
            self._tellers.append(self._engine.start("kill", "--signal", signal.Signals(number).name, container))
        if number == signal.SIGKILL and now - first > ENGINE_PATIENCE_SECONDS:
            signal_descendants(number)

    def remove(self, until: float) -> bool:
        for teller in filter(None, self._tellers):
            with contextlib.suppress(subprocess.TimeoutExpired):
                teller.wait(max(0.0, until - time.monotonic()))
        return self._engine.remove(until)

    def ended(self) -> bool:
        """A busy machine's engine may not answer in time. The container's monitor is a descendant, and says as much."""
        return self._had_monitor and not descendants()


def running_job(child: Child, isolated: Isolated | None) -> RunningJob:
    """What ``child`` is the outermost process of."""
    if isolated is None:
        return RunningJob(child)
    return _Contained(child, Engine(isolated)) if isolated.container else _Sandboxed(child)
