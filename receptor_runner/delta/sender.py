"""The delta archive for whoever sends one: what he needs for it beside the bytes.

Rules: a sender has what he knows of files and of the receiver. Whose store it is and the key of the digests travel
beside the archive, so the same archive suits many receivers."""

from __future__ import annotations

import dataclasses
from typing import IO, cast

from ..archive.collect import Report
from ..archive.format import DELTA, Packer
from ..stream.messages import Extension, JSONObject
from .digest_index import DigestIndex
from .packer import DeltaPacker
from .references import Digester
from .shared import SharedArchives

__all__ = ["DeltaSender"]


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
