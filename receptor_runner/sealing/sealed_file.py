"""A file whose content is encrypted: written from its beginning to its end, read at any place.

Rules: nothing in clear reaches the file. A block is believed when it opens, and the end when the last block does."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator
from typing import IO

from ..errors import RefusedError
from .envelope import BLOCK, TAG, BlockCipher

__all__ = ["SealedReader", "SealingWriter"]

_READ = 128 * 1024


class SealingWriter(io.RawIOBase):
    """Takes the content by :meth:`write`; :meth:`finish` ends it. ``size`` is that of what is in ``file``."""

    def __init__(self, file: IO[bytes], cipher: BlockCipher) -> None:
        super().__init__()
        self.size = 0
        self._file = file
        self._cipher = cipher
        self._digest = hashlib.sha256()
        self._held = bytearray()
        self._number = 0

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self._held += data
        while len(self._held) > BLOCK:
            self._put(bytes(self._held[:BLOCK]), last=False)
            del self._held[:BLOCK]
        return len(data)

    def finish(self) -> None:
        """:raises OSError: the file cannot be written."""
        self._put(bytes(self._held), last=True)
        self._held.clear()
        self._file.flush()

    def _put(self, block: bytes, *, last: bool) -> None:
        sealed = self._cipher.seal(self._number, block, last=last)
        self._file.write(sealed)
        self._digest.update(sealed)
        self.size += len(sealed)
        self._number += 1

    @property
    def sha256(self) -> str:
        """The digest of what is in ``file``, in hex."""
        return self._digest.hexdigest()

    def chunks(self) -> Iterator[bytes]:
        """What is in ``file``, from its beginning."""
        self._file.seek(0)
        while chunk := self._file.read(_READ):
            yield chunk


class SealedReader(io.RawIOBase):
    """The content of ``file``.

    :raises RefusedError: its end is not what was written.
    """

    def __init__(self, file: IO[bytes], cipher: BlockCipher) -> None:
        super().__init__()
        self._file = file
        self._cipher = cipher
        size = file.seek(0, os.SEEK_END)
        self._blocks = -(-size // (BLOCK + TAG))
        if self._blocks < 1:
            raise RefusedError("there is nothing in what is sealed")
        self._known = -1, b""
        self._size = (self._blocks - 1) * BLOCK + len(self._block(self._blocks - 1))
        self._place = 0

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        begin = {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._size}[whence]
        self._place = begin + offset
        return self._place

    def read(self, size: int = -1) -> bytes:
        """:raises RefusedError: it is not what was written."""
        until = self._size if size < 0 else min(self._size, self._place + size)
        parts = []
        while self._place < until:
            number, offset = divmod(self._place, BLOCK)
            part = self._block(number)[offset : offset + until - self._place]
            parts.append(part)
            self._place += len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _block(self, number: int) -> bytes:
        if self._known[0] != number:
            self._file.seek(number * (BLOCK + TAG))
            sealed = self._file.read(BLOCK + TAG)
            self._known = number, self._cipher.open(number, sealed, last=number == self._blocks - 1)
        return self._known[1]
