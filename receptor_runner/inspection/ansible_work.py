"""Asks Ansible what each of its processes works on: the callback plugin answers a signal with a file beside its key.

Rules: only a process that has a handler for the signal gets it. What lies in a container is reached through the root of
the process, and no link is followed there: the job may have made it. The answer is a stranger's."""

from __future__ import annotations

import contextlib
import os
import stat
import time
from collections.abc import Iterator
from dataclasses import replace

from ..stream.bounded_json import parse_json
from ..system.below import open_directory, open_file, read_whole
from .answers import LONGEST_ANSWER, HostWork, work_of
from .unit_processes import ASK_SIGNAL, UnitProcesses, answers_signal

__all__ = ["NO_PLUGIN", "ask_ansible"]

#: Why it does not tell.
NO_PLUGIN = "Ansible does not run, or the callback plugin of this package is not loaded in it"
_MUTE = "Ansible runs, and does not say what it works on"
_ANSWER = "running"
_ANSWER_SECONDS = 5.0
_LOOK_SECONDS = 0.01


def ask_ansible(found: UnitProcesses) -> tuple[list[HostWork], str]:
    """What it works on, with the process ids of this machine; and why it did not tell, empty if it did."""
    ansible = found.ansible
    if ansible is None or not found.key_file:
        return [], NO_PLUGIN
    try:
        with _opened(ansible.pid, os.path.dirname(found.key_file)) as directory:
            before = _identity(directory)
            if not answers_signal(ansible.pid):
                return [], NO_PLUGIN
            os.kill(ansible.pid, ASK_SIGNAL)
            until = time.monotonic() + _ANSWER_SECONDS
            while _identity(directory) in (before, None):
                if time.monotonic() > until:
                    return [], _MUTE
                time.sleep(_LOOK_SECONDS)
            answer = parse_json(read_whole(open_file(_ANSWER, directory), LONGEST_ANSWER))
    except (OSError, ValueError) as exc:
        return [], f"{_MUTE}: {exc}"
    inside = found.named_inside()
    told = work_of(answer.get("workers") if isinstance(answer, dict) else None)
    return [replace(one, pid=inside[one.pid].pid) for one in told if one.pid in inside], ""


@contextlib.contextmanager
def _opened(pid: int, directory: str) -> Iterator[int]:
    """A descriptor of the directory that the process ``pid`` calls so."""
    fds = []
    try:
        if _same_files(pid):
            fds.append(os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
        else:
            fds.append(os.open(f"/proc/{pid}/root", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
            fds.append(open_directory(fds[0], directory.strip("/").split("/")))
        yield fds[-1]
    finally:
        for fd in fds:
            os.close(fd)


def _same_files(pid: int) -> bool:
    return os.readlink(f"/proc/{pid}/ns/mnt") == os.readlink("/proc/self/ns/mnt") and os.path.samefile(
        f"/proc/{pid}/root", "/"
    )


def _identity(directory: int) -> tuple[int, int] | None:
    """Which answer is there: another one is another file."""
    try:
        found = os.stat(_ANSWER, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return None
    return (found.st_ino, found.st_mtime_ns) if stat.S_ISREG(found.st_mode) else None
