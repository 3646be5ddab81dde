"""The stream's codec: one table both ways, any split, any garbage."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from receptor_runner.errors import ArchiveError, LimitError, ProtocolError, TruncatedStreamError
from receptor_runner.limits import StreamLimits
from receptor_runner.stream.codec import END_OF_STREAM, KEEPALIVE, Decoder, encode, encode_archive
from receptor_runner.stream.endpoints import FileInput
from receptor_runner.stream.messages import (
    ArchiveData,
    ArchiveEnd,
    ArchiveStart,
    EndOfStream,
    Foreign,
    JobEvent,
    Keepalive,
    Kwargs,
    Message,
    Status,
    Unknown,
)
from tests.support.strategies import json_values, splits


def decode(*pieces: bytes, **limits: int) -> list[Message]:
    """What a decoder makes of ``pieces``, with the data of an archive joined."""
    decoder = Decoder(StreamLimits(**limits))
    messages: list[Message] = []
    for piece in pieces:
        messages += decoder.receive(piece)
    messages += decoder.receive_eof()
    return joined(messages)


def joined(messages: list[Message]) -> list[Message]:
    result: list[Message] = []
    for message in messages:
        if isinstance(message, ArchiveData) and result and isinstance(result[-1], ArchiveData):
            result[-1] = ArchiveData(result[-1].chunk + message.chunk)
        else:
            result.append(message)
    return result


def archive(data: bytes) -> bytes:
    return b"".join(encode_archive(len(data), hashlib.sha256(data).hexdigest(), [data]))


EVENT = {"uuid": "u", "counter": 1, "stdout": "x", "event": "verbose"}
TABLE: list[tuple[bytes, list[Message]]] = [
    (b'{"kwargs": {"playbook": "x"}}\n', [Kwargs({"kwargs": {"playbook": "x"}})]),
    (b'{"status": "running"}\n', [Status({"status": "running"})]),
    (json.dumps(EVENT).encode() + b"\n", [JobEvent(EVENT, json.dumps(EVENT).encode())]),
    (KEEPALIVE, [Keepalive()]),
    (END_OF_STREAM, [EndOfStream()]),
    (b'{"zipfile": 3}\nYWJj{"eof": true}\n', [ArchiveStart(3), ArchiveData(b"abc"), ArchiveEnd(), EndOfStream()]),
    (b'{"zipfile": 1}\nYQ==', [ArchiveStart(1), ArchiveData(b"a"), ArchiveEnd()]),
    (b'{"zipfile": 0}\n{"eof": true}\n', [ArchiveStart(0), ArchiveEnd(), EndOfStream()]),
    # wrapped, and blank lines behind it
    (
        b'{"zipfile": 4}\nYW\nJj\r\nZA==\n\n{"eof": true}\n',
        [ArchiveStart(4), ArchiveData(b"abcd"), ArchiveEnd(), EndOfStream()],
    ),
    # several on a line; a last line without its newline
    (
        b'{"status": "a"}{"status": "b"} {"eof": true}',
        [Status({"status": "a"}), Status({"status": "b"}), EndOfStream()],
    ),
    # what others write in between
    (b"WARNING: no\n", [Foreign(b"WARNING: no", 0)]),
    (b'warning{"status": "a"}\n', [Foreign(b"warning", 0), Status({"status": "a"})]),
    (b"[1]\n5\n", [Foreign(b"[1]", 0), Foreign(b"5", 4)]),
    (b'{"something": "else"}\n', [Unknown({"something": "else"})]),
    (b'{"eof": true}\n(abc, released)\n', [EndOfStream()]),
]


@pytest.mark.parametrize(("stream", "messages"), TABLE)
def test_each_kind_of_line_becomes_its_message(stream: bytes, messages: list[Message]) -> None:
    assert decode(stream) == messages
    assert decode(*(stream[i : i + 1] for i in range(len(stream)))) == messages


@given(st.data())
def test_every_split_decodes_the_same(data: st.DataObject) -> None:
    parts = data.draw(st.lists(st.sampled_from([stream for stream, _ in TABLE[:-1]]), max_size=4))
    stream = b"".join(part if part.endswith(b"\n") or b"zipfile" in part else part + b"\n" for part in parts)
    assert decode(*data.draw(splits(stream))) == decode(stream)


@given(st.dictionaries(st.text(max_size=8), json_values, max_size=4))
def test_a_line_comes_back_as_it_was(data: dict[str, Any]) -> None:
    (message,) = decode(encode({"status": data}))
    assert isinstance(message, Status)
    assert repr(message.data) == repr({"status": data})


MUCH = b'{"event": "x", "pad": "%s"}\n' % (b"x" * 2**23)


@given(json_values)
def test_a_line_behind_many_bytes_says_what_json_says(value: Any) -> None:
    """Also where the quicker parser takes less: NaN, lone surrogates, large numbers."""
    for allowed in (json.dumps(value), f"[{json.dumps(value)}, NaN, 1e999, {10**40}]", '"\\ud800"'):
        line = b'{"event": "x", "value": %s}\n' % allowed.encode()
        _, message = decode(MUCH + line)
        assert isinstance(message, JobEvent)
        assert repr(message.data) == repr(json.loads(line))


@given(st.binary(max_size=2000), st.data())
def test_an_archive_comes_back_as_it_was(content: bytes, data: st.DataObject) -> None:
    stream = archive(content) + END_OF_STREAM
    messages = decode(*data.draw(splits(stream)))
    assert messages[0] == ArchiveStart(len(content), hashlib.sha256(content).hexdigest())
    assert b"".join(message.chunk for message in messages if isinstance(message, ArchiveData)) == content
    assert messages[-2:] == [ArchiveEnd(), EndOfStream()]


def test_an_archive_has_the_form_that_ansible_runner_reads() -> None:
    content = bytes(range(256)) * 4000
    head, _, text = archive(content).partition(b"\n")
    assert json.loads(head)["zipfile"] == len(content)
    assert text == base64.b64encode(content)


@settings(max_examples=300)
@given(st.binary(max_size=400), st.sampled_from([b"", b'{"zipfile": 9}\n', b'{"status": "x"}\n']), st.data())
def test_garbage_gives_only_the_documented_errors(garbage: bytes, before: bytes, data: st.DataObject) -> None:
    with contextlib.suppress(ProtocolError, ArchiveError, TruncatedStreamError):
        decode(*data.draw(splits(before + garbage)))


@pytest.mark.parametrize(
    ("stream", "limits", "offset"),
    [
        (b'{"zipfile": "many"}\n', {}, 0),
        (b'{"zipfile": -1}\n', {}, 0),
        (b'{"status": "x"}\n{"zipfile": 11}\n', {"archive": 10}, 16),
        (b'{"eof": true', {"line": 10}, 0),
        (b'{"zipfile": 6}\nYW!jZGVm', {}, 15),
        (b'{"zipfile": 6}\nYQ==ZGVm', {}, 15),
    ],
)
def test_an_error_says_where(stream: bytes, limits: dict[str, int], offset: int) -> None:
    with pytest.raises((ProtocolError, LimitError, ArchiveError), match=f"byte {offset} ") as caught:
        decode(stream, **limits)
    assert isinstance(caught.value, (ProtocolError, LimitError, ArchiveError))
    assert caught.value.offset == offset


def test_a_cut_archive_says_how_much_is_missing() -> None:
    with pytest.raises(TruncatedStreamError, match="3 bytes short"):
        decode(b'{"zipfile": 6}\nYWJj')


def test_boundaries_are_where_a_reader_may_resume() -> None:
    stream = b'{"status": "a"}\n' + archive(b"abc") + END_OF_STREAM
    decoder = Decoder()
    seen = set()
    for place in range(len(stream)):
        decoder.receive(stream[place : place + 1])
        seen.add(decoder.boundary)
    head = stream.index(b"\n", 16) + 1
    assert seen == {0, 16, head, head + 4, len(stream)}


def test_a_callers_file_is_not_read_beyond_the_end_mark() -> None:
    """A socket file would block for ever on one byte more."""
    stream = b'{"status": "a"}\n' + archive(b"abcd") + END_OF_STREAM
    file = io.BytesIO(stream + b"(abc, released)\n")
    source, decoder = FileInput(file), Decoder()
    while not decoder.finished:
        decoder.receive(source.read(decoder.wanted, None) or b"")
    assert file.tell() == len(stream)
