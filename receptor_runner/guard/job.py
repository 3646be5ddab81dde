"""What a running command consists of, and how it is signalled: processes of this machine, a sandbox, a container.

Rules: an interrupt reaches the command as Ctrl-C on its terminal does. What an engine runs is stopped through the
engine, which outlives the command by moments to clean up behind it. Engine commands that are waited for have
deadlines."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from typing import Any

import psutil

from ..limits import ENGINE_PATIENCE_SECONDS, ENGINE_SECONDS
from .child import Child
from .tree import descendants, signal_descendants

__all__ = ["Job", "job_of"]


class Job:
    """A command on this machine: every descendant is part of it."""

    def __init__(self, child: Child) -> None:
        self._child = child

    def send(self, number: int) -> int:
        """Signals all of it; returns how many processes there were."""
        return signal_descendants(number)

    def end(self, *, clean: bool) -> None:
        """Removes what is left when the processes are gone. ``clean``: the command ended by itself, as commands do."""


class _Sandboxed(Job):
    """A signal to the sandbox's own processes would take the command along before it had its chance."""

    def send(self, number: int) -> int:
        return signal_descendants(number, () if number == signal.SIGKILL else self._sandbox())

    def _sandbox(self) -> set[int]:
        with contextlib.suppress(psutil.Error):
            outer = psutil.Process(self._child.pid)
            name = outer.name()
            return {outer.pid, *(process.pid for process in outer.children() if process.name() == name)}
        return set()


class _Contained(Job):
    def __init__(self, child: Child, isolated: dict[str, Any]) -> None:
        super().__init__(child)
        self._engine = isolated["engine"]
        self._env = isolated["env"]
        self._id_file = isolated["id_file"]
        self._label = isolated["label"]
        self._told: dict[int, float] = {}
        self._tellers: list[subprocess.Popen[bytes]] = []

    def send(self, number: int) -> int:
        running = self._child.rc is None
        if number == signal.SIGINT:
            if running:
                self._child.interrupt()
        elif running or number == signal.SIGKILL:
            self._signal(number)
        return len(descendants())

    def _signal(self, number: int) -> None:
        now = time.monotonic()
        first = self._told.setdefault(number, now)
        container = self._container()
        if container is None:
            if self._child.rc is None:
                os.kill(self._child.pid, number)
        elif first == now:
            self._tell("kill", "--signal", signal.Signals(number).name, container)
        if number == signal.SIGKILL and now - first > ENGINE_PATIENCE_SECONDS:
            signal_descendants(number)

    def _container(self) -> str | None:
        """The container's id; None as long as there is none."""
        with contextlib.suppress(OSError), open(self._id_file, encoding="ascii") as file:
            return file.read().strip() or None
        return None

    def _tell(self, *words: str) -> None:
        """Starts an engine command; it is reaped with all other children."""
        with contextlib.suppress(OSError):
            self._tellers.append(
                subprocess.Popen(
                    [self._engine, *words],
                    env=self._env,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
            )

    def end(self, *, clean: bool) -> None:
        until = time.monotonic() + ENGINE_SECONDS
        for teller in self._tellers:
            with contextlib.suppress(subprocess.TimeoutExpired):
                teller.wait(max(0.0, until - time.monotonic()))
        if clean:
            return
        found = self._ask(until, "ps", "--all", "--quiet", "--no-trunc", "--filter", f"label={self._label}").split()
        if found:
            self._ask(until, "kill", "--signal", "KILL", *found)
            self._ask(until, "rm", "--force", *found)

    def _ask(self, until: float, *words: str) -> str:
        try:
            done = subprocess.run(
                [self._engine, *words],
                env=self._env,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=max(0.1, until - time.monotonic()),
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return ""
        return done.stdout


def job_of(child: Child, isolated: dict[str, Any] | None) -> Job:
    """:param isolated: a :class:`receptor_runner.isolation.around.Isolated` as JSON, or None."""
    if isolated is None:
        return Job(child)
    return _Contained(child, isolated) if isolated["engine"] else _Sandboxed(child)
