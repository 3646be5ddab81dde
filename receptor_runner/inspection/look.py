"""What this node knows about the job of one work unit: the answer to ``worker inspect``.

Rules: the job is only asked, and nothing of it is changed. Arguments are masked, and those of a ``no_log`` task are not
told at all."""

from __future__ import annotations

import contextlib
import time

import psutil

from ..system.process_tree import words_of
from .ansible_work import ask_ansible
from .answers import HostWork, Inspection, ProcessSeen
from .unit_processes import UnitProcesses, reads_terminal, unit_processes

__all__ = ["inspect_unit", "processes_for"]

_NOT_SEEN = "the processes of the work unit cannot be seen by this user, or not from a unit of their node"
_CENSORED = "(arguments of a no_log task)"
_LONGEST_ARGUMENTS = 1000
#: Clock and time of start of a process may be so far apart.
_CLOCK_SECONDS = 2.0


def inspect_unit(unit: str) -> Inspection:
    """:param unit: its id."""
    found = unit_processes(unit)
    if found is None:
        return Inspection(time.time(), silent=_NOT_SEEN)
    answer = ask_ansible(found)
    hosts = {pid: one for one in answer.work for pid in processes_for(found, one)}
    seen = [seen for process in found.processes if (seen := _seen(process, found, hosts.get(process.pid)))]
    return Inspection(time.time(), found.age, answer.silent, answer.work, seen)


def processes_for(found: UnitProcesses, work: HostWork) -> list[int]:
    """The processes that work for a host: Ansible's own first, then those below it, and what an asynchronous task left
    to itself. That is known by its directory.
    """
    own = next((one for one in found.processes if one.pid == work.pid), None)
    if own is None:
        return []
    pids = [one.pid for one in found.below(own)]
    inner = next((inner for inner, one in found.named_inside.items() if one.pid == own.pid), own.pid)
    begun = own.create_time() - _CLOCK_SECONDS
    for process, maker, made in found.made_directories:
        if maker == inner and made >= begun and process.pid not in pids:
            pids += [one.pid for one in found.below(process) if one.pid not in pids]
    return pids


def _seen(process: psutil.Process, found: UnitProcesses, work: HostWork | None) -> ProcessSeen | None:
    with contextlib.suppress(psutil.Error), process.oneshot():
        times = process.cpu_times()
        words = " ".join(found.masker.argv(words_of(process))) or f"[{process.name()}]"
        return ProcessSeen(
            process.pid,
            process.ppid(),
            max(0.0, time.time() - process.create_time()),
            times.user + times.system,
            process.status(),
            _CENSORED if work is not None and work.no_log else words[:_LONGEST_ARGUMENTS],
            work.host if work is not None else None,
            reads_terminal(process.pid),
        )
    return None
