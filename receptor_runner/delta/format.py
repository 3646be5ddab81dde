"""The delta archive as one of the formats that an archive can have.

Rules: a sender has what he knows of files and of the receiver. A receiver has a store, or none. Whose store it is and
the key of the digests travel beside the archive, so the same archive suits many receivers."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Container, Iterator
from typing import IO

from ..archive.collect import Report
from ..archive.format import DELTA
from ..archive.unpack import zip_member
from ..errors import ArchiveError
from ..limits import StreamLimits
from ..stream.messages import JSONObject
from .content_store import ContentStore, OwnedContents
from .digest_index import DigestIndex
from .packer import DeltaPacker
from .references import Digester
from .unpacker import unpack_delta

__all__ = ["DeltaFormat", "store_reference"]

_OWNER = re.compile(r"[0-9a-f]{32}")
_KEY = re.compile(r"[0-9a-f]{64}")


class DeltaFormat:
    """:param store: for a receiver.
    :param index: what a sender knows of the files of a job.
    :param there: the digests of what the receiver should have.
    """

    name = DELTA

    def __init__(
        self,
        digester: Digester,
        store: OwnedContents | None = None,
        *,
        index: DigestIndex | None = None,
        there: Container[bytes] = (),
    ) -> None:
        #: The digests of all that the last archive names.
        self.named: set[bytes] = set()
        self._digester = digester
        self._store = store
        self._index = index
        self._there = there

    @classmethod
    def of_receiver(cls, reference: JSONObject | None, store: ContentStore | None) -> DeltaFormat:
        """:param reference: what :func:`store_reference` made.
        :raises ArchiveError: it names no store.
        """
        owner, key = (str((reference or {}).get(name)) for name in ("owner", "key"))
        if not _OWNER.fullmatch(owner) or not _KEY.fullmatch(key):
            raise ArchiveError("the archive does not say whose store it needs")
        owned = None
        if store is not None:
            with contextlib.suppress(OSError):  # a full disk: then everything has to come
                owned = store.owned(owner)
        return cls(Digester(bytes.fromhex(key)), owned)

    def packer(self, file: IO[bytes], report: Report) -> DeltaPacker:
        assert self._index is not None
        packer = DeltaPacker(file, report, self._digester, self._index, self._there)
        self.named = packer.named
        return packer

    def unpack(self, file: IO[bytes], target: str, limits: StreamLimits, *, artifacts: bool) -> Iterator[None]:
        """:raises LackingError: the store and the archive together have not all of it."""
        return unpack_delta(file, target, limits, self._digester, self._store)

    def member(self, file: IO[bytes], name: str, limit: int) -> bytes | None:
        return zip_member(file, name, limit)


def store_reference(owner: str, digester: Digester) -> JSONObject:
    """What travels beside the archive."""
    return {"owner": owner, "key": digester.key.hex()}
