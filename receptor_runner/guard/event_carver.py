r"""Carves job events out of a command's output.

Rules: no IO. The cost is linear in the output, and what is held is bounded, whatever the output says. Only a frame
with the right digest is a frame. Anything else that looks like one is text. Events leave as encoded lines: the guard
never parses what the callback plugin wrote.

A frame is ``ESC _ rr ; SEQUENCE ; KIND ; LENGTH ; DIGEST ; BODY [DIGEST] ESC \``. The first digest covers the head,
the second the body; both are HMAC-SHA256 with the key of this run. Kinds: ``o`` opens an event (the body is its JSON),
``d`` opens one that counts only if text follows, ``c`` closes it."""

from __future__ import annotations

import datetime
import hmac
import json
import re
import sys
import uuid

from ..limits import MAX_EVENT_TEXT, MAX_FRAME, MAX_VERBOSE_TEXT

__all__ = ["Carver"]

_MARK = b"\x1b_rr;"
_END = b"\x1b\\"
_HEAD = re.compile(rb"\x1b_rr;(\d{1,15});([odc]);(\d{1,9});([0-9a-f]{32});")
_LONGEST_HEAD = 5 + 15 + 1 + 1 + 1 + 9 + 1 + 32 + 1
_DIGEST = 32


class Carver:
    """Feed it output; take :attr:`lines` (encoded events) and the text that is left."""

    def __init__(self, key: bytes, ident: str) -> None:
        self.counter = 0
        #: How many more lines of text outside of events become events of their own. What comes then becomes one event
        #: when :meth:`end_lines` is called, or when it is large.
        self.plain_room = sys.maxsize
        self.lines: list[bytes] = []
        self._key = key
        self._ident = json.dumps(ident)
        self._line_number = 0
        self._sequence = 0
        self._held = b""
        self._body: _Body | None = None
        self._event: _Event | None = None
        self._partial: list[bytes] = []
        self._partial_size = 0

    @property
    def framed(self) -> bool:
        """Whether the callback plugin has said anything."""
        return self._sequence > 0

    def receive(self, data: bytes) -> bytes:
        """Takes in ``data`` and returns the text in it."""
        texts: list[bytes] = []
        data = self._held + data if self._held else data
        self._held = b""
        position = 0
        while position < len(data):
            if self._body is not None:
                position = self._take_body(data, position, texts)
                continue
            mark = data.find(_MARK, position)
            if mark < 0:
                keep = len(data) - _mark_begun(data, position)
                self._take_text(data[position:keep], texts)
                self._held = data[keep:]
                break
            self._take_text(data[position:mark], texts)
            head = _HEAD.match(data, mark)
            if head is not None and self._begin(head):
                position = head.end()
            elif head is None and len(data) - mark < _LONGEST_HEAD:
                self._held = data[mark:]
                break
            else:
                self._take_text(_MARK, texts)
                position = mark + len(_MARK)
        return b"".join(texts)

    def finish(self) -> bytes:
        """The end of the output: what was held back is text."""
        texts: list[bytes] = []
        held = self._held
        self._held = b""
        if self._body is not None:
            held, self._body = self._body.as_text(), None
        self._take_text(held, texts)
        self._close_event()
        self._end_partial()
        return b"".join(texts)

    def _begin(self, head: re.Match[bytes]) -> bool:
        sequence, length = int(head[1]), int(head[3])
        if sequence <= self._sequence or length > MAX_FRAME:
            return False
        if not hmac.compare_digest(self._digest(b"head;%s;%s;%s" % head.group(1, 2, 3)), head[4]):
            return False
        self._sequence = sequence
        self._body = _Body(head[0], head[2], length)
        return True

    def _digest(self, data: bytes) -> bytes:
        return hmac.digest(self._key, data, "sha256").hex()[:_DIGEST].encode()

    def _take_body(self, data: bytes, position: int, texts: list[bytes]) -> int:
        body = self._body
        assert body is not None
        position = body.receive(data, position)
        if not body.missing:
            self._body = None
            content = body.content()
            expected = self._digest(b"body;%d;" % self._sequence + content) if content else b""
            if hmac.compare_digest(expected, body.digest()) and body.ended():
                self._frame(body.kind, content)
            else:
                self._take_text(body.as_text(), texts)
        return position

    def _frame(self, kind: bytes, content: bytes) -> None:
        if kind == b"c":
            self._close_event()
            return
        self._close_event()
        self._end_partial()
        self._event = _Event(content, optional=kind == b"d")

    def _take_text(self, text: bytes, texts: list[bytes]) -> None:
        if not text:
            return
        texts.append(text)
        event = self._event
        if event is None or event.emitted:
            self._take_verbose(text)
            return
        room = MAX_EVENT_TEXT - event.size
        event.add(text[:room])
        if len(text) > room:
            self._emit_event(event)
            self._take_verbose(text[room:])

    def _close_event(self) -> None:
        event = self._event
        self._event = None
        if event is None:
            return
        if event.emitted:
            self._end_partial()
        elif event.size or not event.optional:
            self._emit_event(event)

    def _emit_event(self, event: _Event) -> None:
        event.emitted = True
        head = self._head(b"".join(event.texts))
        event.texts.clear()
        self.lines.append(b"".join((head, event.content[1:], b"\n")))

    def _take_verbose(self, text: bytes) -> None:
        """Text outside of events: one ``verbose`` event for each line, as long as there is room."""
        begin = 0
        while self.plain_room > 0 and (newline := text.find(b"\n", begin)) >= 0:
            self._partial.append(text[begin : newline + 1])
            self._end_partial()
            self.plain_room -= 1
            begin = newline + 1
        while begin < len(text):
            piece = text[begin : begin + MAX_VERBOSE_TEXT - self._partial_size]
            begin += len(piece)
            self._partial.append(piece)
            self._partial_size += len(piece)
            if self._partial_size >= MAX_VERBOSE_TEXT:
                self._end_large_partial()

    def end_lines(self) -> None:
        """Whole lines that are held back become one event."""
        if self.plain_room <= 0 and self._partial and self._partial[-1].endswith(b"\n"):
            self._end_partial()

    def show_partial(self) -> None:
        """A line that is not ended yet becomes an event: somebody may be asked something. Its end will be another."""
        event = self._event
        if event is None or event.emitted:
            if self._partial and not self._partial[-1].endswith(b"\n"):
                self._end_partial()
        elif event.texts and not event.texts[-1].endswith(b"\n"):
            self._emit_event(event)

    def _end_large_partial(self) -> None:
        """The lines that are whole become an event; a line without end is cut."""
        held = b"".join(self._partial)
        end = held.rfind(b"\n") + 1 or len(held)
        self._partial = [held[:end]]
        self._end_partial()
        if end < len(held):
            self._partial = [held[end:]]
            self._partial_size = len(held) - end

    def _end_partial(self) -> None:
        if not self._partial:
            return
        head = self._head(b"".join(self._partial))
        self._partial.clear()
        self._partial_size = 0
        created = datetime.datetime.now(datetime.timezone.utc).isoformat()
        rest = f'"event": "verbose", "uuid": "{uuid.uuid4()}", "created": "{created}"}}\n'
        self.lines.append(head + rest.encode())

    def _head(self, text: bytes) -> bytes:
        """The beginning of an event's line: what the plugin cannot know."""
        self.counter += 1
        start = self._line_number
        self._line_number += text.count(b"\n")
        stdout = json.dumps(text.rstrip(b"\r\n").decode("utf-8", "replace"))
        return (
            f'{{"counter": {self.counter}, "stdout": {stdout}, "start_line": {start}, '
            f'"end_line": {self._line_number}, "runner_ident": {self._ident}, '
        ).encode()


