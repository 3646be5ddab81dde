"""Takes in a job: its stream up to the end mark, its parameters kept, its archives extracted.

Rules: nothing is started here. Whoever waits for input sees keep-alives on the wire and is asked whether to stop.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..errors import InputError, TruncatedStreamError
from ..limits import MAX_FOREIGN, StreamLimits
from ..stream.archive_receiver import ArchiveReceiver
from ..stream.codec import Decoder
from ..stream.endpoints import Input
from ..stream.messages import EXTENSION, ArchiveData, ArchiveEnd, ArchiveStart, Foreign, JSONObject, Kwargs
from ..stream.results_writer import ResultsWriter

__all__ = ["JobReceiver"]


class JobReceiver:
    """Reads a job up to its end mark."""

    def __init__(
        self, source: Input, writer: ResultsWriter, check_stop: Callable[[], None], target: str, limits: StreamLimits
    ) -> None:
        self.extension: JSONObject = {}
        self._source = source
        self._writer = writer
        self._check_stop = check_stop
        self._target = target
        self._decoder = Decoder(limits)
        self._limits = limits
        self._kwargs: Any = None
        self._archive: ArchiveReceiver | None = None
        self._foreign = b""

    def receive(self) -> JSONObject:
        """The parameters; archives are extracted on the way.

        :raises ReceptorRunnerError: the stream is not a whole job.
        """
        while not self._decoder.finished:
            data = self._source.read(self._decoder.wanted, self._writer.wait_seconds())
            self._check_stop()
            self._writer.tick()
            if data is None:
                continue
            messages = self._decoder.receive(data) if data else self._decoder.receive_eof()
            for message in messages:
                self._take(message)
            if not data and not self._decoder.finished:
                raise TruncatedStreamError(self._ended_early())
        if not isinstance(self._kwargs, dict):
            raise InputError("the stream carried no parameters of a job; was it written by transmit?")
        return self._kwargs

    def _take(self, message: object) -> None:
        match message:
            case Kwargs(data):
                self._kwargs = data["kwargs"]
                extension = data.get(EXTENSION)
                self.extension = extension if isinstance(extension, dict) else {}
            case ArchiveStart():
                self._archive = ArchiveReceiver(message)
            case ArchiveData(chunk) if self._archive is not None:
                self._archive.receive(chunk)
            case ArchiveEnd() if self._archive is not None:
                for _ in self._archive.extract(self._target, self._limits):
                    self._writer.tick()
                    self._check_stop()
                self.close()
            case Foreign(text):
                self._foreign = (self._foreign + text + b"\n")[-MAX_FOREIGN:]
            case _:
                pass

    def _ended_early(self) -> str:
        text = f"the stream ended at byte {self._decoder.offset}, before its end mark; the job was not started"
        if self._foreign:
            text += f"; it contained text that is not part of it: {self._foreign[:1000].decode('utf-8', 'replace')!r}"
        return text

    def close(self) -> None:
        if self._archive is not None:
            self._archive.close()
            self._archive = None
