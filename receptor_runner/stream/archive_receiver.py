"""Takes one archive out of a stream, and extracts it or one file of it.

Rules: the archive goes to a file without a name first. It is checked against its digest if the sender told one, and
only then extracted. Whoever makes a receiver closes it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import IO, Any

from ..archive.format import ArchiveFormat, UnpackingFormat, format_named
from ..archive.spool import spool
from ..errors import ArchiveError, OutputError
from ..limits import StreamLimits
from .messages import ArchiveStart

__all__ = ["ArchiveReceiver"]


class ArchiveReceiver:
    """One archive on its way in.

    :param make_spool: makes the file that it is kept in.
    """

    def __init__(self, start: ArchiveStart, make_spool: Callable[[], IO[bytes]] = spool) -> None:
        #: What the sender says about what is not in it.
        self.warnings = start.warnings
        #: The name of its format.
        self.format = start.format
        self._expected = start.sha256
        self._digest = _sha256() if start.sha256 else None
        self._file = make_spool()

    def receive(self, chunk: bytes) -> None:
        """:raises OutputError: the temporary directory is full."""
        if self._digest is not None:
            self._digest.update(chunk)
        try:
            self._file.write(chunk)
        except OSError as exc:
            raise OutputError(f"cannot store an archive on its way in: {exc.strerror}") from exc

    def extract(
        self, target: str, limits: StreamLimits, *, artifacts: bool = False, by: UnpackingFormat | None = None
    ) -> Iterator[None]:
        """Extracts into ``target``, yielding often.

        :param by: the format, if it is none that everybody knows.
        :raises ArchiveError: it is not what was sent, or not acceptable.
        :raises OutputError: ``target`` cannot be written.
        """
        self._check()
        yield from (by or self._known_format()).unpack(self._file, target, limits, artifacts=artifacts)

    def member(self, name: str, limit: int) -> bytes | None:
        """The beginning of one file in it, ``limit`` bytes at most; None if it is not there.

        :raises ArchiveError: it is not what was sent.
        :raises OutputError: the temporary directory is full.
        """
        self._check()
        return self._known_format().member(self._file, name, limit)

    def _known_format(self) -> ArchiveFormat:
        try:
            return format_named(self.format)
        except KeyError:
            raise ArchiveError(f"the archive is packed as {self.format[:80]!r}, which is not known here") from None

    def _check(self) -> None:
        if self._digest is not None and self._digest.hexdigest() != self._expected:
            raise ArchiveError("the archive is damaged: its digest is not what the sender told")
        try:
            self._file.flush()
        except OSError as exc:
            raise OutputError(f"cannot store an archive on its way in: {exc.strerror}") from exc

    def close(self) -> None:
        with contextlib.suppress(OSError):  # what a full disk did not take is not needed any more
            self._file.close()


def _sha256() -> Any:
    """Imports hashlib, which takes 4 MB of memory; an archive from ansible-runner has no digest."""
    import hashlib

    return hashlib.sha256()
