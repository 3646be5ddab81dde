"""One page that holds a whole job: it works from a file, without a network, with a keyboard alone.

Rules: what failed, and the recap, are there without a script. Everything else is data that the script unpacks when it
is asked for. Every text goes into the page as data or escaped, and the page itself forbids every request. The page
keeps below :data:`MOST_BYTES`: what good results said is left out first, and the page says so."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..results.history import FAILED, OUTCOMES, UNREACHABLE, HostTask
from ..system.times import iso_time
from .collect import JobReport

__all__ = ["MOST_BYTES", "PageDetails", "html_page"]

#: How large a page may become.
MOST_BYTES = 9_500_000
#: What is for the table of results, the page itself and what failed.
_RESERVED = 3_000_000
#: What good results said may take less, so that there is room for what bad ones say.
_GOOD_SHARE = 0.7
_CHUNK = 256 * 1024
_PAGE = Path(__file__).with_name("page")
_STATIC_FAILURES = 20
_STATIC_HOSTS = 5000
_LONGEST_LINE = 160


class PageDetails:
    """Packs what results said, in pieces that a reader can open one by one."""

    def __init__(self, most: int = MOST_BYTES - _RESERVED) -> None:
        self.chunks: list[str] = []
        #: For each result, in their order: the piece, and the place in it; -1 if it was left out.
        self.places: list[tuple[int, int]] = []
        self.left_out = 0
        self._most = most
        self._size = 0
        self._texts: list[str] = []
        self._held = 0

    def add(self, result: HostTask, text: str) -> None:
        bad = result.outcome in (FAILED, UNREACHABLE)
        if self._size > self._most * (1.0 if bad else _GOOD_SHARE):
            self.left_out += 1
            self.places.append((-1, -1))
            return
        self.places.append((len(self.chunks), len(self._texts)))
        self._texts.append(text)
        self._held += len(text)
        if self._held >= _CHUNK:
            self.close()

    def close(self) -> None:
        """Packs what is held."""
        if self._texts:
            self.chunks.append(_packed(self._texts))
            self._size += len(self.chunks[-1])
            self._texts, self._held = [], 0


def html_page(report: JobReport, details: PageDetails) -> bytes:
    """:param details: what the report was collected with."""
    details.close()
    style, script = _file("page.css"), _file("page.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    table, texts = _table(report, details)
    parts = {
        "CSP": f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; base-uri 'none'",
        "TITLE": html.escape(f"{report.head.job}: {report.state}"),
        "STYLE": style,
        "HEAD": "".join(_head(report)),
        "FAILURES": "".join((*_running(report), *_failures(report))),
        "HOSTS": "".join(_hosts(report)),
        "REST": f"<pre>{html.escape(report.rest)}</pre>" if report.rest else "<p>Nothing.</p>",
        "DATA": _data("data", _packed(table)) + _data("texts", _packed(texts)),
        "CHUNKS": "".join(_data(f"chunk{number}", chunk) for number, chunk in enumerate(details.chunks)),
        "SCRIPT": script,
    }
    pieces = _file("page.html").split("@@")
    return "".join(parts[piece] if number % 2 else piece for number, piece in enumerate(pieces)).encode(
        "utf-8", "backslashreplace"
    )


def _file(name: str) -> str:
    return (_PAGE / name).read_text(encoding="utf-8")


def _packed(data: Any) -> str:
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=True)
    return base64.b64encode(zlib.compress(text.encode(), 6)).decode()


def _data(name: str, packed: str) -> str:
    return f'<script type="text/plain" id="{name}">{packed}</script>\n'


def _table(report: JobReport, details: PageDetails) -> tuple[dict[str, Any], list[str]]:
    """The results as columns, and the first line of each that failed: what the script unpacks first."""
    begun = report.history.begun or 0.0
    tasks = {id(task): number for number, task in enumerate(report.history.tasks)}
    hosts: dict[str, int] = {}
    columns: dict[str, list[int]] = {
        name: [] for name in ("host", "task", "outcome", "start", "took", "chunk", "place")
    }
    texts = []
    for number, one in enumerate(report.results):
        start = one.started if one.started is not None else one.ended or begun
        chunk, place = details.places[number]
        columns["host"].append(hosts.setdefault(one.host, len(hosts)))
        columns["task"].append(tasks[id(one.task)])
        columns["outcome"].append(OUTCOMES.index(one.outcome))
        columns["start"].append(max(0, round((start - begun) * 1000)))
        columns["took"].append(round((one.seconds or 0.0) * 1000))
        columns["chunk"].append(chunk)
        columns["place"].append(place)
        bad = one.outcome in (FAILED, UNREACHABLE)
        texts.append(one.text.partition("\n")[0][:_LONGEST_LINE] if bad else "")
    return {
        "begun": round(begun * 1000),
        "outcomes": OUTCOMES,
        "hosts": list(hosts),
        "tasks": [[one.name, one.play, one.path, one.action, one.role] for one in report.history.tasks],
        "columns": columns,
        "left_out": details.left_out,
        "chunks": len(details.chunks),
    }, texts


def _head(report: JobReport) -> Iterator[str]:
    head = report.head
    state = html.escape(report.state)
    yield f'<h1><span class="state {_class(report.state)}">{state}</span> {html.escape(head.job)}</h1>'
    facts = [
        ("playbook", report.history.playbook),
        ("node", head.node),
        ("began", (iso_time(report.history.begun) or "").replace("T", " ")),
        ("takes" if head.goes_on else "took", f"{report.seconds:.1f} s" if report.seconds is not None else ""),
        ("return code", str(head.rc) if head.rc is not None else ""),
        ("hosts", str(len(report.history.counts))),
        ("tasks", str(len(report.history.tasks))),
        ("events", str(report.history.events)),
    ]
    yield "<dl>"
    for name, value in facts:
        if value:
            yield f"<div><dt>{name}</dt><dd>{html.escape(value)}</dd></div>"
    yield "</dl>"
    if head.explanation and not report.reason:
        yield f'<p class="explanation">{html.escape(head.explanation)}</p>'


def _running(report: JobReport) -> Iterator[str]:
    """What is being done while the page is made."""
    if report.running:
        now = time.time()
        yield "<p>Now:</p><ul>"
        for one in report.running[:_STATIC_FAILURES]:
            seconds = max(0.0, now - one.started) if one.started is not None else 0.0
            yield f"<li><b>{html.escape(one.host)}</b> {html.escape(one.task.name)} for {seconds:.0f} s</li>"
        yield "</ul>"


def _failures(report: JobReport) -> Iterator[str]:
    """What failed first is open."""
    if report.reason:
        yield f"<pre>{html.escape(report.reason)}</pre>"
    elif not report.failures:
        yield "<p>Nothing failed.</p>"
    for number, one in enumerate(report.failures[:_STATIC_FAILURES]):
        opened = " open" if number == 0 else ""
        yield (
            f'<details class="failure"{opened}><summary><b>{html.escape(one.host)}</b> {html.escape(one.task.name)} '
            f'<span class="{_class(one.outcome)}">{html.escape(one.outcome)}</span> '
            f"<small>{html.escape(one.task.path)}</small></summary><pre>{html.escape(one.text)}</pre></details>"
        )
    if len(report.failures) > _STATIC_FAILURES:
        more = len(report.failures) - _STATIC_FAILURES
        yield f"<p>At least {more} more: press <kbd>f</kbd> to see only failures in the results.</p>"


def _hosts(report: JobReport) -> Iterator[str]:
    yield '<table id="recap"><thead><tr><th scope="col">host</th>'
    yield "".join(f'<th scope="col">{name}</th>' for name in reversed(OUTCOMES))
    yield "</tr></thead><tbody>"
    worst = sorted(
        report.history.counts.items(), key=lambda pair: (-_badness(report.history.hosts.get(pair[0])), pair[0])
    )
    for host, counts in worst[:_STATIC_HOSTS]:
        cells = "".join(
            f'<td class="{_class(name) if counts.get(name) else ""}">{counts.get(name, 0)}</td>'
            for name in reversed(OUTCOMES)
        )
        yield f'<tr><th scope="row">{html.escape(host)}</th>{cells}</tr>'
    yield "</tbody></table>"
    if len(worst) > _STATIC_HOSTS:
        yield f"<p>{len(worst) - _STATIC_HOSTS} more hosts are in the results below.</p>"


def _badness(outcome: str | None) -> int:
    return OUTCOMES.index(outcome) if outcome in OUTCOMES else -1


def _class(outcome: str) -> str:
    """A class of the style sheet."""
    known = {"successful": "ok", "error": "failed", "lost": "failed", "truncated": "failed", "timeout": "failed"}
    name = known.get(outcome, outcome)
    return name if name in OUTCOMES else "other"
