"""A temporary file whose content is encrypted, with a key that nobody else has.

Rules: it is written first, and read after that, as what an archive is kept in on its way. Closing it removes it."""

from __future__ import annotations

import os
from typing import IO, cast

from ..archive.spool import spool
from .envelope import BlockCipher
from .sealed_file import SealedReader, SealingWriter

__all__ = ["sealed_spool"]


def sealed_spool() -> IO[bytes]:
    """:raises OutputError: the temporary directory cannot be written."""
    return cast("IO[bytes]", _SealedSpool())


class _SealedSpool:
    """What of a binary file an archive needs."""

    def __init__(self) -> None:
        self._cipher = BlockCipher(os.urandom(32), "spool")
        self._file = spool()
        self._writer: SealingWriter | None = SealingWriter(self._file, self._cipher)
        self._reader: SealedReader | None = None

    def __enter__(self) -> _SealedSpool:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def write(self, data: bytes) -> int:
        assert self._writer is not None
        return self._writer.write(data)

    def flush(self) -> None:
        """What is held is written when it is read."""

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._readable().seek(offset, whence)

    def read(self, size: int = -1) -> bytes:
        return self._readable().read(size)

    def _readable(self) -> SealedReader:
        if self._reader is None:
            assert self._writer is not None
            self._writer.finish()
            self._writer = None
            self._reader = SealedReader(self._file, self._cipher)
        return self._reader

    def close(self) -> None:
        self._file.close()
