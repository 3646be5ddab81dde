"""The formats that an archive can have, and which of them two ends share.

Rules: a format packs and unpacks, and knows nothing about streams. Every stage of ansible-runner reads zip, so zip is
what a sender uses for an end that names no format. A new format is one more class here and one more name in
:data:`FORMATS`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import IO, Protocol

from ..limits import StreamLimits
from .collect import Report
from .entry import Entry

__all__ = [
    "DELTA", "FORMATS", "SEALED", "ZIP", "ArchiveFormat", "Packer", "PackingFormat", "UnpackingFormat", "best_format",
    "format_named",
]  # fmt: skip


class Packer(Protocol):
    """One archive being written. If ``told`` is set, it is told the name, mode, size and CRC-32 of each member."""

    told: Callable[[str, int, int, int], None] | None

    @property
    def size(self) -> int:
        """Bytes written so far."""

    @property
    def acceptable(self) -> bool:
        """Whether a receiver takes it, as far as is known by now."""

    @property
    def sha256(self) -> str:
        """The digest of what is written so far, in hex."""

    def pack(self, entries: Iterable[Entry]) -> Iterator[None]:
        """Writes ``entries`` and the end of the archive, yielding often. What no receiver takes is left out and told.

        :raises OutputError: the file cannot be written, most likely because the disk is full.
        """

    def chunks(self) -> Iterator[bytes]:
        """The whole archive from its beginning."""


class PackingFormat(Protocol):
    """One way to turn a directory into bytes. ``name`` is what the two ends call it."""

    @property
    def name(self) -> str: ...

    def packer(self, file: IO[bytes], report: Report) -> Packer:
        """A packer that writes to ``file`` and tells ``report`` what it cannot read."""


class UnpackingFormat(Protocol):
    """The way back."""

    def unpack(self, file: IO[bytes], target: str, limits: StreamLimits, *, artifacts: bool) -> Iterator[None]:
        """Extracts the archive in ``file`` into the directory ``target``, yielding often.

        :param artifacts: what a job has left: nothing becomes readable for others, no link leads out of ``target``,
            and event files are left out.
        :raises ArchiveError: the archive is damaged, hostile or too large.
        :raises OutputError: ``target`` cannot be written.
        """


class ArchiveFormat(PackingFormat, UnpackingFormat, Protocol):
    """One way to turn a directory into bytes and back, for which nothing but the bytes is needed."""

    def member(self, file: IO[bytes], name: str, limit: int) -> bytes | None:
        """The beginning of the file ``name`` in the archive, ``limit`` bytes at most; None if it is not there.

        :raises ArchiveError: the archive is damaged.
        """


class _Zip:
    """Loads only the half that is used: a stage either packs or unpacks before it does anything else."""

    name = "zip"

    def packer(self, file: IO[bytes], report: Report) -> Packer:
        from .pack import ZipPacker

        return ZipPacker(file, report)

    def unpack(self, file: IO[bytes], target: str, limits: StreamLimits, *, artifacts: bool) -> Iterator[None]:
        from .unpack import unpack_zip

        return unpack_zip(file, target, limits, artifacts=artifacts)

    def member(self, file: IO[bytes], name: str, limit: int) -> bytes | None:
        from .unpack import zip_member

        return zip_member(file, name, limit)


ZIP: ArchiveFormat = _Zip()
#: The names of the formats of ``delta/`` and ``sealing/``, which need more than a file.
DELTA, SEALED = "delta", "sealed"
#: By name; the best one comes first.
FORMATS: dict[str, ArchiveFormat] = {ZIP.name: ZIP}


def best_format(readable: Iterable[str]) -> ArchiveFormat:
    """The best format that the other end says it can read; zip if it names none that we have."""
    names = set(readable)
    return next((one for name, one in FORMATS.items() if name in names), ZIP)


def format_named(name: str) -> ArchiveFormat:
    """:raises KeyError: there is no such format here."""
    return FORMATS[name]
