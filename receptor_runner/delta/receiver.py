"""The delta archive for whoever receives one: what he needs for it beside the bytes.

Rules: a receiver has a store, or none. Whose store it is stands beside the archive, and is a stranger's word."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from typing import IO

from ..errors import ArchiveError
from ..limits import StreamLimits
from ..stream.messages import JSONObject
from .content_store import ContentStore
from .owned_contents import OwnedContents
from .references import ContentCipher, Digester
from .unpacker import unpack_delta
from .work_tree import WorkTree

__all__ = ["DeltaReceiver"]

_NAME = re.compile(r"[0-9a-f]{32}")
_KEY = re.compile(r"[0-9a-f]{64}")


class DeltaReceiver:
    """:param reference: the ``store`` of :class:`~receptor_runner.delta.sender.DeltaSender`. If it has a ``cipher``,
    contents are encrypted in the store with that.
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
