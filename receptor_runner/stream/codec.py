"""The stream between the stages: bytes to messages and back.

Rules: no IO. The messages do not depend on how the bytes are split. Whatever the bytes are, the only errors are
``ProtocolError``, ``LimitError`` and ``TruncatedStreamError``. We write what ansible-runner 2.0 to 2.4 reads: JSON
objects, one a line, and after a ``zipfile`` line one run of base64 with no newline behind it
(ansible_runner/utils/streaming.py, utils/base64io.py). We read more than that: blank lines, text of others, several
objects on a line, wrapped base64."""

from __future__ import annotations

import binascii
import contextlib
import functools
import importlib
import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ..errors import ArchiveError, LimitError, ProtocolError, TruncatedStreamError
from ..limits import DEFAULT_LIMITS, MAX_OBJECTS_A_LINE, StreamLimits
from .bounded_json import ExcessError, check_bounds
from .messages import (
    EXTENSION,
    ArchiveData,
    ArchiveEnd,
    ArchiveStart,
    EndOfStream,
    Extension,
    Foreign,
    JobEvent,
    JSONObject,
    Keepalive,
    Kwargs,
    Message,
    Status,
    Unknown,
)

__all__ = ["END_OF_STREAM", "KEEPALIVE", "Decoder", "encode", "encode_archive", "encoded_length"]

END_OF_STREAM = b'{"eof": true}\n'
KEEPALIVE = b'{"event": "keepalive", "counter": 0, "uuid": 0}\n'

_WHITESPACE = b" \t\r\n"
#: A multiple of three, so that only the last chunk of an archive is padded.
_BASE64_CHUNK = 3 * 64 * 1024
#: From this much on a quicker parser is worth loading.
_MANY_BYTES = 4 * 1024 * 1024
#: How many places of a foreign line are tried as the beginning of an object.
_RESYNC_PLACES = 8


def encode(data: JSONObject) -> bytes:
    """One line, as ``json.dumps`` writes it by default: that is ansible-runner's format.

    :raises TypeError: a value is not JSON.
    """
    return json.dumps(data).encode("ascii") + b"\n"


def encoded_length(size: int) -> int:
    """How many base64 characters an archive of ``size`` bytes has."""
    return (size + 2) // 3 * 4


def encode_archive(
    size: int, sha256: str, chunks: Iterable[bytes], warnings: tuple[str, ...] = (), archive_format: str | None = None
) -> Iterator[bytes]:
    """The ``zipfile`` line and the base64 behind it. ``chunks`` must add up to ``size`` bytes.

    :param archive_format: its name, if it is not zip.
    """
    extension = Extension(sha256=sha256, warnings=warnings, format=archive_format)
    yield encode({"zipfile": size, EXTENSION: extension.to_json()})
    rest = b""
    for chunk in chunks:
        rest += chunk
        whole = len(rest) - len(rest) % 3
        if whole >= _BASE64_CHUNK:
            yield binascii.b2a_base64(memoryview(rest)[:whole], newline=False)
            rest = rest[whole:]
    if rest:
        yield binascii.b2a_base64(rest, newline=False)


def _parse_quickly(line: bytes) -> Any:
    """Parses as ``json.loads`` does, in less time where the result is the same.

    :raises ValueError: it is not JSON.
    """
    parse = _quick_parser()
    if parse is not None:
        with contextlib.suppress(Exception):  # NaN, lone surrogates: json takes more
            return parse(line)
    return json.loads(line)


@functools.cache
def _quick_parser() -> Callable[[bytes], Any] | None:
    """msgspec parses three times as fast, and takes 25 ms to load."""
    try:
        parse: Callable[[bytes], Any] = importlib.import_module("msgspec.json").decode
    except ImportError:  # no wheel for this machine
        return None
    return parse


