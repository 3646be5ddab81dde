"""The command ``report``.

Rules: a file is written as a whole. What is masked elsewhere is masked here."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING

import click

from ..errors import OutputError
from .context import name_job
from .job_source import is_directory, known_job, read_job, report_head
from .options import bare_option, command, job_argument, log_options
from .output import say

if TYPE_CHECKING:
    from ..reports.collect import JobReport
    from ..reports.html import PageDetails
    from ..stream.messages import JSONObject

__all__ = ["report"]

_FORMATS = {".html": "html", ".htm": "html", ".xml": "junit", ".json": "json", ".txt": "text"}


@command(
    examples=(
        "receptor-runner report nightly -o nightly.html",
        "receptor-runner report demo/artifacts/nightly --format text",
        "receptor-runner report nightly --format junit -o results.xml",
    ),
)
@job_argument()
@bare_option("-o", "--output", "file", metavar="FILE", help="Where to write it. [default: standard output]")
@bare_option(
    "--format",
    "kind",
    type=click.Choice(["html", "junit", "json", "text"]),
    help="What to write. [default: by the name of FILE, else text]",
)
@log_options
def report(*, job: str, file: str | None, kind: str | None) -> int:
    """Write what happened in a job: a page, a test report, data, or a few lines.

    JOB is a submitted job or an artifact directory, also one that ansible-runner wrote. The page is one file that needs
    no network.
    """
    from ..system.signals import check, stop_on_signals

    name_job(job)
    file = None if file == "-" else file
    kind = kind or _kind_of(file)
    collected, details = _empty(job, page=kind == "html")
    with stop_on_signals() as flag:

        def take(event: JSONObject, raw: bytes) -> None:
            check(flag)
            collected.take(event)

        submitted = read_job(job, take, flag=flag)
    collected.head = report_head(job, submitted)
    content = _content(kind, collected, details)
    if file is None:
        sys.stdout.buffer.write(content)
        return 0
    from ..system.files import replace_file

    try:
        replace_file(file, content, mode=0o666)
    except OSError as exc:
        raise OutputError(f"cannot write {file}: {exc.strerror}") from exc
    say(file)
    return 0


def _kind_of(file: str | None) -> str:
    """:raises click.UsageError: the name of the file does not say it."""
    if file is None:
        return "text"
    kind = _FORMATS.get(os.path.splitext(file)[1].lower())
    if kind is None:
        raise click.UsageError(
            f"-o names a file, and {file} does not say what it is; give --format, or an end: {', '.join(_FORMATS)}"
        )
    return kind


def _empty(job: str, *, page: bool) -> tuple[JobReport, PageDetails | None]:
    """A report that knows what to mask. Only a page needs what each result said."""
    from ..job.secrets import known_secrets
    from ..reports.collect import JobReport, ReportHead
    from ..results.masked_events import EventMasker

    details: PageDetails | None = None
    if page:
        from ..reports.html import PageDetails

        details = PageDetails()
    return JobReport(ReportHead(job), EventMasker(known_secrets(_private_data_dir(job))), details), details


def _private_data_dir(job: str) -> str:
    """Where the job came from, as far as that can be told: artifacts are in DIR/artifacts/IDENT."""
    if is_directory(job):
        return os.path.dirname(os.path.dirname(os.path.abspath(job)))
    return known_job(job).record.private_data_dir


def _content(kind: str, collected: JobReport, details: PageDetails | None) -> bytes:
    if details is not None:
        from ..reports.html import html_page

        return html_page(collected, details)
    if kind == "junit":
        from ..reports.junit import junit_xml

        ended = {"state": collected.state, "explanation": collected.reason}
        return junit_xml(collected.head.job, collected.results, ended)
    if kind == "json":
        from ..reports.data import report_view

        return json.dumps(report_view(collected), indent=1).encode() + b"\n"
    from ..reports.text import text_report

    return text_report(collected).encode("utf-8", "backslashreplace")
