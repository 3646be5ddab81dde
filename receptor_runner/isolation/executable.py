"""Finds an engine or a sandbox on this machine.

Rules: a daemon's ``PATH`` may be shorter than what engines and their helpers need. So the system's directories are
searched after it."""

from __future__ import annotations

import os
import shutil

from ..errors import UnreachableError

__all__ = ["find_executable", "long_path"]

_SYSTEM = ("/usr/local/bin", "/usr/bin", "/bin", "/usr/local/sbin", "/usr/sbin", "/sbin")


def long_path(path: str) -> str:
    """``path`` with the system's directories."""
    parts = [part for part in path.split(":") if part]
    return ":".join([*parts, *(part for part in _SYSTEM if part not in parts)])


def find_executable(name: str, path: str) -> str:
    """:raises UnreachableError: there is no such program."""
    found = shutil.which(name, path=long_path(path))
    if found is None:
        raise UnreachableError(
            f"Unable to find process isolation executable: {name}; "
            "install it on the machine that runs the job, or choose another by process_isolation_executable"
        )
    return os.path.abspath(found)
