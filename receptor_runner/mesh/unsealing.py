"""What opens the results of a job, if they are sealed: loaded only for those that are."""

from __future__ import annotations

from ..stream.reader import Opener

__all__ = ["opener"]


def opener(key: bytes | None, block: int = 0) -> Opener | None:
    """:param key: what the results are sealed with; None or empty if they are not.
    :param block: the number of the first sealed part that is read.
    """
    if not key:
        return None
    from ..sealing.results import Unsealer

    return Unsealer(key, block)
