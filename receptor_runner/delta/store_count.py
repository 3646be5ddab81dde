"""How much a store holds, as far as its workers have counted.

Rules: each worker adds a line, so none undoes what another one counts at the same time. What is no number counts for
nothing; whoever looks at all that is there sets the count right."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from ..system.below import read_regular
from ..system.files import replace_file

__all__ = ["StoreCount", "room_for"]

#: A longer file is made one line again, in bytes.
_LONG = 64 * 1024
_LONGEST = 16 * _LONG
#: The unit in which file systems give room to files, in bytes.
_BLOCK = 4096


def room_for(size: int) -> int:
    """What a file of ``size`` bytes takes of a disk, in bytes; a directory, too."""
    return max(1, -(-size // _BLOCK)) * _BLOCK


class StoreCount:
    """The count in the file ``path``, which need not be there."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def total(self) -> int:
        """In bytes."""
        total = 0
        with contextlib.suppress(OSError):
            for line in read_regular(self._path, _LONGEST).splitlines():
                with contextlib.suppress(ValueError):
                    total += int(line)
        return max(0, total)

    def add(self, size: int) -> int:
        """The total by now.

        :raises OSError: it cannot be written.
        """
        fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            if os.fstat(fd).st_size <= _LONG:
                os.write(fd, b"\n%+d" % size)
                return self.total()
        finally:
            os.close(fd)
        total = max(0, self.total() + size)
        self.set(total)
        return total

    def set(self, size: int) -> None:
        """:raises OSError: it cannot be written."""
        replace_file(self._path, b"%d" % size)
