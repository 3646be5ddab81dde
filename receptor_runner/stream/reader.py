"""Reads a stream, wherever its bytes come from: bytes in, whole items out.

Rules: no source is known here. Whoever has the bytes feeds them, so one thread can read any number of streams. An item
is a message, or a whole archive that is ready to be extracted. The reader counts items, so that another reader can go
on where this one stopped."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, Protocol, TypeAlias

from ..archive.spool import spool
from ..errors import RefusedError, TruncatedStreamError
from ..limits import DEFAULT_LIMITS, MAX_FOREIGN, StreamLimits
from .archive_receiver import ArchiveReceiver
from .codec import Decoder
from .messages import (
    ArchiveData,
    ArchiveEnd,
    ArchiveStart,
    EndOfStream,
    Extension,
    Foreign,
    JobEvent,
    JSONObject,
    Keepalive,
    Message,
    Status,
    Unknown,
)  # fmt: skip
from .status import CANCELED, ERROR

__all__ = ["Item", "Opener", "SealedAwayError", "StreamReader"]

Item: TypeAlias = Message | ArchiveReceiver


class Opener(Protocol):
    """Opens the sealed parts of a stream, one behind the other. ``block`` is the number of the next one."""

    block: int

    def __call__(self, sealed: JSONObject) -> bytes:
        """:raises RefusedError: it is not the next one, or was changed."""

    def spool(self) -> IO[bytes]:
        """Where an archive is kept on its way in."""


class SealedAwayError(RefusedError):
    """The results are sealed, and their key is not here."""


class StreamReader:
    """Reads one stream.

    :param start: the offset in the stream of the first byte that will be fed: a :attr:`boundary` of another reader.
    :param skip: this many items behind ``start`` were handled before, and are left out.
    :param archives: false for a reader that does not want archives: they are passed over.
    :param unseal: opens sealed parts. Whoever has it believes nothing else.
    :param job: which job's results they must be, if that is to be looked at.
    """

    def __init__(
        self,
        limits: StreamLimits = DEFAULT_LIMITS,
        *,
        start: int = 0,
        skip: int = 0,
        archives: bool = True,
        unseal: Opener | None = None,
        job: str | None = None,
    ) -> None:
        #: Where another reader may start, and how many items behind that were handed out.
        self.boundary, self.done = start, 0
        #: The end of the text in the stream that is not part of the protocol.
        self.foreign = b""
        self._decoder = Decoder(limits, start)
        self._skip = skip
        #: Whether archives are taken. It may change between two items.
        self.archives = archives
        self._archive: ArchiveReceiver | None = None
        self._unseal = unseal
        self._job = job
        #: What is sealed is a stream of its own.
        self._inner = Decoder(limits) if unseal is not None else self._decoder
        #: Whether sealed parts came, or others took them in.
        self.is_sealed = unseal is not None and unseal.block > 0
        #: The number of the first sealed part behind :attr:`boundary`.
        self.block = unseal.block if unseal is not None else 0

    @property
    def finished(self) -> bool:
        """Whether the end mark came."""
        return self._inner.finished if self.is_sealed else self._decoder.finished

    @property
    def wanted(self) -> int:
        """0 when a line is next, else how many characters of an archive are certain to follow."""
        return self._decoder.wanted

    @property
    def offset(self) -> int:
        """How many bytes of the stream were read, by this reader and those before it."""
        return self._decoder.offset

    def doubt(self, told: object) -> RefusedError | None:
        """Why a last word in clear is no proof: the results should be sealed. None if it is one.

        :param told: what it explains.
        """
        if self._unseal is None or self.is_sealed:
            return None
        text = told if isinstance(told, str) and told else "the job did not run"
        return RefusedError(f"{text} (this came in clear: anybody on its way could have said it)")

    def feed(self, data: bytes) -> Iterator[Item]:
        """The items that ``data`` completes. Empty data is the end of the input.

        An archive is closed when the next item is asked for.

        :raises ProtocolError: the bytes cannot be part of a stream.
        :raises TruncatedStreamError: the input ended before the stream did.
        :raises OutputError: an archive cannot be stored in the temporary directory.
        :raises RefusedError: it is sealed for somebody else, or not as it was sealed, or of another job.
        """
        messages = self._decoder.receive(data) if data else self._decoder.receive_eof()
        for message in messages if self._unseal is None else self._unsealed(messages):
            kind = type(message)
            if kind is JobEvent and not self._skip:  # there are many
                self.done += 1
                yield message
            elif kind is ArchiveStart or kind is ArchiveData or kind is ArchiveEnd:
                yield from self._take_archive(message)
            elif self._counts():
                self._look_at(message)
                yield message
        if self.finished:
            return  # whoever comes after us must find the end mark
        if not data:
            raise TruncatedStreamError(f"the stream ended at byte {self.offset}, before its end mark")
        inner = self._inner
        inside = inner.in_archive or (self.is_sealed and inner.boundary != inner.offset)
        if self._decoder.boundary != self.boundary and not inside:
            self.boundary, self.done = self._decoder.boundary, 0
            self.block = self._unseal.block if self._unseal is not None else 0

    def _look_at(self, message: Message) -> None:
        """:raises RefusedError: it is of another job, or of results that are sealed for somebody else."""
        match message:
            case Foreign():
                self.foreign = (self.foreign + message.text + b"\n")[-MAX_FOREIGN:]
            case Unknown() if Extension.of(message.data).sealed is not None:
                raise SealedAwayError("the results of the job are sealed, and the key is with whoever submitted it")
            case Status():
                self._check_job(message.extension.job)
            case _:
                pass

    def _check_job(self, job: str | None) -> None:
        """:raises RefusedError: it is another one, which somebody has put in the place of ours."""
        if self._job is not None and job not in (None, self._job):
            raise RefusedError(f"these are the results of another job, {job[:80]!r}: somebody has changed the two")

    def _unsealed(self, messages: list[Message]) -> Iterator[Message]:
        """The messages of sealed parts. Before the first of them a worker may say that it cannot begin.

        :raises RefusedError: somebody says more than that in clear.
        """
        assert self._unseal is not None
        for message in messages:
            sealed = Extension.of(message.data).sealed if isinstance(message, Unknown) else None
            if sealed is not None:
                self.is_sealed = True
                yield from self._inner.receive(self._unseal(sealed))
            elif not self.is_sealed:
                yield _checked_clear(message)
            elif isinstance(message, EndOfStream) and not self._inner.finished:
                raise RefusedError("the sealed results are not whole: there is an end that was not sealed")

    def close(self) -> None:
        """Closes an archive that did not become whole."""
        if self._archive is not None:
            self._archive.close()
            self._archive = None

    def _counts(self) -> bool:
        """Counts one more item; false if it was handled before."""
        self.done += 1
        if not self._skip:
            return True
        self._skip -= 1
        return False

    def _take_archive(self, message: Message) -> Iterator[ArchiveReceiver]:
        """An archive is one item, and done when its end is."""
        match message:
            case ArchiveStart():
                self.close()
                if self._skip:
                    self._counts()
                elif self.archives:
                    self._archive = ArchiveReceiver(message, self._unseal.spool if self._unseal is not None else spool)
            case ArchiveData(chunk) if self._archive is not None:
                self._archive.receive(chunk)
            case ArchiveEnd() if self._archive is not None:
                self._counts()
                yield self._archive
                self.close()
            case _:
                pass


def _checked_clear(message: Message) -> Message:
    """What comes in clear before sealed results do.

    :raises RefusedError: it says that the job did something.
    """
    if isinstance(message, (Keepalive, Foreign, Unknown, EndOfStream)):
        return message
    if isinstance(message, Status) and message.data.get("status") in (ERROR, CANCELED):
        return message
    raise RefusedError("the results of the job come in clear, and they should be sealed")
