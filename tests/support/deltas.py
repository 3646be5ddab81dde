"""A client and nodes with stores, without a mesh between them."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

from receptor_runner.archive.collect import collect
from receptor_runner.archive.entry import Entry
from receptor_runner.archive.pack import ZipPacker
from receptor_runner.archive.unpack import unpack_zip
from receptor_runner.delta.content_store import ContentStore
from receptor_runner.delta.digest_index import DigestIndex
from receptor_runner.delta.lacking import LackingError
from receptor_runner.delta.manifest import PieceWriter, TreeEntry, write_root
from receptor_runner.delta.packer import DeltaPacker
from receptor_runner.delta.references import Digester
from receptor_runner.delta.unpacker import unpack_delta
from receptor_runner.delta.work_tree import WorkTree
from receptor_runner.limits import DEFAULT_LIMITS
from receptor_runner.system.removal import remove_tree

OWNER = "0123456789abcdef" * 2

DIGESTER = Digester(b"k" * 32)
FILE = stat.S_IFREG | 0o644


def refuse(path: str, reason: str, fatal: bool) -> None:
    raise AssertionError(f"{path} {reason}")


def wait_for_clock(directory: Path) -> None:
    """Until what changes in the file system of ``directory`` gets another time."""
    probe = directory / "clock"
    probe.write_bytes(b"")
    before = probe.stat().st_ctime_ns
    while probe.stat().st_ctime_ns == before:
        probe.touch()
    probe.unlink()


class Client:
    """Whoever has ``directory``, and what he remembers of the node.

    :param patient: it waits for the clock before it looks at files, and believes the times of all.
    """

    def __init__(
        self, directory: Path, memory: Path, key: bytes = b"k" * 32, owner: str = OWNER, *, patient: bool = False
    ) -> None:
        self.patient = patient
        self.directory = directory
        self.digester = Digester(key)
        self.owner = owner
        self.there: set[bytes] = set()
        self.sent = 0
        #: The last directory that was made, if a store can have it when its job is over.
        self.made: WorkTree | None = None
        self._memory = memory

    def packed(self) -> tuple[IO[bytes], set[bytes]]:
        """An archive of the directory, and what it names."""
        file = tempfile.TemporaryFile()  # noqa: SIM115 - whoever unpacks it closes it
        packer = self.pack(file, self.index())
        self.sent = packer.size
        return file, packer.named

    def index(self) -> DigestIndex:
        """What it remembers of the files."""
        if not self.patient:
            return DigestIndex(self._memory, self.digester)
        wait_for_clock(self._memory.parent)
        return DigestIndex(self._memory, self.digester, begun_ns=time.time_ns() + 10**10)

    def pack(
        self, file: IO[bytes], index: DigestIndex, told: Callable[[str, int, int, int], None] | None = None
    ) -> DeltaPacker:
        """Writes an archive of the directory to ``file``.

        :param told: hears of all that is in it.
        """
        packer = DeltaPacker(file, refuse, self.digester, index, frozenset(self.there))
        packer.told = told
        for _ in packer.pack(collect(str(self.directory), refuse)):
            pass
        return packer

    def send(self, target: Path, store: Path, place: str = "") -> int:
        """Makes the directory in ``target`` on a node with ``store``; how many rounds that took.

        :param place: use what an earlier job of that place has left.
        """
        for rounds in (1, 2):
            if self.made is not None:
                self.made.give_back(lambda: ContentStore(store))
                self.made = None
            remove_tree(str(target))
            target.mkdir()
            file, named = self.packed()
            try:
                with file:
                    self.unpack(file, target, store, place)
            except LackingError as exc:
                self.there = (self.there | named) - set(exc.digests) if exc.digests else set()
            else:
                self.there |= named
                return rounds
        raise AssertionError("the node lacks something after two rounds")

    def unpack(self, file: IO[bytes], target: Path, store: Path, place: str) -> None:
        with ContentStore(store) as opened:
            self.made = WorkTree(opened, str(target), self.owner, place) if place else None
            owned = opened.owned(self.owner)
            for _ in unpack_delta(file, str(target), DEFAULT_LIMITS, self.digester, owned, self.made):
                pass


def unpack(file: IO[bytes], target: Path, store: Path, digester: Digester, owner: str = OWNER) -> None:
    with ContentStore(store) as opened:
        for _ in unpack_delta(file, str(target), DEFAULT_LIMITS, digester, opened.owned(owner)):
            pass


def send_whole(directory: Path, target: Path) -> int:
    """What a full transmit makes in ``target``; its size."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    with tempfile.TemporaryFile() as file:
        packer = ZipPacker(file, refuse)
        for _ in packer.pack(collect(str(directory), refuse)):
            pass
        for _ in unpack_zip(file, str(target)):
            pass
        return packer.size


def seen(top: Path) -> dict[str, tuple[object, ...]]:
    """Everything below ``top``: mode, time and content, by name."""
    found: dict[str, tuple[object, ...]] = {}
    for directory, names, files in os.walk(top):
        for name in (*names, *files):
            path = os.path.join(directory, name)
            info = os.lstat(path)
            content: object = None
            if stat.S_ISLNK(info.st_mode):
                content = os.readlink(path)
            elif stat.S_ISREG(info.st_mode):
                content = Path(path).read_bytes()
            found[os.path.relpath(path, top)] = info.st_mode, info.st_mtime_ns, content
    return found


def contents(store: Path) -> list[Path]:
    """The files of contents in a store."""
    return sorted(path for path in store.rglob("*") if path.is_file() and path.parent.name != "v1")


def archive(*entries: TreeEntry, more: dict[str, bytes] | None = None) -> IO[bytes]:
    """One whose manifest lists ``entries``, with the members ``more``."""
    writer = PieceWriter()
    pieces = [piece for entry in entries for piece in writer.add(entry)] + list(writer.rest())
    references = [DIGESTER.reference(piece) for piece in pieces]
    members = {f"/{one.digest.hex()}": piece for one, piece in zip(references, pieces, strict=True)}
    members |= {"/manifest": write_root(references), **(more or {})}
    return zipped(members)


def zipped(members: dict[str, bytes]) -> IO[bytes]:
    file = tempfile.TemporaryFile()  # noqa: SIM115 - the test closes it
    packer = ZipPacker(file, refuse)
    for _ in packer.pack(Entry(name, FILE, 0, len(data), data=data) for name, data in members.items()):
        pass
    return file


def one_file(name: str, data: bytes) -> TreeEntry:
    return TreeEntry(name, FILE, 0, len(data), 0, (DIGESTER.reference(data),))
