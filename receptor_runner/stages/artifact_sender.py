"""Sends a worker's artifact directory as an archive: all of it, or a small part if there is no time for more.

Rules: keep-alives go out while it packs. The end of a cancelled job must be written before Receptor kills the worker.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import IO

from ..archive import pack as _loaded_before_the_job_starts  # noqa: F401 - an upgrade must not change it meanwhile
from ..archive.entry import Entry
from ..archive.format import Packer, best_format
from ..archive.spool import spool
from ..results.artifact_dir import ArtifactDir
from ..stream.results_writer import ResultsWriter
from .job_warnings import Omissions

__all__ = ["ArtifactSender"]

#: How fast an archive is believed to be written while a job is being cancelled, in bytes a second: a slow disk, written
#: synchronously.
_HURRIED_RATE = 20 * 1024 * 1024
_CUT_OUTPUT = 1024 * 1024


class ArtifactSender:
    """:param in_time: whether there is time for something that takes so many seconds.
    :param readable: the names of the archive formats that the receiver says it reads.
    :param make_spool: makes the file that the archive is packed into.
    """

    def __init__(
        self,
        writer: ResultsWriter,
        in_time: Callable[[float], bool],
        readable: Iterable[str],
        make_spool: Callable[[], IO[bytes]] = spool,
    ) -> None:
        self._make_spool = make_spool
        self._writer = writer
        self._in_time = in_time
        self._format = best_format(readable)

    def send(self, artifacts: ArtifactDir, more: Iterable[Entry] = ()) -> None:
        """:param more: what else goes into the archive.
        :raises OutputError: the archive cannot be written.
        """
        omissions = Omissions(str(artifacts.path))
        if not self._sent(itertools.chain(artifacts.entries(omissions.report), more), omissions, hurry=True):
            few = Omissions(str(artifacts.path))
            few.report("all but the end of the output", "was left out, because there was no time or no receiver", False)
            self._sent(_few_entries(artifacts), few, hurry=False)

    def _sent(self, entries: Iterable[Entry], omissions: Omissions, *, hurry: bool) -> bool:
        """False if the archive takes longer to write than there is time, or no receiver would take it."""
        with contextlib.closing(self._make_spool()) as file:
            packer: Packer = self._format.packer(file, omissions.report)
            for _ in packer.pack(entries):
                self._writer.tick()
                if hurry and not self._in_time(packer.size / _HURRIED_RATE):
                    return False
            if not packer.acceptable and hurry:
                return False
            self._writer.archive(packer.size, packer.sha256, packer.chunks(), omissions.warnings())
            return True


def _few_entries(artifacts: ArtifactDir) -> Iterator[Entry]:
    """What matters most: how the job ended, and the end of its output."""
    for name in ("rc", "status", "command", "stderr"):
        content = artifacts.read(name, _CUT_OUTPUT)
        if content is not None:
            yield Entry.of_bytes(name, content)
    output = artifacts.tail("stdout", _CUT_OUTPUT)
    if output is not None:
        yield Entry.of_bytes("stdout", output)
