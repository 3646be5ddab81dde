"""The sink ``otlp``: a trace of the job, sent by HTTP to a collector of OpenTelemetry.

Rules: a span is a host's task, a task, a play, or the job, each inside of the next. Identifiers come from the job and
its events, so a follower that goes on with a job sends the same again and not another trace. ``TRACEPARENT`` (W3C
Trace Context) puts the trace below that of the caller. Spans leave as they end, in batches; what the collector does not
take is an error of the sink."""

from __future__ import annotations

import hashlib
import logging
import re
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from ..errors import ConfigurationError, UnreachableError
from ..results.history import FAILED, UNREACHABLE, HostTask, TaskRun
from ..results.masked_events import EventMasker
from ..results.sinks import EventSink
from ..results.terminal import one_line
from ..stream.messages import JSONObject
from .summary import Summary

__all__ = ["Traces"]

_BATCH = 500
_SECONDS = 4
_LONGEST_REASON = 300
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(?:-.*)?")
_NO_TRACE, _NO_SPAN = "0" * 32, "0" * 16


class Traces(EventSink):
    """:param url: of the collector; a bare one gets the path ``/v1/traces``.
    :param traceparent: of whoever started us; empty if there is none.
    :raises ConfigurationError: what it needs is not installed.
    """

    whole = True

    def __init__(self, url: str, job: str, masker: EventMasker, traceparent: str, version: str) -> None:
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
        except ImportError as exc:
            raise ConfigurationError(
                "the sink otlp needs OpenTelemetry", hint="pip install 'receptor-runner[otel]'"
            ) from exc
        self._complaints = _LastWords()
        parts = urlsplit(url)
        if parts.path in ("", "/"):
            url = urlunsplit(parts._replace(path="/v1/traces"))
        self._exporter = OTLPSpanExporter(endpoint=url, timeout=_SECONDS)
        self._resource = Resource.create({"service.name": "receptor-runner", "service.version": version})
        self._version = version
        self._job = job
        self._masker = masker
        self._summary = Summary(job, masker)
        self._parent = _parsed(traceparent)
        self._seed = ""
        self._spans: list[Any] = []
        self._last: dict[int, HostTask] = {}

    def event(self, name: str, data: JSONObject, raw: bytes) -> bool:
        self._seed = self._seed or f"{self._job} {data.get('uuid')}"
        done = self._summary.event(data)
        if done is not None:
            self._add_result(done)
            if len(self._spans) >= _BATCH:
                self._send()
        return True

    def finished(self, result: Any) -> None:
        """:raises UnreachableError: the collector did not take all of it."""
        ended, history = self._summary.ended(result), self._summary.history
        begun, heard = history.begun or 0.0, history.heard or 0.0
        plays: dict[str, tuple[str, list[float]]] = {}
        for task in history.tasks:
            last = self._last.get(id(task))
            end = (last.ended if last is not None else None) or task.started or begun
            start = task.started or begun
            _, times = plays.setdefault(task.play_uuid, (task.play, [start, end]))
            times[:] = [min(times[0], start), max(times[1], end)]
            attributes = {"ansible.task.path": task.path, "ansible.task.action": task.action, "ansible.role": task.role}
            self._add(task.name, _task_key(task), f"play {task.play_uuid}", (start, end), attributes)
        for uuid, (play, (start, end)) in plays.items():
            self._add(play or "play", f"play {uuid}", "job", (start, end), {"ansible.play": play})
        attributes = {
            "ansible.playbook": history.playbook,
            "receptor_runner.job": ended["job"],
            "receptor_runner.state": ended["state"],
            "receptor_runner.exit_code": ended["exit_code"],
        }
        failed = ended["state"] != "successful"
        text = str(ended["explanation"] or ended["state"]) if failed else None
        self._add(ended["job"] or "job", "job", "", (begun, heard), attributes, text)
        self._send()

    def close(self) -> None:
        self._exporter.shutdown()  # type: ignore[no-untyped-call]
        self._complaints.close()

    def _add_result(self, done: HostTask) -> None:
        self._last[id(done.task)] = done
        attributes = {
            "ansible.host": done.host,
            "ansible.task": done.task.name,
            "ansible.task.action": done.task.action,
            "ansible.outcome": done.outcome,
        }
        key = f"{_task_key(done.task)} {done.host} {done.counter}"
        start = done.started or done.ended or 0.0
        failed = done.outcome in (FAILED, UNREACHABLE)
        text = (done.text or done.outcome) if failed else None
        self._add(done.host, key, _task_key(done.task), (start, done.ended or start), attributes, text)

    def _add(
        self,
        name: str,
        key: str,
        above: str,
        times: tuple[float, float],
        attributes: JSONObject,
        fault: str | None = None,
    ) -> None:
        """:param fault: what went wrong; None if nothing did."""
        from opentelemetry.sdk.trace import ReadableSpan
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope
        from opentelemetry.trace import SpanContext, Status, StatusCode, TraceFlags

        def context(span_id: int) -> SpanContext:
            return SpanContext(self._trace_id(), span_id, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))

        over = context(self._span_id(above)) if above else context(self._parent[1]) if self._parent else None
        begun, ended = (int(moment * 1e9) for moment in times)
        self._spans.append(
            ReadableSpan(
                name,
                context(self._span_id(key)),
                over,
                self._resource,
                {name: value for name, value in attributes.items() if value not in (None, "")},
                status=Status(StatusCode.ERROR, fault) if fault is not None else Status(StatusCode.OK),
                start_time=begun,
                end_time=max(begun, ended),
                instrumentation_scope=InstrumentationScope("receptor_runner", self._version),
            )
        )

    def _trace_id(self) -> int:
        return self._parent[0] if self._parent is not None else _number(f"trace {self._seed}", 16)

    def _span_id(self, key: str) -> int:
        return _number(f"{self._seed} {key}", 8)

    def _send(self) -> None:
        from opentelemetry.sdk.trace.export import SpanExportResult

        spans, self._spans = self._spans, []
        for begin in range(0, len(spans), _BATCH):
            if self._exporter.export(spans[begin : begin + _BATCH]) is not SpanExportResult.SUCCESS:
                self.lost = len(spans) - begin
                why = self._masker.text(self._complaints.text)
                raise UnreachableError(f"the collector did not take the spans{why and f': {why}'}")


class _LastWords(logging.Handler):
    """Keeps what the exporter logs: it says there why it failed, and nowhere else. Nobody else is told."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.text = ""
        self._log = logging.getLogger("opentelemetry")
        self._log.addHandler(self)
        self._log.propagate = False

    def close(self) -> None:
        self._log.removeHandler(self)
        super().close()

    def emit(self, record: logging.LogRecord) -> None:
        self.text = one_line(record.getMessage())[:_LONGEST_REASON]


def _task_key(task: TaskRun) -> str:
    return f"task {task.uuid} {task.play_uuid}"


def _number(text: str, size: int) -> int:
    """A number of ``size`` bytes that is not zero, always the same for the same text."""
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "replace")).digest()[:size], "big") or 1


def _parsed(traceparent: str) -> tuple[int, int] | None:
    """The trace and the span above; None if the text says none (W3C Trace Context, 3.2)."""
    match = _TRACEPARENT.fullmatch(traceparent.strip())
    if match is None or match[1] == _NO_TRACE or match[2] == _NO_SPAN or traceparent.startswith("ff"):
        return None
    return int(match[1], 16), int(match[2], 16)