class Decoder:
    """Turns the bytes of one stream into messages.

    Feed it with :meth:`receive` until :attr:`finished`, or until the input ends and then :meth:`receive_eof`. Bytes
    behind the end mark are ignored.

    :param start: where in the stream the first byte is, a :attr:`boundary` of another decoder."""

    def __init__(self, limits: StreamLimits = DEFAULT_LIMITS, start: int = 0) -> None:
        self.finished = False
        #: Bytes of the stream taken in so far.
        self.offset = start
        #: Where the last complete line or archive ended: a reader may resume here, unless it is :attr:`in_archive`.
        self.boundary = start
        self._limits = limits
        self._parts: list[bytes] = []
        self._held = 0
        self._archive: _ArchiveText | None = None
        self._parsed = 0
        self._parse: Callable[[bytes], Any] = self._parse_first

    def _parse_first(self, line: bytes) -> Any:
        """Parses with ``json``: a short stream is not worth the time that it takes to load the quicker parser."""
        self._parsed += len(line)
        if self._parsed < _MANY_BYTES:
            return json.loads(line)
        self._parse = _parse_quickly
        return _parse_quickly(line)

    @property
    def wanted(self) -> int:
        """0 when a line is next, else how many characters of an archive are certain to follow."""
        return self._archive.needed if self._archive is not None else 0

    @property
    def in_archive(self) -> bool:
        return self._archive is not None

    def receive(self, data: bytes) -> list[Message]:
        """The messages that ``data`` completes.

        :raises ProtocolError: the bytes cannot be part of a stream.
        :raises LimitError: a line or an archive is too large.
        """
        messages: list[Message] = []
        position = 0
        while position < len(data) and not self.finished:
            if self._archive is not None:
                position = self._take_archive(data, position, messages)
                continue
            newline = data.find(b"\n", position)
            if newline < 0:
                self._hold(data[position:])
                return messages
            line = data[position:newline]
            if self._parts:
                self._parts.append(line)
                line = b"".join(self._parts)
                self._parts.clear()
                self._held = 0
            start = self.boundary
            self._check_length(len(line))
            self.offset += newline + 1 - position
            self.boundary = self.offset
            position = newline + 1
            self._take_line(line, start, messages)
        return messages

    def receive_eof(self) -> list[Message]:
        """What the end of the input completes.

        :raises TruncatedStreamError: in the middle of an archive.
        """
        if self._archive is not None:
            raise TruncatedStreamError(
                f"the stream ended inside an archive, at byte {self.offset}, {self._archive.missing} bytes short"
            )
        messages: list[Message] = []
        if self._parts and not self.finished:
            line = b"".join(self._parts)
            self._parts.clear()
            self._held = 0
            self._take_line(line, self.boundary, messages)
        return messages

    def _hold(self, data: bytes) -> None:
        self.offset += len(data)
        self._held += len(data)
        self._check_length(self._held)
        self._parts.append(data)

    def _check_length(self, length: int) -> None:
        if length > self._limits.line:
            raise LimitError(f"a line is longer than {self._limits.line} bytes", self.boundary)

    def _take_archive(self, data: bytes, position: int, messages: list[Message]) -> int:
        assert self._archive is not None
        used, chunk = self._archive.receive(data, position, self.offset)
        self.offset += used
        if chunk:
            messages.append(ArchiveData(chunk))
        if not self._archive.needed:
            self._archive = None
            self.boundary = self.offset
            messages.append(ArchiveEnd())
        return position + used

    def _take_line(self, line: bytes, start: int, messages: list[Message]) -> None:
        try:
            check_bounds(line)
            value = self._parse(line)
        except (ExcessError, RecursionError):
            messages.append(Foreign(line, start))
            return
        except ValueError:
            self._take_odd_line(line, start, messages)
            return
        self._take_value(value, line, start, messages)

    def _take_value(self, value: Any, line: bytes, start: int, messages: list[Message]) -> None:
        if type(value) is not dict:
            messages.append(Foreign(line, start))
            return
        message = self._classify(value, line, start)
        if message is None:
            return
        messages.append(message)
        if type(message) is ArchiveStart:
            self._archive = _ArchiveText(message.size)
            if not message.size:
                self._archive = None
                messages.append(ArchiveEnd())
        elif type(message) is EndOfStream:
            self.finished = True

    def _classify(self, value: JSONObject, line: bytes, start: int) -> Message | None:
        """Looks which keys are there, in ansible-runner's order."""
        if "status" in value:
            return Status(value)
        if "kwargs" in value:
            return Kwargs(value)
        if "zipfile" in value:
            return self._archive_start(value, start)
        if "eof" in value:
            return EndOfStream()
        if value.get("event") == "keepalive":
            return Keepalive()
        if "event" in value or "counter" in value:
            return JobEvent(value, line)
        return Unknown(value)

    def _archive_start(self, value: JSONObject, start: int) -> ArchiveStart:
        size = value["zipfile"]
        if type(size) is not int or size < 0:
            raise ProtocolError(f"the size of an archive is {str(size)[:80]!r}, not a number of bytes", start)
        if size > self._limits.archive:
            raise LimitError(f"an archive of {size} bytes is larger than the limit of {self._limits.archive}", start)
        told = Extension.of(value)
        return ArchiveStart(size, told.sha256, told.format or "zip", told.warnings)

    def _take_odd_line(self, line: bytes, start: int, messages: list[Message]) -> None:
        """A blank line, several objects on one line, or text with objects behind it."""
        if not line.strip():
            return
        text = line.decode("utf-8", "surrogateescape")
        found = _objects_at_end(text)
        if found is None:
            messages.append(Foreign(line, start))
            return
        prefix, values = found
        if prefix.strip():
            messages.append(Foreign(prefix.encode("utf-8", "surrogateescape"), start))
        for value in values:
            if not self.finished and self._archive is None:
                self._take_value(value, encode(value)[:-1], start, messages)


