"""What a node has for jobs that are no plain archives: a store, and a key.

Rules: nothing is looked up before somebody asks for it, because most jobs need neither."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from ..limits import STORE_SIZE
from ..preparation.environment import bare_environment_filled
from ..system.own_files import default_seal_key, default_store

if TYPE_CHECKING:
    from ..delta.content_store import ContentStore

__all__ = ["USUAL", "NodeMeans"]


class NodeMeans(NamedTuple):
    """:param store: the directory of the store, if one is named.
    :param store_size: what it may take, in bytes; 0 for no store.
    :param seal_key: the file with the key for sealed jobs, if one is named.
    :param seal_dir: where the private data dirs of sealed jobs are made, if not where temporary files are.
    :param purpose: what jobs are taken for: ``job``, or ``prepare`` if they only fill the store.
    """

    store: str | None = None
    store_size: int = STORE_SIZE
    seal_key: str | None = None
    seal_dir: str | None = None
    purpose: str = "job"

    @property
    def store_directory(self) -> str:
        """Where the store is, if there is one."""
        return self.store or default_store(bare_environment_filled(os.environ, "/"))

    @property
    def key_file(self) -> str:
        """Where the key is, if there is one."""
        return self.seal_key or default_seal_key(bare_environment_filled(os.environ, "/"))

    def open_store(self) -> ContentStore | None:
        """The store, if there is to be one and can be one."""
        from ..delta.store_place import open_store

        return open_store(self.store_directory, self.store_size, is_named=self.store is not None)

    def has_store(self) -> bool:
        store = self.open_store()
        if store is not None:
            store.close()
        return store is not None


#: What a node has if nothing is said of it.
USUAL = NodeMeans()
