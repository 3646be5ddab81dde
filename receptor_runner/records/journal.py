"""How far the follower of a job has come.

Rules: a checkpoint is one short write, after each item of the stream: the offset of a message boundary, how many items
behind it are done, and how many events were handled. Whatever else the next follower must know is replaced as a
whole."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import OutputError
from ..system.files import replace_file

if TYPE_CHECKING:
    from ..stages.process import JobMemory

__all__ = ["Journal"]

_CHECKPOINT_LENGTH = 128


class Journal:
    """The journal in ``directory``: a :class:`receptor_runner.stages.process.JobJournal`.

    :raises OutputError: it cannot be used.
    """

    kept = True

    def __init__(self, directory: Path) -> None:
        self._state_path = directory / "progress.json"
        self.offset, self.skip, self.events = 0, 0, 0
        self.memory: JobMemory = {}
        try:
            self._fd = os.open(directory / "checkpoint", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            with contextlib.suppress(ValueError):
                numbers = offset, skip, events = [int(n) for n in os.pread(self._fd, _CHECKPOINT_LENGTH, 0).split()]
                if min(numbers) >= 0:
                    self.offset, self.skip, self.events = offset, skip, events
            with contextlib.suppress(FileNotFoundError, ValueError):
                memory: JobMemory = json.loads(self._state_path.read_bytes())
                self.memory = memory if isinstance(memory, dict) else {}
        except OSError as exc:
            raise OutputError(f"cannot use the job record {directory}: {exc.strerror}") from exc

    def passed(self, offset: int, skip: int, events: int) -> None:
        """Another follower may go on here.

        :raises OutputError: that cannot be noted.
        """
        self.offset, self.skip, self.events = offset, skip, events
        try:
            os.pwrite(self._fd, f"{offset} {skip} {events}".ljust(_CHECKPOINT_LENGTH - 1).encode() + b"\n", 0)
        except OSError as exc:
            raise OutputError(f"cannot write the checkpoint of the job: {exc.strerror}") from exc

    def remember(self, memory: JobMemory) -> None:
        """Another follower will find ``memory``.

        :raises OutputError: that cannot be noted.
        """
        self.memory.update(memory)
        try:
            replace_file(self._state_path, json.dumps(self.memory).encode())
        except OSError as exc:
            raise OutputError(f"cannot write {self._state_path}: {exc.strerror}") from exc

    def close(self) -> None:
        os.close(self._fd)
