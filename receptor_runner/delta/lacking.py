"""The error of a node that lacks something of a job."""

from __future__ import annotations

from ..errors import MissingError

__all__ = ["LackingError"]


class LackingError(MissingError):
    """``digests`` are neither in the archive nor in the store. Empty: nobody can tell how much is missing."""

    def __init__(self, digests: tuple[bytes, ...]) -> None:
        what = f"{len(digests)} contents" if digests else "the list of files"
        super().__init__(f"this node lacks {what} of the job, and they were not sent; the job was not started")
        self.digests = digests
