"""How a job travels: the format of its archive, and what stands on the line of its parameters."""

from __future__ import annotations

from typing import Protocol

from ..archive.format import PackingFormat
from .messages import Extension, JSONObject

__all__ = ["JobFormat"]


class JobFormat(PackingFormat, Protocol):
    """A format that only a worker that knows it may unpack. Such a worker finds the parameters of the job elsewhere
    than on their line, so any other starts nothing.
    """

    def dressed(self, extension: Extension, kwargs: JSONObject) -> Extension:
        """What stands on the line of the parameters beside them. It is asked for before a packer is.

        :param extension: what would stand there.
        :param kwargs: the parameters.
        """
