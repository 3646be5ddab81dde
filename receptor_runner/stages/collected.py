"""The files of a job that somebody wants back although they are no artifacts.

Rules: only regular files below the private data dir that the job made or changed, and none of its artifacts. The
directory is opened before the job starts, and everything in it is reached by that descriptor."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import secrets
import shutil
import stat
from collections.abc import Iterator, Sequence

from ..archive.collect import collect, excluded
from ..archive.entry import Entry
from ..errors import OutputError
from ..results.artifact_dir import ArtifactDir
from ..system.below import DIRECTORY

__all__ = ["COLLECTED", "Collector"]

#: Where they are in the artifact directory.
COLLECTED = "collected"
_ARTIFACTS = frozenset(["artifacts"])
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Collector:
    """Looks for files that match ``patterns``, by path below ``directory`` or by name.

    :param since_ns: files that changed before are not wanted; nanoseconds since the epoch.
    """

    def __init__(self, directory: str, patterns: Sequence[str], since_ns: int) -> None:
        self._patterns = patterns
        self._since = since_ns
        self._fd = os.open(directory, DIRECTORY) if patterns else -1

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)

    def entries(self) -> Iterator[Entry]:
        """Members of the archive, below ``collected/``."""
        if self._fd < 0:
            return
        for entry in collect(self._fd, lambda *_: None, skip=_ARTIFACTS):
            if stat.S_ISREG(entry.mode) and self._wants(entry):
                yield dataclasses.replace(entry, name=f"{COLLECTED}/{entry.name}")

    def _wants(self, entry: Entry) -> bool:
        if not self.matches(entry.name):
            return False
        with contextlib.suppress(OSError):
            found = os.stat(os.path.basename(entry.name), dir_fd=entry.directory, follow_symlinks=False)
            return found.st_ctime_ns >= self._since
        return False

    def matches(self, name: str) -> bool:
        """Whether the file ``name``, or a directory that it is in, matches a pattern."""
        parts = name.split("/")
        return not parts[0].startswith(".receptor-runner-") and any(
            excluded("/".join(parts[:end]), self._patterns) for end in range(1, len(parts) + 1)
        )

    def copy(self, artifacts: ArtifactDir) -> None:
        """Puts copies into ``artifacts``, for a job in place.

        :raises OutputError: one cannot be written.
        """
        for entry in self.entries():
            directory, _, name = entry.name.rpartition("/")
            aside = f".{name[:200]}.{secrets.token_hex(8)}"
            try:
                below = artifacts.open_below(str(artifacts.path / directory))
                try:
                    with os.fdopen(entry.open(), "rb") as source:
                        fd = os.open(aside, _NEW, stat.S_IMODE(entry.mode) & 0o700, dir_fd=below)
                        with os.fdopen(fd, "wb") as target:
                            shutil.copyfileobj(source, target)
                    os.rename(aside, name, src_dir_fd=below, dst_dir_fd=below)
                finally:
                    os.close(below)
            except OSError as exc:
                raise OutputError(f"cannot write {artifacts.path / entry.name}: {exc.strerror}") from exc
