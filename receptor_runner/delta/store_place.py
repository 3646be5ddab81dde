"""Where a worker has its store, and whether it has one.

Rules: where nothing outlives the node, or where a store would take its memory, there is none unless a directory is
named. A store that cannot be made is none: a job does not need it."""

from __future__ import annotations

import logging

from ..system.mounts import IN_MEMORY, file_system_of
from .content_store import ContentStore

__all__ = ["open_store"]

logger = logging.getLogger(__name__)

#: A container's own root, and file systems in memory.
_PASSING = IN_MEMORY | {"overlay", "aufs", "fuse.fuse-overlayfs"}


def open_store(directory: str, size: int, *, is_named: bool) -> ContentStore | None:
    """The store in ``directory``, if there is to be one and can be one.

    :param size: in bytes; 0 for no store.
    :param is_named: whether somebody wants it there.
    """
    if not size or (not is_named and file_system_of(directory) in _PASSING):
        return None
    try:
        return ContentStore(directory, size)
    except OSError as exc:
        logger.warning("there is no store in %s: %s", directory, exc.strerror)
        return None