def _mark_begun(data: bytes, position: int) -> int:
    """How many bytes at the end of ``data``, from ``position`` on, may be the beginning of a frame."""
    for length in range(min(len(_MARK) - 1, len(data) - position), 0, -1):
        if data.endswith(_MARK[:length]):
            return length
    return 0


class _Event:
    __slots__ = ("content", "emitted", "optional", "size", "texts")

    def __init__(self, content: bytes, *, optional: bool) -> None:
        self.content = content
        self.optional = optional
        self.texts: list[bytes] = []
        self.size = 0
        self.emitted = False

    def add(self, text: bytes) -> None:
        self.texts.append(text)
        self.size += len(text)


class _Body:
    """What follows the head of a frame: content, digest if there is content, end mark."""

    def __init__(self, head: bytes, kind: bytes, length: int) -> None:
        self.kind = kind
        self._head = head
        self._length = length
        self.missing = length + (_DIGEST if length else 0) + len(_END)
        self._parts: list[bytes] = []
        self._whole = b""

    def receive(self, data: bytes, position: int) -> int:
        piece = data[position : position + self.missing]
        self._parts.append(piece)
        self.missing -= len(piece)
        if not self.missing:
            self._whole = b"".join(self._parts)
        return position + len(piece)

    def content(self) -> bytes:
        return self._whole[: self._length]

    def digest(self) -> bytes:
        return self._whole[self._length : -len(_END)]

    def ended(self) -> bool:
        return self._whole.endswith(_END)

    def as_text(self) -> bytes:
        return self._head + b"".join(self._parts)
