"""Asks Ansible what each of its processes works on: the callback plugin answers a signal with a file beside its key.

Rules: only a process that has a handler for the signal gets it. What lies in a container is reached through the root of
the process, and no link is followed there: the job may have made it. The answer is a stranger's."""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from ..stream.bounded_json import parse_json
from ..stream.messages import JSONObject
from ..system.below import open_directory, open_file, read_whole
from .answers import LONGEST_ANSWER, HostWork, work_of
from .unit_processes import ASK_SIGNAL, UnitProcesses, answers_signal

__all__ = ["AnsibleAnswer", "ask_ansible", "one_at_a_time"]

_NO_PLUGIN = "Ansible does not run, or the callback plugin of this package is not loaded in it"
_STARTING = "the job is just starting; look again"
_STARTING_SECONDS = 10.0
_MUTE = "Ansible runs, and does not say what it works on"
_ANSWER = "running"
_ANSWER_SECONDS = 5.0
_LOOK_SECONDS = 0.01
_LONGEST_NUMBER = 10**9


class AnsibleAnswer(NamedTuple):
    """``work`` has the process ids of this machine. ``reported`` says how often each host was reported as failed or
    unreachable. ``silent`` is why Ansible did not tell; empty if it did.
    """

    work: list[HostWork]
    reported: dict[str, int]
    silent: str = ""


def ask_ansible(found: UnitProcesses) -> AnsibleAnswer:
    ansible = found.ansible
    if ansible is None or not found.key_file:
        return AnsibleAnswer([], {}, _STARTING if (found.age or 0.0) < _STARTING_SECONDS else _NO_PLUGIN)
    try:
        with _opened(ansible.pid, os.path.dirname(found.key_file)) as directory:
            answer = _answered(ansible.pid, directory)
    except (OSError, ValueError) as exc:
        return AnsibleAnswer([], {}, f"{_MUTE}: {exc}")
    if answer is None:
        return AnsibleAnswer([], {}, _MUTE)
    inside = found.named_inside
    work = [replace(one, pid=inside[one.pid].pid) for one in work_of(answer.get("workers")) if one.pid in inside]
    reported = answer.get("reported")
    counts = reported.items() if isinstance(reported, dict) else ()
    return AnsibleAnswer(
        work, {host: count for host, count in counts if type(count) is int and count < _LONGEST_NUMBER}
    )


def _answered(pid: int, directory: int) -> JSONObject | None:
    """What the process ``pid`` writes into ``directory`` when it is asked; None if it does not."""
    before = _identity(directory)
    if not answers_signal(pid):
        return None
    os.kill(pid, ASK_SIGNAL)
    until = time.monotonic() + _ANSWER_SECONDS
    while _identity(directory) in (before, None):
        if time.monotonic() > until:
            return None
        time.sleep(_LOOK_SECONDS)
    answer = parse_json(read_whole(open_file(_ANSWER, directory), LONGEST_ANSWER))
    return answer if isinstance(answer, dict) else None


@contextlib.contextmanager
def one_at_a_time(found: UnitProcesses, seconds: float) -> Iterator[bool]:
    """Whether nobody else holds the job, or has let it go within ``seconds``: what is decided from an answer holds only
    as long as nobody else acts upon one.
    """
    if found.ansible is None or not found.key_file:
        yield True
        return
    until = time.monotonic() + seconds
    with _opened(found.ansible.pid, os.path.dirname(found.key_file)) as directory:
        while True:
            try:
                fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    yield False
                    return
                time.sleep(_LOOK_SECONDS)
        yield True


@contextlib.contextmanager
def _opened(pid: int, directory: str) -> Iterator[int]:
    """A descriptor of the directory that the process ``pid`` calls so.

    :raises OSError: it cannot be opened.
    """
    with contextlib.ExitStack() as opened:

        def kept(fd: int) -> int:
            opened.callback(os.close, fd)
            return fd

        if _same_files(pid):
            fd = kept(os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
        else:
            top = kept(os.open(f"/proc/{pid}/root", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
            fd = kept(open_directory(top, directory.strip("/").split("/")))
        yield fd


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
