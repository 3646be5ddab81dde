"""Whether anything works on a work unit of this node: the process that has the unit's ``stdin`` as its own.

Rules: nothing is changed. Receptor gives a worker no other sign of its unit: command.go opens ``stdin`` in the unit's
directory. If the process of another user cannot be looked at, the answer is not known."""

from __future__ import annotations

import os
import stat

__all__ = ["is_worked_on", "own_unit", "runners_of"]


def own_unit() -> str | None:
    """The directory of the work unit that this process works on, or None: its standard input is that unit's.

    The directory is not there any more if the unit was released."""
    try:
        if not stat.S_ISREG(os.fstat(0).st_mode):
            return None
        path = os.readlink("/proc/self/fd/0")
    except OSError:
        return None
    directory, name = os.path.split(path)
    if name == "stdin (deleted)" or (name == "stdin" and os.path.exists(os.path.join(directory, "status"))):
        return directory
    return None


def is_worked_on(unit: str) -> bool | None:
    """Whether a living process has the ``stdin`` of ``unit``, an id; None if that cannot be told.

    The unit is looked for beside that of this process, which another node on the same machine has elsewhere."""
    runners = runners_of(unit)
    return None if runners is None else bool(runners)


def runners_of(unit: str) -> list[int] | None:
    """The living processes that have the ``stdin`` of ``unit``, an id; None if that cannot be told."""
    own = own_unit()
    if own is None:
        return None
    directory = os.path.join(os.path.dirname(own), unit)
    wanted = os.path.join(directory, "stdin")
    hidden = False
    runners = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            found = os.readlink(f"/proc/{name}/fd/0").removesuffix(" (deleted)")
        except PermissionError:
            hidden = hidden or _may_work(name, directory)
            continue
        except OSError:
            continue
        if found == wanted:
            runners.append(int(name))
    return runners if runners or not (hidden or not os.path.isdir(directory)) else None


def _may_work(process: str, directory: str) -> bool:
    """Whether the arguments of a process that may not be looked at are those of a worker, or name the unit."""
    try:
        with open(f"/proc/{process}/cmdline", "rb") as file:
            words = file.read()
    except OSError:
        return False
    return b"worker" in words.split(b"\0") or os.fsencode(directory) in words
