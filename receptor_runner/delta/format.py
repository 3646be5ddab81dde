"""The delta archive: what a sender and a receiver need for it beside the bytes.

Rules: a sender has what he knows of files and of the receiver. A receiver has a store, or none. Whose store it is and
the key of the digests travel beside the archive, so the same archive suits many receivers."""

from __future__ import annotations

import contextlib
import dataclasses
import re
from collections.abc import Callable, Iterator
from typing import IO, cast

from ..archive.collect import Report
from ..archive.format import DELTA, Packer
from ..errors import ArchiveError
from ..limits import StreamLimits
from ..stream.messages import Extension, JSONObject
from .content_store import ContentStore
from .digest_index import DigestIndex
from .owned_contents import OwnedContents
from .packer import DeltaPacker
from .references import ContentCipher, Digester
from .shared import SharedArchives
from .unpacker import unpack_delta
from .work_tree import WorkTree

__all__ = ["DeltaReceiver", "DeltaSender"]

_NAME = re.compile(r"[0-9a-f]{32}")
_KEY = re.compile(r"[0-9a-f]{64}")


class DeltaSender:
    """A :class:`~receptor_runner.stream.job_format.JobFormat`.

    :param index: what is known of the files of the job.
    :param there: the digests of what the receiver should have.
    :param store: what travels beside the archive: ``owner``, the ``key`` of the digests.
    :param shared: the archives of the same job for other receivers.
    :param only_kept: what does not go through a store is left out.
    """

    name = DELTA

    def __init__(
        self,
        digester: Digester,
        index: DigestIndex,
        there: frozenset[bytes],
        store: JSONObject,
        shared: SharedArchives | None = None,
        *,
        only_kept: bool = False,
    ) -> None:
        self._only_kept = only_kept
        self._named: set[bytes] = set()
        self._shared = shared
        self._digester = digester
        self._index = index
        self._there = there
        self._store = store

    def dressed(self, extension: Extension, kwargs: JSONObject) -> Extension:
        return dataclasses.replace(extension, parameters=kwargs, store=self._store)

    @property
    def named(self) -> set[bytes]:
        """The digests of all that the last archive names."""
        return self._named or (self._shared.named if self._shared is not None else set())

    def packer(self, file: IO[bytes], report: Report) -> Packer:
        problems: list[str] = []

        def noted(path: str, reason: str, fatal: bool) -> None:
            problems.append(path)
            report(path, reason, fatal)

        if self._shared is None:
            return self._packer(file, noted)
        teed = self._shared.kept_as(file)
        own = self._packer(cast("IO[bytes]", teed), noted)
        return self._shared.packer(teed, own, self._there, lambda: not problems)

    def _packer(self, file: IO[bytes], report: Report) -> DeltaPacker:
        packer = DeltaPacker(file, report, self._digester, self._index, self._there, only_kept=self._only_kept)
        self._named = packer.named
        return packer


class DeltaReceiver:
    """:param reference: the ``store`` of :class:`DeltaSender`. If it has a ``cipher``, contents are encrypted in the
    store with that.
    :param open_store: opens the store of this node, if it has one.
    :param may_keep: whether what is unpacked goes with its job, so that the next one may begin with it.

    :raises ArchiveError: ``reference`` names no store.
    """

    def __init__(
        self, reference: JSONObject | None, open_store: Callable[[], ContentStore | None], *, may_keep: bool = False
    ) -> None:
        given = reference or {}
        self._owner, key, cipher = (str(given.get(name, "")) for name in ("owner", "key", "cipher"))
        if not _NAME.fullmatch(self._owner) or not _KEY.fullmatch(key) or not (not cipher or _KEY.fullmatch(cipher)):
            raise ArchiveError("the archive does not say whose store it needs")
        place = str(given.get("place", ""))
        #: Which directory of an earlier job is wanted.
        self._place = place if may_keep and not cipher and _NAME.fullmatch(place) else ""
        self._tree: WorkTree | None = None
        self._digester = Digester(bytes.fromhex(key))
        self._cipher = ContentCipher(bytes.fromhex(cipher)) if cipher else None
        self._open_store = open_store
        #: The digests of what came, and is not in the store now.
        self.not_kept: tuple[bytes, ...] = ()

    def unpack(self, file: IO[bytes], target: str, limits: StreamLimits, *, artifacts: bool) -> Iterator[None]:
        """:raises LackingError: the store and the archive together have not all of it."""
        with contextlib.ExitStack() as opened:
            contents: OwnedContents | None = None
            store = self._open_store()
            if store is not None:
                opened.enter_context(store)
                with contextlib.suppress(OSError):  # a full disk: then everything has to come
                    contents = store.owned(self._owner, self._cipher)
                if self._place:
                    self._tree = WorkTree(store, target, self._owner, self._place)
            yield from unpack_delta(file, target, limits, self._digester, contents, self._tree)
            if store is not None:
                yield from store.settle()
            if contents is not None:
                self.not_kept = contents.not_kept()

    def give_back(self) -> None:
        """The job is over, and nothing of it runs any more: the next one of the same place begins with what it left."""
        if self._tree is not None:
            self._tree.give_back(self._open_store)
