"""The files of a job that somebody wants back although they are no artifacts.

Rules: only regular files below the private data dir that the job made or changed, and none of its artifacts. The
directory is opened before the job starts, and everything in it is reached by that descriptor. A file that cannot be
brought is told about, and changes nothing about how the job ended. A job that is being stopped is not held up."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import secrets
import stat
from collections.abc import Callable, Iterator, Sequence

from ..archive.collect import collect, excluded
from ..archive.entry import Entry
from ..errors import OutputClosedError, ReceptorRunnerError
from ..limits import MAX_MEMBERS, MAX_UNPACKED
from ..results.artifact_dir import ArtifactDir
from .job_warnings import Omissions

__all__ = ["COLLECTED", "Collector"]

#: Where they are in the artifact directory.
COLLECTED = "collected"
_BLOCK = 1024 * 1024
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Collector:
    """Looks for files that match ``patterns``, by path below ``directory`` or by name.

    :param artifacts: directories of artifacts, which are left out.
    :param since_ns: files that changed before are not wanted; nanoseconds since the epoch.
    :param go_on: called for each file that is looked at, and for each piece that is copied; false ends the search.
    """

    def __init__(
        self,
        directory: str,
        patterns: Sequence[str],
        artifacts: Sequence[str],
        since_ns: int,
        go_on: Callable[[], bool],
    ) -> None:
        self._patterns = patterns
        self._since = since_ns
        self._go_on = go_on
        #: Whether there was no time to look at everything.
        self._cut = False
        top = os.path.realpath(directory)
        self._skip = frozenset(["artifacts", *(os.path.relpath(os.path.realpath(one), top) for one in artifacts)])
        self._fd = os.open(top, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC) if patterns else -1

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)

    def entries(self) -> Iterator[Entry]:
        """Members of the archive, below ``collected/``."""
        if self._fd < 0:
            return
        for entry in collect(self._fd, lambda *_: None, skip=self._skip):
            if not self._go_on():
                self._cut = True
                return
            if stat.S_ISREG(entry.mode) and self._wants(entry):
                yield entry._replace(name=f"{COLLECTED}/{entry.name}")

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

    def copy(self, artifacts: ArtifactDir) -> tuple[str, ...]:
        """Puts copies into ``artifacts``, for a job in place; returns warnings."""
        omissions = Omissions(str(artifacts.path))
        count = size = 0
        for entry in self.entries():
            count, size = count + 1, size + entry.size
            if count > MAX_MEMBERS or size > MAX_UNPACKED:
                omissions.report(entry.name, "and what is behind it are too much", False)
                break
            try:
                self._copy(entry, artifacts)
            except OutputClosedError:
                raise
            except (OSError, ReceptorRunnerError) as exc:
                omissions.report(entry.name, f"cannot be copied: {getattr(exc, 'strerror', None) or exc}", False)
        if self._cut:
            omissions.report(COLLECTED, "has not everything, because there was no time", False)
        return omissions.warnings()

    def _copy(self, entry: Entry, artifacts: ArtifactDir) -> None:
        """:raises OSError: it cannot be read, or its copy not written."""
        directory, _, name = entry.name.rpartition("/")
        aside = f".{name[:100]}.{secrets.token_hex(8)}"
        with contextlib.ExitStack() as opened:
            source = opened.enter_context(os.fdopen(entry.open(), "rb", buffering=0))
            below = artifacts.open_below(str(artifacts.path / directory))
            opened.callback(os.close, below)
            fd = os.open(aside, _NEW, stat.S_IMODE(entry.mode) & 0o700, dir_fd=below)
            try:
                with os.fdopen(fd, "wb", buffering=0) as target:
                    self._copy_content(source.read, target)
                os.rename(aside, name, src_dir_fd=below, dst_dir_fd=below)
            except BaseException:
                os.unlink(aside, dir_fd=below)
                raise

    def _copy_content(self, read: Callable[[int], bytes | None], target: io.FileIO) -> None:
        """Holes stay holes: what takes no room in the job's file takes none in the copy.

        :raises InterruptedError: there is no time for it.
        """
        while block := read(_BLOCK):
            if not self._go_on():
                raise InterruptedError(errno.EINTR, "there was no time")
            if block.count(0) == len(block):
                target.seek(len(block), os.SEEK_CUR)
            else:
                view = memoryview(block)
                while view:
                    view = view[target.write(view) :]
        target.truncate()
