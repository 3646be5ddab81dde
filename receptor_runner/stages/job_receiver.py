"""Takes in a job: reads its stream up to the end mark, keeps its parameters, extracts its archives.

Rules: nothing is started here. While this waits for input, it sends keep-alives and asks whether to stop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..archive.format import DELTA, SEALED, UnpackingFormat
from ..errors import InputError, RefusedError, TruncatedStreamError
from ..limits import StreamLimits
from ..stream.archive_receiver import ArchiveReceiver
from ..stream.endpoints import Input
from ..stream.messages import Extension, JSONObject, Kwargs
from ..stream.reader import Item, StreamReader
from ..stream.results_writer import ResultsWriter
from .node_means import NodeMeans
from .work_dir import WorkDir

__all__ = ["JobReceiver"]


class JobReceiver:
    """Reads a job from ``source`` up to its end mark, and extracts its archives into ``work_dir``.

    :param means: what this node has for jobs that are no plain archives.
    """

    def __init__(
        self,
        source: Input,
        writer: ResultsWriter,
        check_stop: Callable[[], None],
        work_dir: WorkDir,
        limits: StreamLimits,
        means: NodeMeans,
    ) -> None:
        #: What the sender added to the parameters.
        self.extension = Extension()
        #: What the results are to be sealed with, if they are.
        self.results_key: bytes | None = None
        #: To be called when nothing of the job runs any more: what it has left untouched is for the next one.
        self.give_back: Callable[[], None] = lambda: None
        #: The digests of what came for the store of the node, and is not there.
        self.not_kept: tuple[bytes, ...] = ()
        self._source = source
        self._writer = writer
        self._check_stop = check_stop
        self._work_dir = work_dir
        self._limits = limits
        self._means = means
        self._reader = StreamReader(limits)
        self._kwargs: Any = None
        self._archives = 0
        #: Whether a sealed job was opened, or was to be.
        self.sealed = False

    def receive(self) -> JSONObject:
        """The parameters of the job, when its archives are extracted.

        :raises ReceptorRunnerError: the stream is not a whole job.
        """
        try:
            while not self._reader.finished:
                data = self._source.read(self._reader.wanted, self._writer.wait_seconds())
                self._check_stop()
                self._writer.tick()
                for item in self._reader.feed(data) if data is not None else ():
                    self._take(item)
        except TruncatedStreamError as exc:
            raise self._ended_early(exc) from exc
        finally:
            self._reader.close()
        if self.extension.sealed is not None:
            raise RefusedError("the stream carried a sealed job without what is sealed; it was cut or changed")
        if not isinstance(self._kwargs, dict):
            raise InputError("the stream carried no parameters of a job; was it written by transmit?")
        return self._kwargs

    def _take(self, item: Item) -> None:
        match item:
            case Kwargs(data):
                sealed = item.extension.sealed is not None
                self._check_alone(sealed)
                self.extension = item.extension
                self._kwargs = data["kwargs"] if self.extension.parameters is None else self.extension.parameters
            case ArchiveReceiver():
                self._take_archive(item)
            case _:
                pass

    def _take_archive(self, archive: ArchiveReceiver) -> None:
        if archive.format == SEALED:
            self._check_alone(self._archives > 0)
            self._extract_sealed(archive)
        else:
            self._check_alone(self.extension.sealed is not None)
            if archive.format == DELTA:
                self._extract_delta(archive)
            else:
                self._extract(archive)
        self._archives += 1

    def _check_alone(self, mixed: bool) -> None:
        """A sealed job is one line and one archive: somebody on its way could add others.

        :param mixed: whether this is something else, beside what is sealed.
        :raises RefusedError: there is something else.
        """
        if self.sealed or (mixed and (self._archives or self._kwargs is not None)):
            raise RefusedError("the sealed job does not come alone; somebody may have added to it")

    def _extract_delta(self, archive: ArchiveReceiver) -> None:
        from ..delta.receiver import DeltaReceiver

        by = DeltaReceiver(self.extension.store, self._means.open_store, may_keep=self._work_dir.is_removed)
        self.give_back = by.give_back
        self._extract(archive, by)
        self.not_kept = by.not_kept

    def _extract_sealed(self, archive: ArchiveReceiver) -> None:
        from ..sealing.format import SealedReceiver
        from ..sealing.node_key import NodeKey

        self.sealed = True
        if self._means.seal_dir is not None:
            self._work_dir.move_to(self._means.seal_dir)
        by = SealedReceiver(self.extension, NodeKey(self._means.key_file), self._means.open_store, self._means.purpose)
        try:
            self._extract(archive, by)
        finally:
            self.results_key = by.results_key
            self.not_kept = by.not_kept
        self.extension, self._kwargs = by.extension, by.extension.parameters

    def _extract(self, archive: ArchiveReceiver, by: UnpackingFormat | None = None) -> None:
        for _ in archive.extract(self._work_dir.path, self._limits, by=by):
            self._writer.tick()
            self._check_stop()

    def _ended_early(self, exc: TruncatedStreamError) -> TruncatedStreamError:
        text = f"{exc}; the job was not started"
        foreign = self._reader.foreign
        if foreign:
            text += f"; it contained text that is not part of it: {foreign[:1000].decode('utf-8', 'replace')!r}"
        return TruncatedStreamError(text)
