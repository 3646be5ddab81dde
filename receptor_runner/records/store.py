"""All records of submitted jobs.

Rules: a record is saved before the first byte of its payload leaves, and always as a whole. A job has one follower at
a time: the follower holds a lock (flock) on the record's directory."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path

from ..errors import ConfigurationError, InputError, OutputError
from ..job.parameters import check_ident
from ..stream.bounded_json import parse_json
from ..system.below import read_regular
from ..system.files import replace_file
from ..system.removal import remove_tree
from .journal import Journal
from .record import Record

__all__ = ["BusyError", "NoJobError", "Records"]

logger = logging.getLogger(__name__)

#: So many jobs are named beside the one that is not there.
_NAMED = 3
#: Settings of a job are in its record.
_LONGEST = 64 * 1024 * 1024


class NoJobError(InputError):
    """There is no record of a job."""


class BusyError(OutputError):
    """Another process follows the job, or submits it."""


class Records:
    """All records of one state directory."""

    def __init__(self, directory: Path) -> None:
        self._top = directory

    def directory(self, job: str) -> Path:
        return self._top / check_ident(job)

    def ids(self) -> list[str]:
        return sorted(
            name for name in os.listdir(self._top) if _usable(name) and os.path.lexists(self._top / name / "job.json")
        )

    def unreadable(self) -> list[str]:
        """The jobs whose records are damaged."""
        found = []
        for job in self.ids():
            try:
                self.load(job)
            except NoJobError:
                continue
            except InputError:
                found.append(job)
        return found

    def has(self, job: str) -> bool:
        """Whether there is a record of the job, of whatever kind."""
        return os.path.lexists(self.directory(job) / "job.json")

    def load(self, job: str) -> Record:
        """:raises NoJobError: there is no such job.
        :raises InputError: its record is damaged.
        :raises OutputError: it cannot be read now, which says nothing about it.
        """
        path = self.directory(job) / "job.json"
        try:
            data = parse_json(_content(path))
        except (FileNotFoundError, NotADirectoryError):
            raise NoJobError(f"there is no job {job}", hint=self._alike(job)) from None
        except ValueError as exc:
            raise _damaged(path, job, exc) from exc
        except OSError as exc:
            raise OutputError(f"cannot read the job record {path}: {exc.strerror}") from exc
        try:
            return Record.from_json(data, job)
        except (TypeError, ValueError, KeyError, AttributeError) as exc:
            raise _damaged(path, job, exc) from exc

    def _alike(self, job: str) -> str:
        """What to do about a name that no job has. A job for several nodes has one for each."""
        alike = [one for one in self.ids() if one.startswith(f"{job}-")]
        return f"is it {' or '.join(alike[:_NAMED])}?" if alike else "receptor-runner jobs lists those there are"

    def all(self) -> Iterator[Record]:
        """Every record that can be read; the others are warned about."""
        for job in self.ids():
            try:
                yield self.load(job)
            except NoJobError:
                continue
            except InputError as exc:
                logger.warning("%s", exc)

    def save(self, record: Record) -> None:
        """:raises OutputError: it cannot be written."""
        directory = self.directory(record.id)
        try:
            directory.mkdir(mode=0o700, exist_ok=True)
        except OSError as exc:
            raise OutputError(f"cannot make the job record {directory}: {exc.strerror}") from exc
        path = directory / "job.json"
        try:
            replace_file(path, json.dumps(record.to_json()).encode())
        except OSError as exc:
            raise OutputError(f"cannot write {path}: {exc.strerror}") from exc

    def remove(self, job: str) -> None:
        remove_tree(str(self.directory(job)))

    def remove_damaged(self, job: str) -> bool:
        """Removes a record that cannot be read; False if it can.

        :raises NoJobError: there is none.
        """
        try:
            self.load(job)
        except NoJobError:
            raise
        except InputError:
            self.remove(job)
            return True
        return False

    def clear(self, job: str) -> None:
        """Removes what is known of a job, and keeps its place, which the caller has locked."""
        for entry in self.directory(job).iterdir():
            remove_tree(str(entry))

    def journal(self, record: Record) -> Journal:
        """:raises OutputError: it cannot be used."""
        cipher = None
        if record.results_key:
            from ..sealing.envelope import BlockCipher

            cipher = BlockCipher(bytes.fromhex(record.results_key), "journal")
        return Journal(self.directory(record.id), cipher)

    @contextlib.contextmanager
    def followed(self, job: str) -> Iterator[None]:
        """Keeps every other follower away.

        :raises BusyError: there is one already.
        :raises OutputError: the record cannot be used.
        """
        directory = self.directory(job)
        try:
            fd = _locked(directory)
        except BlockingIOError:
            raise BusyError(f"the job {job} is being followed by another process already") from None
        except OSError as exc:
            raise OutputError(f"cannot use the job record {directory}: {exc.strerror}") from exc
        try:
            yield
        finally:
            os.close(fd)


def _locked(directory: Path) -> int:
    """A descriptor that holds the lock on ``directory``, which is made if it is missing. The directory may be removed
    while this waits for nobody: then it is another one that is locked.

    :raises BlockingIOError: somebody has the lock.
    """
    while True:
        directory.mkdir(mode=0o700, exist_ok=True)
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(fd), os.stat(directory)):
                    return fd
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)


def _usable(name: str) -> bool:
    """Whether a job can have this name: what else lies there is not ours."""
    try:
        return check_ident(name) == name
    except ConfigurationError:
        return False


def _content(path: Path) -> bytes:
    """:raises ValueError: it is no file, or larger than any record."""
    try:
        return read_regular(path, _LONGEST)
    except OSError as exc:
        if exc.errno in (errno.EINVAL, errno.ELOOP, errno.EISDIR, errno.ENXIO, errno.EFBIG):
            raise ValueError(exc.strerror) from exc
        raise


def _damaged(path: Path, job: str, exc: Exception) -> InputError:
    text = f"the job record {path} is damaged ({exc})"
    return InputError(text, hint=f"receptor-runner release --force {job} removes it")
