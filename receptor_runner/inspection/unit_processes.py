"""The processes of a work unit of this node: who they are, which of them is Ansible, and what each is called inside of
a container.

Rules: nothing is changed, and no process is asked anything. The job's command is the oldest process below the unit's
own that has the path of a key in its environment: what the job starts is younger, and can say what it likes. What is
above it looks after the job. Everything else below the unit's own is the job's."""

from __future__ import annotations

import contextlib
import functools
import os
import platform
import re
import time
from dataclasses import dataclass, field

import psutil

from ..isolation.kinds import DOCKER
from ..preparation.environment import KEY_FILE_VARIABLE
from ..preparation.masking import Masker, is_secret_name
from ..receptor.unit_probe import runners_of
from ..system.process_tree import words_of

__all__ = ["ASK_SIGNAL", "UnitProcesses", "answers_signal", "reads_terminal", "unit_processes"]

#: What asks Ansible (``callback/receptor_runner.py``).
ASK_SIGNAL = 44
#: The time that made it, and the process.
_DIRECTORY = re.compile(r"ansible-tmp-(\d{1,12}\.\d{1,12})-(\d{1,10})-")
#: The number of read(2).
_READ_CALL = {"x86_64": "0", "aarch64": "63"}.get(platform.machine())


@dataclass
class UnitProcesses:
    """The processes of one unit's job, the oldest first.

    :param ansible: that which decides what every other does; None if there is none that can be asked.
    :param key_file: the path of the key, as that process sees it.
    :param runners: those that work on the unit itself.
    """

    processes: list[psutil.Process] = field(default_factory=list)
    ansible: psutil.Process | None = None
    key_file: str = ""
    runners: list[psutil.Process] = field(default_factory=list)
    masker: Masker = field(default_factory=lambda: Masker([]))

    @property
    def age(self) -> float | None:
        """How long somebody has worked on it, in seconds."""
        return max((time.time() - one.create_time() for one in self.runners), default=None)

    def below(self, top: psutil.Process) -> list[psutil.Process]:
        """``top`` and all of the job's processes below it."""
        found = {top.pid}
        for process in self.processes:
            if self._parents[process.pid] in found:
                found.add(process.pid)
        return [one for one in self.processes if one.pid in found]

    @functools.cached_property
    def named_inside(self) -> dict[int, psutil.Process]:
        """The processes below Ansible by the ids that Ansible knows them by (``NSpid``, proc(5))."""
        return {} if self.ansible is None else {_inner_pid(one.pid): one for one in self.below(self.ansible)}

    @functools.cached_property
    def made_directories(self) -> list[tuple[psutil.Process, int, float]]:
        """Processes that have a temporary directory of Ansible in their arguments; the process that made it, by the id
        that Ansible knows it by, and when, in seconds since the epoch
        (ansible/plugins/action/__init__.py, ``_make_tmp_path``).
        """
        return [
            (one, int(found[2]), float(found[1]))
            for one in self.processes
            for word in words_of(one)
            for found in _DIRECTORY.finditer(word)
        ]

    @functools.cached_property
    def _parents(self) -> dict[int, int]:
        return {one.pid: _parent(one) for one in self.processes}


def unit_processes(unit: str) -> UnitProcesses | None:
    """What works on ``unit``, an id; None if that cannot be told."""
    holders = runners_of(unit)
    if holders is None:
        return None
    everything = sorted(psutil.process_iter(), key=_created)
    parents = {process.pid: _parent(process) for process in everything}
    tree = _below(set(holders), parents)
    command = next((one for one in everything if one.pid in tree and _key(one)), None)
    members = tree - set(holders)
    if command is not None:
        members -= _above(command.pid, parents)
        if command.name() == DOCKER:
            # the daemon starts what the client asked for, and no other has its key
            own = _key(command)
            members = _below(members | {one.pid for one in everything if _key(one) == own}, parents)
    job = [one for one in everything if one.pid in members]
    found = UnitProcesses(job, runners=[one for one in everything if one.pid in holders])
    found.ansible = next((one for one in job if answers_signal(one.pid)), None)
    if found.ansible is not None and command is not None:
        found.key_file = _key(command)
        env = _environment(found.ansible)
        found.masker = Masker(value for name, value in env.items() if is_secret_name(name))
    return found


def _below(tops: set[int], parents: dict[int, int]) -> set[int]:
    """``tops`` and all below them."""
    found, before = set(tops), -1
    while len(found) != before:
        before = len(found)
        found |= {pid for pid, parent in parents.items() if parent in found}
    return found


def _above(pid: int, parents: dict[int, int]) -> set[int]:
    """The processes above ``pid``."""
    found: set[int] = set()
    while (pid := parents.get(pid, 0)) and pid not in found:
        found.add(pid)
    return found


def _created(process: psutil.Process) -> tuple[float, int]:
    try:
        return process.create_time(), process.pid
    except psutil.Error:
        return 0.0, process.pid


def _parent(process: psutil.Process) -> int:
    try:
        return process.ppid()
    except psutil.Error:
        return 0


def _environment(process: psutil.Process) -> dict[str, str]:
    """Empty if it may not be looked at."""
    try:
        return process.environ()
    except (psutil.Error, OSError):
        return {}


def _key(process: psutil.Process) -> str:
    """The path of the key that the process was started with; empty if there is none."""
    return _environment(process).get(KEY_FILE_VARIABLE, "")


def _status_line(pid: int, name: str) -> str:
    with contextlib.suppress(OSError), open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
        for line in file:
            if line.startswith(f"{name}:"):
                return line.partition(":")[2].strip()
    return ""


def answers_signal(pid: int) -> bool:
    """Whether the process has a handler for :data:`ASK_SIGNAL` (``SigCgt``, proc(5)): any other would die of it. One
    that has handlers for the signals beside it, too, is a container engine's: programs in Go catch all there are.
    """
    with contextlib.suppress(ValueError):
        return int(_status_line(pid, "SigCgt") or "0", 16) >> (ASK_SIGNAL - 2) & 0b111 == 0b010
    return False


def _inner_pid(pid: int) -> int:
    with contextlib.suppress(ValueError, IndexError):
        return int(_status_line(pid, "NSpid").split()[-1])
    return pid


def reads_terminal(pid: int) -> bool:
    """Whether the process waits for input from a terminal; false if that cannot be told."""
    with contextlib.suppress(OSError, IndexError, ValueError), open(f"/proc/{pid}/syscall", encoding="ascii") as file:
        number, descriptor = file.read().split()[:2]
        if number == _READ_CALL:
            return os.readlink(f"/proc/{pid}/fd/{int(descriptor, 16)}").startswith(("/dev/pts/", "/dev/tty"))
    return False
