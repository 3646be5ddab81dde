"""Waits for conditions, and finds processes.

What is to happen within some seconds is measured in seconds that the machine gave: see ``Stopwatch``.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import psutil


class Stopwatch:
    """Seconds since it was made, without those in which processes of the machine waited for its disk or a processor.

    A machine that others use too stands still for half a minute now and then, and no promise about speed is broken by
    that. Linux counts this as pressure; where it does not, all seconds count. A tenth of them always does.
    """

    def __init__(self) -> None:
        self._began, self._stalled = time.monotonic(), _stalled()

    def seconds(self) -> float:
        passed = time.monotonic() - self._began
        return max(passed / 10, passed - (_stalled() - self._stalled))


def _stalled() -> float:
    """Seconds, since the machine started, in which some process waited for the disk or a processor."""
    total = 0
    for resource in ("io", "cpu"):
        with contextlib.suppress(OSError):
            total += int(Path("/proc/pressure", resource).read_text().split("total=")[1].split()[0])
    return total / 1e6


def exit_code(process: subprocess.Popen[bytes], seconds: float) -> int:
    """The exit code of ``process``, which ends within ``seconds``."""
    wait_for(lambda: process.poll() is not None, f"{process.args!r} has ended", seconds)
    return process.wait()


def wait_for(condition: Callable[[], Any], what: str, seconds: float = 60.0) -> Any:
    """Waits until ``condition`` is true, and returns what it returned. Without ``seconds`` it is what a machine that
    stands still for a while needs, and promises nothing about speed."""
    clock = Stopwatch()
    while clock.seconds() < seconds:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"after {seconds:.0f} s still not: {what}")


def is_alive(pid: int) -> bool:
    """Whether the process runs. A zombie has ended: init reaps it when it comes to it."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def processes_with(text: str) -> list[psutil.Process]:
    """Living processes that have ``text`` in their arguments or environment."""
    found = []
    for process in psutil.process_iter():
        if process.pid == os.getpid():
            continue
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                continue
            values = [*process.cmdline(), *process.environ().values()]
        except psutil.Error:
            continue
        if any(text in value for value in values):
            found.append(process)
    return found


def words_of(process: psutil.Process) -> list[str]:
    """Its arguments; none if it is just ending."""
    with contextlib.suppress(psutil.Error):
        return process.cmdline()
    return []


def keeper_of(worker: int) -> psutil.Process:
    """The process above the guard of a worker that runs a job."""
    (keeper,) = psutil.Process(worker).children()
    return keeper


def guard_of(worker: int) -> psutil.Process:
    (guard,) = keeper_of(worker).children()
    return guard


def kill_all_of(worker: subprocess.Popen[bytes]) -> None:
    """The worker and all below it."""
    top = psutil.Process(worker.pid)
    kill_at_once(lambda: [top, *top.children(recursive=True)])
    worker.wait()


def kill_at_once(found: Callable[[], Iterable[psutil.Process]]) -> None:
    """As a machine that loses its power does, or whoever kills a control group."""
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for process in found():
            process.send_signal(number)


def make_old(directories: Iterable[Path]) -> None:
    """As if nobody had changed them for minutes."""
    for path in directories:
        os.utime(path, (time.time() - 600,) * 2)
