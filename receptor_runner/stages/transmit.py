"""The first stage: a private data dir and parameters become a stream.

Rules: nothing is written to the output before everything is packed, so an error leaves an empty output."""

from __future__ import annotations

import functools
import hashlib
import io
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from ..archive.format import ZIP
from ..archive.spool import spool
from ..errors import InputError, Interrupted, ReceptorRunnerError
from ..stream.codec import END_OF_STREAM, encode, encode_archive
from ..stream.endpoints import Output
from ..stream.job_format import JobFormat
from ..stream.messages import EXTENSION, JSONObject
from ..stream.status import UNSTARTED
from ..system.signals import StopFlag
from .outgoing import OutgoingJob, TransmitterOptions

__all__ = ["Transmitter", "TransmitterOptions"]

logger = logging.getLogger(__name__)


class Transmitter:
    """One job on its way out. ``parameters`` have the names of :data:`receptor_runner.job.parameters.DEFAULTS`.

    :param job_format: one that the worker knows; default: zip, which every worker knows.
    :raises InputError: the private data dir, or something that the parameters name, is missing.
    :raises ConfigurationError: a parameter cannot be used.
    """

    def __init__(
        self,
        parameters: Mapping[str, Any],
        options: TransmitterOptions | None = None,
        job_format: JobFormat | None = None,
    ) -> None:
        self.status = UNSTARTED
        self.rc: int | None = None
        self._options = options or TransmitterOptions()
        self._format = job_format
        self._job = OutgoingJob(parameters, self._options)
        self._spool: Callable[[], Any] = spool
        #: The parameters that travel.
        self.kwargs = self._job.kwargs

    #: What tells this job from another once it was written: parameters, and names, modes, sizes and checksums of files.
    digest = ""

    def run(self, output: Output, flag: StopFlag | None = None) -> Transmitter:
        """Writes the stream.

        :raises InputError: something could not be read, and the output is empty.
        :raises OutputError: the output or the temporary directory cannot be written.
        :raises Interrupted: ``flag`` was raised.
        """
        head = self._head()
        if not self._job.with_archive and self._format is None:
            self.digest = self._digest("")
            output.write(encode(head) + END_OF_STREAM)
            return self
        with self._spool() as file:
            packer = (self._format or ZIP).packer(file, self._job.report)
            contents = hashlib.sha256()
            packer.told = functools.partial(_add, contents)
            try:
                for _ in packer.pack(self._job.entries() if self._job.with_archive else ()):
                    _check(flag)
            except ReceptorRunnerError:
                raise
            except OSError as exc:
                raise InputError(f"cannot read {exc.filename}: {exc.strerror}") from exc
            self._job.check()
            self.digest = self._digest(contents.hexdigest())
            logger.debug("parameters that travel: %s; archive of %d bytes", sorted(self._job.kwargs), packer.size)
            output.while_waiting = lambda: _check(flag)
            output.write(encode(head))
            name = self._format.name if self._format is not None else None
            for piece in encode_archive(packer.size, packer.sha256, packer.chunks(), archive_format=name):
                _check(flag)
                output.write(piece)
            output.write(END_OF_STREAM)
        return self

    def _head(self) -> JSONObject:
        """The line of the parameters."""
        extension = replace(self._options.extension, collect=self._options.collect)
        kwargs = self._job.kwargs
        if self._format is not None:
            extension = self._format.dressed(extension, kwargs)
            kwargs = {name: value for name, value in kwargs.items() if name == "ident"}
        head: JSONObject = {"kwargs": kwargs}
        added = extension.to_json()
        if added:
            head[EXTENSION] = added
        return head

    def _digest(self, contents: str) -> str:
        kwargs = {name: value for name, value in self._job.kwargs.items() if name != "ident"}
        collect = [self._options.collect] if self._options.collect else []
        return hashlib.sha256(json.dumps([kwargs, contents, *collect], sort_keys=True).encode()).hexdigest()

    def digested(self, flag: StopFlag | None = None) -> str:
        """The :attr:`digest`, and nothing is written.

        :raises ReceptorRunnerError: as :meth:`run`.
        """
        self._spool = _Nothing
        return self.run(_Nowhere(), flag).digest


def _add(contents: hashlib._Hash, name: str, mode: int, size: int, crc: int) -> None:
    """Facts of an earlier run travel, and change from run to run."""
    if not name.startswith("artifacts/"):
        contents.update(f"{name}\0{mode:o}\0{size}\0{crc}\0".encode())


class _Nothing(io.RawIOBase):
    """A file that takes everything, and has nothing: what is packed is only counted."""

    def write(self, data: Any) -> int:
        return len(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        return 0

    def read(self, size: int = -1) -> bytes:
        return b""


class _Nowhere:
    """An output that takes everything."""

    deadline: float | None = None
    while_waiting: Callable[[], None] | None = None

    def write(self, data: bytes) -> None:
        pass

    def closed_by_reader(self) -> bool:
        return False

    def fileno(self) -> int | None:
        return None


def _check(flag: StopFlag | None) -> None:
    if flag is not None and flag.raised:
        raise Interrupted("interrupted; the stream is not complete and no worker will run it")
