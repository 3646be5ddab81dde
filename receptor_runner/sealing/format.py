"""A sealed job: an archive with the parameters before it, encrypted for one node.

Rules: the line of the parameters has none; it says whose job it is, for which key it is sealed, and the job's wrapped
secret. A job is opened once, and not when it is too old. docs/stream.md has the format."""

from __future__ import annotations

import base64
import dataclasses
import json
import os
import struct
import time
from collections.abc import Callable, Iterable, Iterator
from typing import IO, cast

from ..archive.collect import Report
from ..archive.entry import Entry
from ..archive.format import DELTA, SEALED, ZIP, Packer, UnpackingFormat
from ..delta.content_store import ContentStore
from ..delta.receiver import DeltaReceiver
from ..errors import ArchiveError, OutputError, RefusedError
from ..limits import MAX_LINE, StreamLimits
from ..stream.bounded_json import parse_json
from ..stream.job_format import JobFormat
from ..stream.messages import EXTENSION, Extension, JSONObject
from ..system.places import temporary_place
from .envelope import BlockCipher, fingerprint, public_key_of, unwrap, wrap
from .node_key import ON_ITS_WAY_SECONDS, NodeKey
from .sealed_file import SealedReader, SealingWriter

__all__ = ["SealedReceiver", "SealedSender"]

_VERSION = 1
_KEY_BYTES = 32
_LENGTH = struct.Struct(">Q")
_PAYLOAD = "payload"
#: Clocks may be so far apart, in seconds.
_CLOCKS_SECONDS = 24 * 3600.0


class SealedSender:
    """Seals a job; a :class:`~receptor_runner.stream.job_format.JobFormat`. One object for each time that it is sent.

    :param inner: the format of what is sealed; None for zip.
    :param public_key: that of the node.
    :param results_key: what the results are to be sealed with, None to leave them as they are.
    :param purpose: ``job``, or ``prepare`` for what must not be run.
    """

    name = SEALED

    def __init__(
        self, inner: JobFormat | None, public_key: bytes, results_key: bytes | None = None, *, purpose: str = "job"
    ) -> None:
        self._purpose = purpose
        self._inner = inner
        self._public_key = public_key
        self._results_key = results_key
        self._secret = os.urandom(32)
        self._header = b""

    def dressed(self, extension: Extension, kwargs: JSONObject) -> Extension:
        """All that says what the job is goes into what is sealed."""
        if self._inner is None:
            inside = dataclasses.replace(extension, parameters=kwargs)
        else:
            inside = self._inner.dressed(extension, kwargs)
        header: JSONObject = {
            "created": time.time(),
            "format": self._inner.name if self._inner is not None else ZIP.name,
            EXTENSION: inside.to_json(),
        }
        if self._results_key is not None:
            header["results_key"] = self._results_key.hex()
        self._header = json.dumps(header).encode()
        outside = Extension(job=extension.job, owner=extension.owner)
        wrapped = wrap(self._secret, self._public_key, _about(outside, self._purpose))
        sealed = {
            "version": _VERSION,
            "recipient": fingerprint(self._public_key),
            "key": base64.b64encode(wrapped).decode(),
        }
        return dataclasses.replace(outside, sealed=sealed)

    def packer(self, file: IO[bytes], report: Report) -> Packer:
        writer = SealingWriter(file, BlockCipher(self._secret, _PAYLOAD))
        return _SealedPacker(writer, (self._inner or ZIP).packer(cast("IO[bytes]", writer), report), self._header)


class _SealedPacker:
    """A :class:`~receptor_runner.archive.format.Packer` of what is sealed."""

    def __init__(self, writer: SealingWriter, inner: Packer, header: bytes) -> None:
        self._writer = writer
        self._inner = inner
        self._header = header

    @property
    def told(self) -> Callable[[str, int, int, int], None] | None:
        return self._inner.told

    @told.setter
    def told(self, told: Callable[[str, int, int, int], None] | None) -> None:
        self._inner.told = told

    @property
    def size(self) -> int:
        return self._writer.size

    @property
    def acceptable(self) -> bool:
        return self._inner.acceptable

    @property
    def sha256(self) -> str:
        return self._writer.sha256

    def pack(self, entries: Iterable[Entry]) -> Iterator[None]:
        """Writes the parameters, ``entries`` and the end, yielding often.

        :raises OutputError: the file cannot be written.
        """
        try:
            self._writer.write(_LENGTH.pack(len(self._header)) + self._header)
            yield from self._inner.pack(entries)
            self._writer.finish()
        except OSError as exc:
            raise OutputError(f"cannot write an archive in {temporary_place()}: {exc.strerror}") from exc

    def chunks(self) -> Iterator[bytes]:
        return self._writer.chunks()


