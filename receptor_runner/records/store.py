"""Records of submitted jobs: what a follower needs to go on after a crash of anything.

Rules: a record is saved before the first byte of its payload leaves, always as a whole. A checkpoint is one short
write, after each message: the offset of a message boundary, how many messages behind it are done, and how many events
were delivered. A job has one follower at a time (flock on the record's directory)."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import logging
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import InputError, OutputError, UsageError
from ..job.parameters import check_ident
from ..receptor.work_unit import check_unit_id
from ..stream.messages import JSONObject
from ..system.files import replace_file
from ..system.removal import remove_tree

__all__ = ["Journal", "NoJobError", "Record", "Records"]

logger = logging.getLogger(__name__)

_CHECKPOINT_LENGTH = 128


@dataclass
class Record:
    """One job. Times are seconds since the epoch; ``units`` holds one dictionary each with ``unit``, ``node`` and
    ``remote_unit`` (the id at the other end, once known).
    """

    id: str
    private_data_dir: str
    artifact_dir: str
    endpoint: JSONObject
    node: str
    worktype: str
    signwork: bool = False
    tlsclient: str | None = None
    ttl: str | None = None
    #: Whether another controller submitted it: its units are then not ours to release unasked.
    adopted: bool = False
    #: The directory of the private node that runs it, if one does.
    private_node: str | None = None
    settings: JSONObject = field(default_factory=dict)
    created: float = field(default_factory=time.time)
    units: list[JSONObject] = field(default_factory=list)
    state: str = "pending"
    status: str | None = None
    rc: int | None = None
    exit_code: int | None = None
    explanation: str | None = None
    ended: float | None = None
    #: Whether everything that the job said is saved and was handled.
    delivered: bool = False
    #: Whether its work units are gone, or will be without us.
    released: bool = False


class NoJobError(InputError):
    """There is no record of a job."""


class Journal:
    """How far a follower has come, as the process stage notes it: see
    :class:`receptor_runner.stages.process.Journal`."""

    def __init__(self, directory: Path) -> None:
        self._state_path = directory / "progress.json"
        self.offset, self.skip, self.events = 0, 0, 0
        #: What else a follower must know: the last status, the statistics, whether artifacts came.
        self.memory: JSONObject = {}
        try:
            self._fd = os.open(directory / "checkpoint", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            with contextlib.suppress(ValueError):
                numbers = offset, skip, events = [int(n) for n in os.pread(self._fd, _CHECKPOINT_LENGTH, 0).split()]
                if min(numbers) >= 0:
                    self.offset, self.skip, self.events = offset, skip, events
            with contextlib.suppress(FileNotFoundError, ValueError):
                memory = json.loads(self._state_path.read_bytes())
                self.memory = memory if isinstance(memory, dict) else {}
        except OSError as exc:
            raise OutputError(f"cannot use the job record {directory}: {exc.strerror}") from exc

    def passed(self, offset: int, skip: int, events: int) -> None:
        """:raises OutputError: it cannot be noted."""
        self.offset, self.skip, self.events = offset, skip, events
        try:
            os.pwrite(self._fd, f"{offset} {skip} {events}".ljust(_CHECKPOINT_LENGTH - 1).encode() + b"\n", 0)
        except OSError as exc:
            raise OutputError(f"cannot write the checkpoint of the job: {exc.strerror}") from exc

    def remember(self, **memory: Any) -> None:
        """:raises OutputError: it cannot be noted."""
        self.memory.update(memory)
        _replace(self._state_path, self.memory)

    def close(self) -> None:
        os.close(self._fd)


class Records:
    """All records of one state directory."""

    def __init__(self, directory: Path) -> None:
        self._top = directory

    def directory(self, job: str) -> Path:
        return self._top / check_ident(job)

    def ids(self) -> list[str]:
        return sorted(name for name in os.listdir(self._top) if os.path.lexists(self._top / name / "job.json"))

    def load(self, job: str) -> Record:
        """:raises NoJobError: there is no such job.
        :raises InputError: its record is damaged.
        """
        path = self.directory(job) / "job.json"
        try:
            data = json.loads(path.read_bytes())
        except FileNotFoundError:
            raise NoJobError(f"there is no job {job}; receptor-runner jobs lists those there are") from None
        except (OSError, ValueError) as exc:
            raise _damaged(path, job, exc) from exc
        try:
            return _record(data, job)
        except (TypeError, ValueError, KeyError, AttributeError, UsageError) as exc:
            raise _damaged(path, job, exc) from exc

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
        _replace(directory / "job.json", dataclasses.asdict(record))

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

    def journal(self, job: str) -> Journal:
        return Journal(self.directory(job))

    @contextlib.contextmanager
    def followed(self, job: str) -> Iterator[None]:
        """Keeps every other follower away.

        :raises OutputError: there is one already.
        """
        directory = self.directory(job)
        try:
            directory.mkdir(mode=0o700, exist_ok=True)
            fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as exc:
            raise OutputError(f"cannot use the job record {directory}: {exc.strerror}") from exc
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise OutputError(f"the job {job} is being followed by another process already") from None
            yield
        finally:
            os.close(fd)


def _damaged(path: Path, job: str, exc: Exception) -> InputError:
    return InputError(f"the job record {path} is damaged ({exc}); receptor-runner release --force {job} removes it")


def _record(data: Any, job: str) -> Record:
    """:raises ValueError: or another error: it is no record of ``job``."""
    known = {one.name for one in dataclasses.fields(Record)}
    record = Record(**{name: value for name, value in data.items() if name in known})
    texts = (record.private_data_dir, record.artifact_dir, record.node, record.worktype, record.state)
    if record.id != job or not all(isinstance(text, str) for text in texts):
        raise ValueError("it is not that of this job")
    if not isinstance(record.endpoint, dict) or not isinstance(record.endpoint.get("socket"), str):
        raise ValueError("it names no socket")
    if not isinstance(record.units, list):
        raise ValueError("it has no list of units")
    for unit in record.units:
        check_unit_id(unit["unit"])
        if not isinstance(unit.get("local"), bool):
            raise ValueError("it has a unit that is nowhere")
    return record


def _replace(path: Path, data: JSONObject) -> None:
    try:
        replace_file(path, json.dumps(data).encode())
    except OSError as exc:
        raise OutputError(f"cannot write {path}: {exc.strerror}") from exc
