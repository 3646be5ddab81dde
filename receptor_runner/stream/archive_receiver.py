"""Takes an archive out of a stream and puts it where it belongs.

Rules: the archive is spooled to a file without a name, checked against the digest if the sender told one, and only
then extracted."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import IO, Any

from ..archive.spool import spool
from ..archive.unpack import unpack
from ..errors import ArchiveError, OutputError
from ..limits import StreamLimits
from .messages import ArchiveStart

__all__ = ["ArchiveReceiver"]


class ArchiveReceiver:
    """One archive on its way in."""

    def __init__(self, start: ArchiveStart) -> None:
        self._expected = start.sha256
        self._digest = _sha256() if start.sha256 else None
        self._file: IO[bytes] = spool()

    def receive(self, chunk: bytes) -> None:
        """:raises OutputError: the temporary directory is full."""
        if self._digest is not None:
            self._digest.update(chunk)
        try:
            self._file.write(chunk)
        except OSError as exc:
            raise OutputError(f"cannot store an archive on its way in: {exc.strerror}") from exc

    def extract(self, target: str, limits: StreamLimits, *, private: bool = False) -> Iterator[None]:
        """Extracts into ``target``, yielding often.

        :raises ArchiveError: it is not what was sent, or not acceptable.
        :raises OutputError: ``target`` cannot be written.
        """
        if self._digest is not None and self._digest.hexdigest() != self._expected:
            raise ArchiveError("the archive is damaged: its digest is not what the sender told")
        try:
            self._file.flush()
        except OSError as exc:
            raise OutputError(f"cannot store an archive on its way in: {exc.strerror}") from exc
        yield from unpack(self._file, target, limits, private=private)

    def close(self) -> None:
        with contextlib.suppress(OSError):  # what a full disk did not take is not needed any more
            self._file.close()


def _sha256() -> Any:
    """hashlib takes 4 MB of memory, and an archive of ansible-runner's has no digest."""
    import hashlib

    return hashlib.sha256()
