"""Reads a stream, wherever its bytes come from: bytes in, whole items out.

Rules: no source is known here. Whoever has the bytes feeds them, so one thread can read any number of streams. An item
is a message, or a whole archive that is ready to be extracted. The reader counts items, so that another reader can go
on where this one stopped."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

from ..errors import TruncatedStreamError
from ..limits import DEFAULT_LIMITS, MAX_FOREIGN, StreamLimits
from .archive_receiver import ArchiveReceiver
from .codec import Decoder
from .messages import ArchiveData, ArchiveEnd, ArchiveStart, Foreign, JobEvent, Message

__all__ = ["Item", "StreamReader"]

Item: TypeAlias = Message | ArchiveReceiver


class StreamReader:
    """Reads one stream.

    :param start: the offset in the stream of the first byte that will be fed: a :attr:`boundary` of another reader.
    :param skip: this many items behind ``start`` were handled before, and are left out.
    :param archives: false for a reader that does not want archives: they are passed over.
    """

    def __init__(
        self, limits: StreamLimits = DEFAULT_LIMITS, *, start: int = 0, skip: int = 0, archives: bool = True
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

    @property
    def finished(self) -> bool:
        """Whether the end mark came."""
        return self._decoder.finished

    @property
    def wanted(self) -> int:
        """0 when a line is next, else how many characters of an archive are certain to follow."""
        return self._decoder.wanted

    @property
    def offset(self) -> int:
        """How many bytes of the stream were read, by this reader and those before it."""
        return self._decoder.offset

    def feed(self, data: bytes) -> Iterator[Item]:
        """The items that ``data`` completes. Empty data is the end of the input.

        An archive is closed when the next item is asked for.

        :raises ProtocolError: the bytes cannot be part of a stream.
        :raises TruncatedStreamError: the input ended before the stream did.
        :raises OutputError: an archive cannot be stored in the temporary directory.
        """
        messages = self._decoder.receive(data) if data else self._decoder.receive_eof()
        for message in messages:
            kind = type(message)
            if kind is JobEvent and not self._skip:  # there are many
                self.done += 1
                yield message
            elif kind is ArchiveStart or kind is ArchiveData or kind is ArchiveEnd:
                yield from self._take_archive(message)
            elif self._counts():
                if kind is Foreign:
                    self._keep_foreign(message)
                yield message
        if self.finished:
            return  # whoever comes after us must find the end mark
        if not data:
            raise TruncatedStreamError(f"the stream ended at byte {self.offset}, before its end mark")
        if self._decoder.boundary != self.boundary and not self._decoder.in_archive:
            self.boundary, self.done = self._decoder.boundary, 0

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
                    self._archive = ArchiveReceiver(message)
            case ArchiveData(chunk) if self._archive is not None:
                self._archive.receive(chunk)
            case ArchiveEnd() if self._archive is not None:
                self._counts()
                yield self._archive
                self.close()
            case _:
                pass

    def _keep_foreign(self, message: Message) -> None:
        assert isinstance(message, Foreign)
        self.foreign = (self.foreign + message.text + b"\n")[-MAX_FOREIGN:]
