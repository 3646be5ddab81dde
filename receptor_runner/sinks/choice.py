"""``KIND:TARGET`` becomes a sink.

Rules: what cannot be a sink is refused before the job is started. A kind is loaded when it is asked for."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

from ..errors import InputError, OutputError, UsageError
from ..limits import MAX_INPUT_FILE
from ..results.masked_events import EventMasker
from ..results.queued_sink import SETTLE_SECONDS, QueuedSink
from ..results.sinks import EventSink
from ..system.below import read_regular

__all__ = ["KINDS", "SinkChoice", "chosen_sinks"]

#: Each kind, and what its target is.
KINDS = {"jsonl": "FILE", "junit": "FILE", "webhook": "URL", "otlp": "URL"}


class SinkChoice(NamedTuple):
    """What was asked for. ``secret_file`` has the secret that signs what a webhook gets. ``version`` is that of this
    package, for services that want to know who speaks to them.
    """

    sinks: tuple[str, ...]
    secret_file: str | None = None
    version: str = ""

    def check(self) -> list[tuple[str, str]]:
        """Kinds and targets.

        :raises UsageError: one cannot be a sink.
        """
        return [_kind_and_target(one) for one in self.sinks]


@contextlib.contextmanager
def chosen_sinks(choice: SinkChoice, job: str, secrets: Iterable[str]) -> Iterator[Sequence[EventSink]]:
    """The sinks, as long as the context lasts; in the end it waits for them, for a bounded time.

    :param job: the name of the job; empty if it has none yet.
    :param secrets: what is masked in what they get.
    :raises UsageError: one cannot be a sink.
    :raises InputError: the secret cannot be read.
    :raises OutputError: a file cannot be written.
    :raises ConfigurationError: what it needs is not installed.
    """
    masker = EventMasker(secrets)
    queued: list[QueuedSink] = []
    try:
        for kind, target in choice.check():
            sink = _made(kind, target, job, masker, choice)
            queued.append(QueuedSink(sink, name=f"{kind}:{masker.text(target)}"))
        yield queued
    finally:
        for one in queued:
            one.close()
        until = time.monotonic() + SETTLE_SECONDS
        for one in queued:
            one.settle(max(0.0, until - time.monotonic()))


def _made(kind: str, target: str, job: str, masker: EventMasker, choice: SinkChoice) -> EventSink:
    if kind == "jsonl":
        from .jsonl import JSONLines

        return JSONLines(target, masker)
    if kind == "junit":
        from .junit import JUnitFile

        return JUnitFile(target, job, masker)
    if kind == "webhook":
        from .summary import Summary
        from .webhook import Webhook

        return Webhook(target, Summary(job, masker), masker, _secret(choice.secret_file), choice.version)
    from .otlp import Traces

    return Traces(target, job, masker, os.environ.get("TRACEPARENT", ""), choice.version)


def _kind_and_target(text: str) -> tuple[str, str]:
    kind, colon, target = text.partition(":")
    known = ", ".join(f"{name}:{what}" for name, what in KINDS.items())
    if kind not in KINDS or not colon or not target:
        raise UsageError(f"the sink {text[:80]!r} is none of {known}")
    if KINDS[kind] == "URL":
        try:
            parts = urlsplit(target)
            usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
        except ValueError:
            usable = False
        if not usable or any(char.isspace() for char in target):
            raise UsageError(f"the sink {kind} needs the URL of a server, http:// or https://, not {target[:80]!r}")
        return kind, target
    target = os.path.expanduser(target)
    if os.path.isdir(target):
        raise OutputError(f"the sink {kind} needs a file, and {target} is a directory")
    return kind, target


def _secret(path: str | None) -> bytes | None:
    if path is None:
        return None
    try:
        secret = read_regular(path, MAX_INPUT_FILE).strip()
    except OSError as exc:
        raise InputError(f"cannot read the secret of the webhook in {path}: {exc.strerror}") from exc
    if not secret:
        raise InputError(f"the file {path} with the secret of the webhook is empty")
    return secret
