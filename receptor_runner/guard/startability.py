"""Why a command cannot be started, in words that name the argument or the file that is to blame.

Rules: an operating system's error number and a look at the file are all there is to go by (execve(2)). The advice fits
the program that is missing."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping, Sequence

__all__ = ["NOT_STARTABLE", "missing_advice", "not_startable"]

#: What is wrong with a command, and not with this machine.
NOT_STARTABLE = (
    errno.E2BIG,
    errno.ENOEXEC,
    errno.ENOENT,
    errno.EACCES,
    errno.ENOTDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
)
#: One argument, with the zero behind it, has 32 pages on Linux.
_LONGEST_ARGUMENT = 32 * 4096
_FIRST_LINE = 256


def not_startable(argv: Sequence[str], env: Mapping[str, str], number: int | None, text: str) -> str:
    """:param number: one of :data:`NOT_STARTABLE`.
    :param text: what the operating system calls it.
    """
    return f"the command {argv[0]} cannot be started: {_reason(argv, env, number) or text}"


def _reason(argv: Sequence[str], env: Mapping[str, str], number: int | None) -> str | None:
    if number == errno.E2BIG:
        return _too_long(argv, env)
    if number == errno.ENOEXEC:
        return "its first line does not name an interpreter (#!), and it is no program of this machine"
    if number == errno.ENOENT and os.path.isfile(argv[0]):
        return _no_interpreter(argv[0])
    return None


def _too_long(argv: Sequence[str], env: Mapping[str, str]) -> str:
    longest = max(argv, key=_size)
    if _size(longest) >= _LONGEST_ARGUMENT:
        return f"the argument {longest[:40]!r}... has {_size(longest)} bytes, and {_LONGEST_ARGUMENT - 1} are the most"
    arguments = sum(map(_size, argv))
    variables = sum(_size(name) + _size(value) for name, value in env.items())
    return (
        f"{len(argv)} arguments of {arguments} bytes and {len(env)} environment variables of {variables} bytes are more"
        " than a program can be given"
    )


def _size(text: str) -> int:
    return len(os.fsencode(text))


def _no_interpreter(path: str) -> str | None:
    try:
        with open(path, "rb") as file:
            first = file.read(_FIRST_LINE).partition(b"\n")[0]
    except OSError:
        return None
    if not first.startswith(b"#!"):
        return None
    shown = first[2:].decode("utf-8", "replace")
    if shown.endswith("\r"):
        return f"its first line ends with a carriage return: {shown!r}; save it with the line ends of Unix"
    words = shown.split()
    return f"its interpreter {words[0]} does not exist" if words else "its first line names no interpreter"


def missing_advice(program: str) -> str:
    """What to do about a program that is not there."""
    name = os.path.basename(program)
    if name == "ssh-agent":
        return "install the client of OpenSSH where the worker runs: the job has an ssh key"
    if name.startswith("ansible"):
        return "install ansible-core where the worker runs, or set PATH"
    return "give its whole path, or set PATH where the worker runs"
