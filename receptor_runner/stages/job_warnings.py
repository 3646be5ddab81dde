"""What somebody should know about a job that ended, although it changes nothing about how it ended.

Rules: each warning is one line. What would be many is counted, and the first is named. A look at the files of a job
has an end."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

from ..guard.client import CommandResult
from ..preparation.run_spec import RunSpec

__all__ = ["Omissions", "command_warnings", "dropped_files"]

_LOOK_SECONDS = 0.5
#: What Python and Ansible leave beside what they read.
_NOBODYS = ("__pycache__",)


def command_warnings(spec: RunSpec, result: CommandResult, dropped: list[str]) -> tuple[str, ...]:
    """:param dropped: files that go with the directory of the job, by their names in it."""
    found = list(spec.warnings)
    if spec.tells_events and not result.framed and result.rc == 0:
        found.append(
            "the job has no events: Ansible did not load the callback plugin (ANSIBLE_CALLBACK_PLUGINS, or a fault that"
            " its output names)"
        )
    gone = []
    if dropped:
        gone.append(f"{_count(dropped, 'file')} outside of the artifacts, which are dropped with their directory")
    if result.left:
        gone.append(f"{result.left} process(es) running, which were stopped")
    if gone:
        found.append(f"the job has left {' and '.join(gone)}")
    return tuple(found)


def _count(names: list[str], kind: str) -> str:
    return f"{len(names)} {kind}(s) ({names[0]}{', ...' if len(names) > 1 else ''})"


def dropped_files(directory: str, since_ns: int, artifact_dir: str) -> list[str]:
    """The files below ``directory`` that were written since then, but for those in ``artifact_dir``.

    :param since_ns: nanoseconds since the epoch.
    """
    until = time.monotonic() + _LOOK_SECONDS
    found = []
    for path, entry in _walked(directory, os.path.realpath(artifact_dir)):
        if time.monotonic() > until:
            break
        if entry.stat(follow_symlinks=False).st_ctime_ns >= since_ns:
            found.append(os.path.relpath(path, directory))
    return sorted(found)


def _walked(directory: str, left_out: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
    pending = [os.path.realpath(directory)]
    while pending:
        try:
            with os.scandir(pending.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        ours = entry.name.startswith(".receptor-runner-") or entry.name in _NOBODYS
                        if entry.path != left_out and not ours:
                            pending.append(entry.path)
                    elif entry.is_file(follow_symlinks=False):
                        yield entry.path, entry
        except OSError:
            continue  # it went meanwhile, or is closed to us


class Omissions:
    """A report of what does not travel (:data:`~receptor_runner.archive.collect.Report`), kept to be told."""

    def __init__(self, top: str) -> None:
        self._top = top
        self._names: list[str] = []

    def report(self, path: str, reason: str, fatal: bool) -> None:
        """What a job removed meanwhile is no omission."""
        if os.path.lexists(path) or not os.path.isabs(path):
            name = os.path.relpath(path, self._top) if os.path.isabs(path) else path
            shown = os.fsencode(name).decode("utf-8", "backslashreplace")
            self._names.append(f"{shown} {reason}")

    def warnings(self) -> tuple[str, ...]:
        if not self._names:
            return ()
        more = f", and {len(self._names) - 1} more" if len(self._names) > 1 else ""
        return (f"not all artifacts came back: {self._names[0]}{more}",)
