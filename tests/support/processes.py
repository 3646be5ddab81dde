"""Waits for conditions, and finds processes."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from typing import Any

import psutil


def wait_for(condition: Callable[[], Any], what: str, seconds: float = 60.0) -> Any:
    """Waits until ``condition`` is true, and returns what it returned. Without ``seconds`` it is what a machine that
    stands still for a while needs, and promises nothing about speed."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
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
