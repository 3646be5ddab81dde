"""One archive for many receivers that lack the same: it is packed once, and copied for the others.

Rules: what a receiver lacks is known from what the first archive names. The copies are byte for byte what packing would
have made, as long as nobody changes the directory meanwhile; who changes it gets jobs of before and after, as ever."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from typing import IO, NamedTuple

from ..archive.entry import Entry
from ..archive.format import Packer
from ..archive.spool import spool
from ..errors import OutputError
from ..system.places import temporary_place
from .packer import DeltaPacker

__all__ = ["SharedArchives", "Teed"]

_READ = 128 * 1024
#: name, mode, size and CRC-32 of a member.
_Told = tuple[str, int, int, int]


class _Kept(NamedTuple):
    """An archive that was packed. ``file`` is read at its beginning by one thread at a time."""

    file: IO[bytes]
    size: int
    sha256: str
    told: list[_Told]


class SharedArchives:
    """The archives of one job that goes to several nodes. Close it.

    :param make_spool: makes the files that they are kept in.
    """

    def __init__(self, make_spool: Callable[[], IO[bytes]] = spool) -> None:
        self._make_spool = make_spool
        self._apart: SharedArchives | None = None
        #: Held while one packs, so that the others find what it made.
        self.lock = threading.Lock()
        self._kept: dict[frozenset[bytes], _Kept] = {}
        #: The digests of all that the job consists of, once that is known.
        self._named: set[bytes] | None = None

    def __enter__(self) -> SharedArchives:
        return self

    def __exit__(self, *exc: object) -> None:
        for kept in self._kept.values():
            kept.file.close()
        if self._apart is not None:
            self._apart.__exit__(*exc)

    def apart(self, make_spool: Callable[[], IO[bytes]]) -> SharedArchives:
        """Those that have other digests, and are kept in other files."""
        with self.lock:
            self._apart = self._apart or SharedArchives(make_spool)
        return self._apart

    def kept_as(self, file: IO[bytes]) -> Teed:
        """What writes to ``file``, and to what is kept."""
        return Teed(file, self._make_spool)

    def packer(self, file: Teed, own: DeltaPacker, there: frozenset[bytes], is_good: Callable[[], bool]) -> Packer:
        """What writes an archive to ``file``: ``own`` packs it, or another one is copied.

        :param there: what the receiver has.
        :param is_good: whether nothing had to be told of what was packed. Only such an archive is copied.
        """
        return _SharedPacker(self, file, own, there, is_good)

    def find(self, there: frozenset[bytes]) -> _Kept | None:
        """What was packed for a receiver that lacks the same."""
        return self._kept.get(frozenset(self._named - there)) if self._named is not None else None

    def keep(self, packed: DeltaPacker, there: frozenset[bytes], told: list[_Told], file: IO[bytes] | None) -> None:
        """Keeps what was packed. ``file`` is None if there was no room for it."""
        self._named = packed.named
        if file is not None:
            self._kept[frozenset(packed.named - there)] = _Kept(file, packed.size, packed.sha256, told)

    @property
    def named(self) -> set[bytes]:
        return self._named or set()


class Teed:
    """What of a binary file a packer needs. What is written is kept once more, as long as there is room for it."""

    def __init__(self, file: IO[bytes], make_spool: Callable[[], IO[bytes]]) -> None:
        self.file = file
        self._make_spool = make_spool
        self._kept: IO[bytes] | None = None
        self._is_whole = True

    def write(self, data: bytes) -> int:
        if self._is_whole:
            try:
                self._kept = self._kept or self._make_spool()
                self._kept.write(data)
            except (OSError, OutputError):
                self._is_whole = False
        return self.file.write(data)

    def flush(self) -> None:
        self.file.flush()

    def seek(self, offset: int) -> int:
        return self.file.seek(offset)

    def read(self, size: int) -> bytes:
        return self.file.read(size)

    def taken(self) -> IO[bytes] | None:
        """What was kept, if it is whole. Whoever takes it closes it."""
        kept, self._kept = self._kept, None
        try:
            if kept is not None and self._is_whole:
                kept.flush()
                return kept
        except OSError:
            pass
        if kept is not None:
            kept.close()
        return None

    def drop(self) -> None:
        if self._kept is not None:
            self._kept.close()


class _SharedPacker:
    """A :class:`~receptor_runner.archive.format.Packer`."""

    def __init__(
        self,
        shared: SharedArchives,
        file: Teed,
        own: DeltaPacker,
        there: frozenset[bytes],
        is_good: Callable[[], bool],
    ) -> None:
        self._is_good = is_good
        self.told: Callable[[str, int, int, int], None] | None = None
        self._shared = shared
        self._file = file
        self._own = own
        self._there = there
        self._found: _Kept | None = None

    @property
    def size(self) -> int:
        return self._found.size if self._found is not None else self._own.size

    @property
    def acceptable(self) -> bool:
        return self._found is not None or self._own.acceptable

    @property
    def sha256(self) -> str:
        return self._found.sha256 if self._found is not None else self._own.sha256

    def pack(self, entries: Iterable[Entry]) -> Iterator[None]:
        with self._shared.lock:
            self._found = self._shared.find(self._there)
            if self._found is None:
                yield from self._pack(entries)
                return
            try:
                self._found.file.seek(0)
                while chunk := self._found.file.read(_READ):
                    self._file.file.write(chunk)
                    yield
                self._file.flush()
            except OSError as exc:
                raise OutputError(f"cannot write an archive in {temporary_place()}: {exc.strerror}") from exc
        for _ in entries:  # what cannot travel is told for each receiver
            yield
        for member in self._found.told:
            self._tell(*member)

    def _pack(self, entries: Iterable[Entry]) -> Iterator[None]:
        told: list[_Told] = []

        def tell(*member: object) -> None:
            told.append(member)  # type: ignore[arg-type]
            self._tell(*told[-1])

        self._own.told = tell
        try:
            yield from self._own.pack(entries)
            if self._own.acceptable and self._is_good():
                self._shared.keep(self._own, self._there, told, self._file.taken())
        finally:
            self._file.drop()

    def _tell(self, name: str, mode: int, size: int, crc: int) -> None:
        if self.told is not None:
            self.told(name, mode, size, crc)

    def chunks(self) -> Iterator[bytes]:
        return self._own.chunks()
