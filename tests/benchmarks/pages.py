"""Pages of jobs of three sizes: how long one takes to make, how large it is, and how long a browser takes to open it.

Rules: the events never ran. The browser's time is that of the page's own script, from the navigation to the end of the
first drawing. Without Chromium that is left out."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from receptor_runner.reports.collect import JobReport, ReportHead
from receptor_runner.reports.html import PageDetails, html_page
from receptor_runner.results.masked_events import EventMasker
from tests.support.chromium import chromium
from tests.support.made_jobs import made_events

SIZES = ((3, 60, 400), (300, 60, 400), (1000, 50, 400), (1000, 50, 4000))
ROUNDS = 3


def pages(scratch: Path) -> None:
    files = {}
    for hosts, tasks, size in SIZES:
        events = list(made_events(hosts, tasks, size=size))
        begun = time.perf_counter()
        details = PageDetails()
        made = JobReport(ReportHead("nightly", "failed", 2), EventMasker(["a password"]), details)
        for event in events:
            made.take(event)
        content = html_page(made, details)
        took = time.perf_counter() - begun
        file = scratch / f"{hosts}x{tasks}x{size}.html"
        file.write_bytes(content)
        files[file] = f"page: {hosts} hosts x {tasks} tasks, {len(events):,} events of {size} characters"
        print(
            f"{files[file]:60} made in {took:5.2f} s, {len(content) / 1e6:5.2f} MB, {details.left_out} outputs left out"
        )
    try:
        with chromium(scratch / "profile") as page:
            for file, name in files.items():
                print(f"{name:60} opened in {min(page.open(file) for _ in range(ROUNDS)):5.2f} s", flush=True)
    except pytest.skip.Exception as exc:
        print(f"page: {exc}")
