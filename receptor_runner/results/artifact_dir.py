"""The artifact directory of one job: what lies where, written so that nothing half done looks whole.

Rules: the directory is opened once, before the job starts. From then on everything in it is reached by that
descriptor, no link is followed, and only regular files are read. Files are private. Small files are written aside and
renamed. An event file is one exclusive create and one write. The layout is ansible-runner's."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path

from ..archive.collect import Report, collect
from ..archive.entry import Entry
from ..errors import OutputError
from ..system.below import DIRECTORY, open_directory, open_file
from ..system.files import make_private

__all__ = ["EVENTS", "RC", "RC_BYTES", "ArtifactDir", "event_file_name", "rc_of", "writable"]

#: The artifact with the return code, and how much of it is read.
RC, RC_BYTES = "rc", 32

#: The directory of its event files.
EVENTS = "job_events"
_LARGEST_COUNTER = 10**15
_UUID = re.compile(r"[0-9A-Za-z_-]{1,64}")
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def event_file_name(counter: object, identifier: object) -> str | None:
    """``COUNTER-UUID.json``, or None if these cannot name a file."""
    if (
        type(counter) is not int
        or not 0 < counter < _LARGEST_COUNTER
        or type(identifier) is not str
        or not _UUID.fullmatch(identifier)
    ):
        return None
    return f"{counter}-{identifier}.json"


@contextlib.contextmanager
def writable(path: str) -> Iterator[None]:
    """Makes the artifact directory of a job that is about to be started, and shows that it can be written. If the job
    is not started after all, nothing new is left.

    :raises OutputError: it cannot be written.
    """
    made = _missing(path)
    with ArtifactDir(path) as artifacts:
        artifacts.check_writable()
    try:
        yield
    except BaseException:
        for directory in made:
            with contextlib.suppress(OSError):
                os.rmdir(directory)
        raise


def _missing(path: str) -> list[str]:
    """The directories that must be made for ``path``, the deepest first."""
    missing = [os.path.join(path, EVENTS)] if not os.path.exists(os.path.join(path, EVENTS)) else []
    while not os.path.exists(path) and os.path.dirname(path) != path:
        missing.append(path)
        path = os.path.dirname(path)
    return missing


class ArtifactDir:
    """``path`` is made with its parents if it is missing, private.

    :raises OutputError: it cannot be made, or it is a link.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(os.path.abspath(path))
        try:
            make_private(self.path)
            self._fd = os.open(self.path, DIRECTORY)
            self._events = open_directory(self._fd, [EVENTS], make=True)
        except OSError as exc:
            raise OutputError(f"cannot use the artifact directory {self.path}: {exc.strerror}") from exc

    def close(self) -> None:
        os.close(self._events)
        os.close(self._fd)

    def __enter__(self) -> ArtifactDir:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def check_writable(self) -> None:
        """:raises OutputError: no file can be made in it."""
        name = f".{secrets.token_hex(8)}"
        for directory in (self._fd, self._events):
            try:
                os.close(os.open(name, _NEW, 0o600, dir_fd=directory))
                os.unlink(name, dir_fd=directory)
            except OSError as exc:
                raise OutputError(f"cannot write to the artifact directory {self.path}: {exc.strerror}") from exc

    def has_events(self) -> bool:
        """Whether an earlier run left event files here."""
        with os.scandir(self._events) as found:
            return any(found)

    def write_event(self, name: str, content: bytes) -> None:
        """One event file. A file of that name is whole already, or torn by a crash: it is written again.

        :raises OutputError: it cannot be written.
        """
        try:
            try:
                fd = os.open(name, _NEW, 0o600, dir_fd=self._events)
            except FileExistsError:
                os.unlink(name, dir_fd=self._events)
                fd = os.open(name, _NEW, 0o600, dir_fd=self._events)
            try:
                written = os.write(fd, content)
                if written != len(content):
                    _write_all(fd, content[written:])
            finally:
                os.close(fd)
        except OSError as exc:
            raise OutputError(f"cannot write {self.path}/job_events/{name}: {exc.strerror}") from exc

    def write(self, name: str, content: bytes) -> None:
        """A small file, whole or not at all.

        :raises OutputError: it cannot be written.
        """
        aside = f".{name}.{secrets.token_hex(8)}"
        try:
            fd = os.open(aside, _NEW, 0o600, dir_fd=self._fd)
            try:
                _write_all(fd, content)
            finally:
                os.close(fd)
            self._rename(aside, name)
        except OSError as exc:
            with contextlib.suppress(OSError):
                os.unlink(aside, dir_fd=self._fd)
            if self._is_gone():
                return
            raise OutputError(f"cannot write {self.path}/{name}: {exc.strerror}") from exc

    def _rename(self, aside: str, name: str) -> None:
        """A job may have put a directory in the place of the file: it is moved away."""
        try:
            os.rename(aside, name, src_dir_fd=self._fd, dst_dir_fd=self._fd)
        except IsADirectoryError:
            os.rename(name, f"{name}.{secrets.token_hex(4)}", src_dir_fd=self._fd, dst_dir_fd=self._fd)
            os.rename(aside, name, src_dir_fd=self._fd, dst_dir_fd=self._fd)

    def _is_gone(self) -> bool:
        """Whether the directory was removed. A job may remove its artifacts; that is no error."""
        return os.fstat(self._fd).st_nlink == 0

    def write_json(self, name: str, data: object) -> None:
        self.write(name, json.dumps(data, ensure_ascii=False).encode("utf-8", "surrogateescape"))

    def read(self, name: str, limit: int) -> bytes | None:
        """The beginning of a file, or None if it is not there or not a file."""
        return self._read(name, limit, os.SEEK_SET)

    def tail(self, name: str, limit: int) -> bytes | None:
        """The end of a file, or None if it is not there or not a file."""
        return self._read(name, limit, os.SEEK_END)

    def _read(self, name: str, limit: int, whence: int) -> bytes | None:
        try:
            with os.fdopen(open_file(name, self._fd), "rb") as file:
                size = os.fstat(file.fileno()).st_size
                file.seek(max(0, size - limit) if whence == os.SEEK_END else 0)
                return file.read(limit)
        except OSError:
            return None

    def open_below(self, path: str) -> int:
        """A descriptor of the directory ``path``, which lies in this one; it is made if it is missing.

        :raises OSError: it cannot be made, or a link leads there.
        """
        return open_directory(self._fd, os.path.relpath(path, self.path).split(os.sep), make=True)

    def entries(self, report: Report) -> Iterator[Entry]:
        """What travels of it: everything but event files, which only ``process`` makes."""
        return collect(self._fd, report, skip=frozenset([EVENTS]))

    def write_fault(self, status: str, code: int, explanation: str | None) -> None:
        """What is told of a job that never got as far as such artifacts of its own. Nothing that is there is written
        over.

        :raises OutputError: it cannot be written.
        """
        for name, content in (
            ("status", status),
            (RC, str(code)),
            ("stdout", f"{explanation or status}\n"),
            ("stderr", ""),
        ):
            if not self.read(name, 1):
                self.write(name, content.encode("utf-8", "backslashreplace"))

    def rc(self) -> int | None:
        """What the ``rc`` artifact says."""
        return rc_of(self.read(RC, RC_BYTES))


def rc_of(content: bytes | None) -> int | None:
    """What an ``rc`` artifact with this content says; None if it is missing, or says nothing."""
    try:
        return int(content) if content is not None else None
    except ValueError:
        return None


def _write_all(fd: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(fd, view) :]
