"""The contents of one owner in the store of a node.

Rules: what is missing, cut or damaged is not there, and what cannot be written is not kept; neither is an error. A
content gets its name when it is whole, and is never written again: other files may share its blocks."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import secrets
import time
from collections.abc import Callable, Iterator

from ..archive.deflate import deflate
from ..archive.tree import NEW_FILE, write_all
from .references import TAG, ContentCipher, Reference

__all__ = ["OwnedContents"]

logger = logging.getLogger(__name__)

#: The use of a content is noted when the last note is so old, in seconds.
_NOTED_AFTER = 300.0
#: ``FICLONE`` of ``linux/fs.h``. A small content is written sooner.
_FICLONE = 0x40049409
_CLONED_FROM = 16 * 1024


class OwnedContents:
    """The contents of one owner, in a directory that is open.

    :param takes: told how many bytes are to be added, and says whether there is room for them.
    """

    def __init__(self, directory: int, takes: Callable[[int], bool], cipher: ContentCipher | None) -> None:
        self._cipher = cipher
        self._directory = directory
        self._takes = takes
        #: Whether this file system may be able to share blocks between files.
        self._clones = cipher is None
        self._aside = f"{secrets.token_hex(8)}.part"
        #: Whether it still takes something.
        self._open = True
        self._given: list[Reference] = []
        self._now = time.time()

    def get(self, reference: Reference) -> bytes | None:
        """The content; None if it is not there, or not what it was. What is damaged is removed."""
        with self._opened(reference) as fd:
            return self._read(reference, fd)

    def note_use(self, reference: Reference) -> bool:
        """Notes that somebody needs the content, though nobody reads it; whether it is there."""
        with contextlib.suppress(OSError):
            found = os.stat(_path(reference), dir_fd=self._directory, follow_symlinks=False)
            if found.st_mtime < self._now - _NOTED_AFTER:
                os.utime(_path(reference), dir_fd=self._directory, follow_symlinks=False)
            return True
        return False

    def copy(self, reference: Reference, target: int) -> bool:
        """Writes the content into the empty file ``target``, which shares its blocks if the file system can do that.
        False if it is not there, or not what it was.

        :raises OSError: ``target`` cannot be written.
        """
        with self._opened(reference) as fd:
            data = self._read(reference, fd)
            if data is not None and not self._cloned(fd, target, len(data)):
                write_all(target, data)
            return data is not None

    def _cloned(self, source: int, target: int, size: int) -> bool:
        if not self._clones or size < _CLONED_FROM:
            return False
        try:
            fcntl.ioctl(target, _FICLONE, source)
        except OSError:
            self._clones = False
        return self._clones

    @contextlib.contextmanager
    def _opened(self, reference: Reference) -> Iterator[int]:
        """A descriptor; -1 if there is none."""
        try:
            fd = os.open(_path(reference), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._directory)
        except OSError:
            yield -1
            return
        try:
            yield fd
        finally:
            os.close(fd)

    def _read(self, reference: Reference, fd: int) -> bytes | None:
        if fd < 0:
            return None
        path = _path(reference)
        try:
            size = reference.size + (TAG if self._cipher is not None else 0)
            data = os.read(fd, size + 1)
            while len(data) < size and (more := os.read(fd, size - len(data))):
                data += more
            found = self._cipher.open(reference, data) if self._cipher is not None else data
            if found is not None and len(found) == reference.size and deflate.crc32(found) == reference.crc:
                if os.fstat(fd).st_mtime < self._now - _NOTED_AFTER:
                    os.utime(fd)
                return found
        except OSError as exc:
            logger.info("%s cannot be read: %s", path, exc.strerror)
            return None
        logger.warning("the content %s in the store was damaged", path)
        with contextlib.suppress(OSError):
            os.unlink(path, dir_fd=self._directory)
        return None

    def put(self, reference: Reference, data: bytes) -> None:
        """Keeps ``data``, whose digest was looked at, if there is room."""
        self._given.append(reference)
        self._open = self._open and self._takes(len(data))
        if not self._open:
            return
        path = _path(reference)
        try:
            fd = self._new()
            try:
                write_all(fd, self._cipher.seal(reference, data) if self._cipher is not None else data)
            finally:
                os.close(fd)
            self._rename(path)
        except OSError as exc:
            logger.warning("the store takes no more: %s", exc.strerror)
            self._open = False
            with contextlib.suppress(OSError):
                os.unlink(self._aside, dir_fd=self._directory)

    def not_kept(self) -> tuple[bytes, ...]:
        """The digests of what was given and is not there: there was no room, or others needed it."""
        return tuple(one.digest for one in self._given if not self.note_use(one))

    def _new(self) -> int:
        return os.open(self._aside, NEW_FILE, 0o600, dir_fd=self._directory)

    def _rename(self, path: str) -> None:
        try:
            os.rename(self._aside, path, src_dir_fd=self._directory, dst_dir_fd=self._directory)
        except FileNotFoundError:
            with contextlib.suppress(FileExistsError):
                os.mkdir(os.path.dirname(path), 0o700, dir_fd=self._directory)
                self._takes(0)
            os.rename(self._aside, path, src_dir_fd=self._directory, dst_dir_fd=self._directory)

    def close(self) -> None:
        os.close(self._directory)


def _path(reference: Reference) -> str:
    """Below the directory of its owner."""
    name = reference.digest.hex()
    return f"{name[:2]}/{name[2:]}"
