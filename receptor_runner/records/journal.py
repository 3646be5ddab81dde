"""How far the follower of a job has come.

Rules: there is one file. A checkpoint is one short write at its beginning, after each item of the stream: the offset of
a message boundary, how many items behind it are done, how many events were handled, and where in the file stands what
else the next follower must know. That part is only ever added to. A checksum covers both. If it is wrong, because a
machine lost its power between two writes, the next follower begins at the beginning: nothing is lost, and handlers are
called again."""

from __future__ import annotations

import contextlib
import json
import os
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import OutputError, RefusedError
from ..stream.bounded_json import parse_json
from ..system.below import open_regular

if TYPE_CHECKING:
    from ..sealing.envelope import BlockCipher
    from ..stages.job_journal import JobMemory

__all__ = ["Journal"]

_CHECKPOINT_LENGTH = 128
#: What older versions kept in two files, in this order.
_OLD_CHECKPOINT, _OLD_MEMORY = "checkpoint", "progress.json"


class Journal:
    """The journal in ``directory``: a :class:`receptor_runner.stages.job_journal.JobJournal`.

    :param cipher: encrypts what the job has said.
    :raises OutputError: it cannot be used.
    """

    kept = True

    def __init__(self, directory: Path, cipher: BlockCipher | None = None) -> None:
        self._cipher = cipher
        self._path = directory / "journal"
        self.offset, self.skip, self.events, self.block = 0, 0, 0, 0
        self.memory: JobMemory = {}
        self._memory_at = (_CHECKPOINT_LENGTH, 0, 0)
        try:
            self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            if os.fstat(self._fd).st_size:
                self._read()
            else:
                self._take_over(directory)
        except OSError as exc:
            raise OutputError(f"cannot use the job record {directory}: {exc.strerror}") from exc

    def _read(self) -> None:
        with contextlib.suppress(ValueError, RefusedError):
            line = os.pread(self._fd, _CHECKPOINT_LENGTH, 0)
            *numbers, checksum = [int(number) for number in line.split()]
            offset, skip, events, begin, length, memory_sum, *block = numbers
            if min(numbers) < 0 or checksum != _checksum(numbers):
                raise ValueError
            text = os.pread(self._fd, length, begin)
            if len(text) != length or zlib.crc32(text) != memory_sum:
                raise ValueError
            if text and self._cipher is not None:
                text = self._cipher.open_text(text)
            memory = parse_json(text) if text else {}
            if not isinstance(memory, dict):
                raise ValueError
            self.offset, self.skip, self.events = offset, skip, events
            self.block = block[0] if block else 0
            self.memory = memory  # type: ignore[assignment]
            self._memory_at = (begin, length, memory_sum)

    def _take_over(self, directory: Path) -> None:
        """Goes on where an older version stopped. Every stream begins with a status, so a checkpoint without one is
        not believed.
        """
        with contextlib.suppress(FileNotFoundError, ValueError):
            with os.fdopen(open_regular(directory / _OLD_CHECKPOINT), "rb") as file:
                numbers = offset, skip, events = [int(number) for number in file.read(_CHECKPOINT_LENGTH).split()]
            with os.fdopen(open_regular(directory / _OLD_MEMORY), "rb") as file:
                memory = parse_json(file.read())
            plausible = min(numbers) >= 0 and max(numbers) < 2**62 and offset > 0
            status = memory.get("status") if isinstance(memory, dict) else None
            if plausible and isinstance(status, dict) and isinstance(memory.get("stats") or {}, dict):
                self.offset, self.skip, self.events = offset, skip, events
                self.remember(memory)

    def passed(self, offset: int, skip: int, events: int, block: int = 0) -> None:
        """Another follower may go on here.

        :param block: the number of the first sealed part behind ``offset``; 0 if nothing is sealed.

        :raises OutputError: that cannot be noted.
        """
        self.offset, self.skip, self.events, self.block = offset, skip, events, block
        numbers = [offset, skip, events, *self._memory_at, *([block] if block else [])]
        line = f"{' '.join(map(str, numbers))} {_checksum(numbers)}".ljust(_CHECKPOINT_LENGTH - 1) + "\n"
        self._write(line.encode(), 0)

    def remember(self, memory: JobMemory) -> None:
        """Another follower will find ``memory``.

        :raises OutputError: that cannot be noted.
        """
        self.memory.update(memory)
        text = json.dumps(self.memory).encode()
        begin, length, _ = self._memory_at
        if self._cipher is not None:
            text = self._cipher.seal_text(text)
        self._write(text, begin + length)
        self._memory_at = (begin + length, len(text), zlib.crc32(text))
        self.passed(self.offset, self.skip, self.events, self.block)

    def _write(self, data: bytes, place: int) -> None:
        view = memoryview(data)
        try:
            while view:
                written = os.pwrite(self._fd, view, place)
                place += written
                view = view[written:]
        except OSError as exc:
            raise OutputError(f"cannot write {self._path}: {exc.strerror}") from exc

    def close(self) -> None:
        os.close(self._fd)


def _checksum(numbers: list[int]) -> int:
    return zlib.crc32(b" ".join(b"%d" % number for number in numbers))