def _objects_at_end(text: str) -> tuple[str, list[JSONObject]] | None:
    """The objects that ``text`` ends with, and what stands before them; None if it does not end with any."""
    place = -1
    for _ in range(_RESYNC_PLACES):
        place = text.find('{"', place + 1)
        if place < 0:
            return None
        values = _objects(text, place)
        if values:
            return text[:place], values
    return None


def _objects(text: str, place: int) -> list[JSONObject]:
    decode = json.JSONDecoder().raw_decode
    values: list[JSONObject] = []
    try:
        check_bounds(text[place:].encode("utf-8", "surrogateescape"))
    except ExcessError:
        return []
    while place < len(text):
        try:
            value, place = decode(text, place)
        except (ValueError, RecursionError):
            return []
        if not isinstance(value, dict):
            return []
        values.append(value)
        if len(values) > MAX_OBJECTS_A_LINE:
            return []
        while place < len(text) and text[place].isspace():
            place += 1
    return values


class _ArchiveText:
    """The base64 of one archive, wrapped or not."""

    def __init__(self, size: int) -> None:
        self.needed = encoded_length(size)
        self.missing = size
        self._rest = b""

    def receive(self, data: bytes, position: int, offset: int) -> tuple[int, bytes]:
        """How much of ``data`` belongs to the archive, and what it decodes to."""
        begin = position
        text = [self._rest]
        while self.needed and position < len(data):
            piece = data[position : position + self.needed]
            position += len(piece)
            clean = piece.translate(None, _WHITESPACE)
            self.needed -= len(clean)
            text.append(clean)
        joined = b"".join(text)
        whole = len(joined) - len(joined) % 4
        self._rest = joined[whole:]
        return position - begin, self._decode(joined[:whole], offset)

    def _decode(self, text: bytes, offset: int) -> bytes:
        try:
            chunk = binascii.a2b_base64(text)
        except binascii.Error as exc:
            raise ArchiveError(f"an archive is not base64: {exc}", offset) from exc
        expected = min(len(text) // 4 * 3, self.missing)
        if len(chunk) != expected:
            raise ArchiveError("an archive contains text that is not base64", offset)
        self.missing -= len(chunk)
        return chunk