class SealedReceiver:
    """Opens a sealed job on its node. ``extension`` and ``results_key`` are there when it is unpacked.

    :param line: what stands on the line of its parameters.
    :param open_store: opens the store of this node, if it has one.
    :param purpose: what it must have been sealed for.
    """

    def __init__(
        self, line: Extension, key: NodeKey, open_store: Callable[[], ContentStore | None], purpose: str
    ) -> None:
        self._purpose = purpose
        self.extension = Extension()
        self.results_key: bytes | None = None
        #: As that of :class:`~receptor_runner.delta.receiver.DeltaReceiver`.
        self.not_kept: tuple[bytes, ...] = ()
        self._line = line
        self._key = key
        self._open_store = open_store

    def unpack(self, file: IO[bytes], target: str, limits: StreamLimits, *, artifacts: bool) -> Iterator[None]:
        """:raises RefusedError: it is for another node, was changed, or came before.
        :raises ReceptorRunnerError: as the format of what is sealed.
        """
        wrapped = self._wrapped()
        secret = unwrap(wrapped, self._key.private(), _about(self._line, self._purpose))
        reader = SealedReader(file, BlockCipher(secret, _PAYLOAD))
        header = self._read_header(reader)
        results_key = _results_key(header)
        self._key.note_opened(wrapped)
        self.results_key = results_key
        by: UnpackingFormat = ZIP
        if header.get("format") == DELTA:
            by = DeltaReceiver(self.extension.store, self._open_store)
        elif header.get("format") != ZIP.name:
            raise ArchiveError(f"what is sealed is packed as {str(header.get('format'))[:80]!r}, unknown here")
        yield from by.unpack(cast("IO[bytes]", reader), target, limits, artifacts=artifacts)
        if isinstance(by, DeltaReceiver):
            self.not_kept = by.not_kept

    def _wrapped(self) -> bytes:
        """:raises RefusedError: it is sealed for another key, or in another way."""
        sealed = self._line.sealed or {}
        if sealed.get("version") != _VERSION:
            raise RefusedError(f"the job is sealed in a way that is not known here: {str(sealed.get('version'))[:80]}")
        own = fingerprint(public_key_of(self._key.private()))
        if sealed.get("recipient") != own:
            raise RefusedError(
                f"the job is sealed for the key {str(sealed.get('recipient'))[:80]}, and this node has {own}"
            )
        try:
            return base64.b64decode(str(sealed.get("key")), validate=True)
        except ValueError as exc:
            raise RefusedError("the wrapped key of the job is damaged") from exc

    def _read_header(self, reader: SealedReader) -> JSONObject:
        """:raises RefusedError: it is too old, or from the future.
        :raises ArchiveError: it is none.
        """
        try:
            (length,) = _LENGTH.unpack(reader.read(_LENGTH.size))
            header = parse_json(reader.read(length)) if length <= MAX_LINE else None
            if not isinstance(header, dict):
                raise ValueError("it has no header")
            age = time.time() - float(header["created"])
            self.extension = Extension.of(header)
        except (ValueError, TypeError, KeyError, ArithmeticError, struct.error) as exc:
            raise ArchiveError(f"what is sealed cannot be understood: {exc}") from exc
        if not -_CLOCKS_SECONDS < age < ON_ITS_WAY_SECONDS:
            hours = f"{age / 3600:.0f} hours"
            raise RefusedError(f"the sealed job was made {hours} ago by this node's clock; it is not run any more")
        return header


def _results_key(header: JSONObject) -> bytes | None:
    """:raises ArchiveError: it is none."""
    text = header.get("results_key")
    if text is None:
        return None
    try:
        key = bytes.fromhex(str(text))
    except ValueError:
        key = b""
    if len(key) != _KEY_BYTES:
        raise ArchiveError("what is sealed has a key for its results that is none")
    return key


def _about(line: Extension, purpose: str) -> dict[str, str]:
    """Whose job it is, and what for. Another line opens nothing."""
    return {"job": line.job or "", "owner": line.owner or "", "purpose": purpose}
