"""The page of a job, in a real browser: what it shows, by keyboard alone, and that it asks nobody for anything."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from receptor_runner.reports.collect import JobReport, ReportHead
from receptor_runner.reports.html import MOST_BYTES, PageDetails, html_page
from receptor_runner.results.masked_events import EventMasker
from tests.support.chromium import Page, chromium
from tests.support.commands import ours
from tests.support.looking import wait_runs
from tests.support.made_jobs import made_events
from tests.support.nodes import running
from tests.support.private_data import DirFactory, local, tasks

pytestmark = pytest.mark.slow

COUNT = "document.getElementById('count').textContent"
OUTPUT = "document.getElementById('output').textContent"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with chromium(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture
def made(tmp_path: Path) -> Callable[[int, int, int], Path]:
    def make(hosts: int, count: int, size: int) -> Path:
        details = PageDetails()
        report = JobReport(ReportHead("nightly", "failed", 2, node="exec1"), EventMasker(), details)
        for event in made_events(hosts, count, size=size):
            report.take(event)
        file = tmp_path / f"{hosts}.html"
        file.write_bytes(html_page(report, details))
        return file

    return make


@pytest.mark.parametrize(("hosts", "count"), [(3, 4), (300, 60), (1000, 50)])
@pytest.mark.timeout(300)
def test_a_page_of_any_size_is_searched_by_keyboard(
    hosts: int, count: int, page: Page, made: Callable[[int, int, int], Path]
) -> None:
    file = made(hosts, count, 400)
    assert file.stat().st_size < 10_000_000
    page.open(file)
    total = hosts * count
    assert page.value(COUNT) == f"{total} of {total} results"
    needle = f"needle{count - 1}x{hosts - 1}"
    page.type("/", needle)
    page.wait(f"document.getElementById('results').dataset.searched === '{needle}'")
    assert page.value(COUNT).startswith("1 of ")
    page.type("Enter", "Enter")
    page.wait(f"{OUTPUT}.includes('{needle}')")
    assert f"web{hosts - 1}.example.org: " in page.value(OUTPUT)
    page.type("Escape", "f")
    failures = page.value(COUNT)
    assert failures.startswith(f"{len(range(0, count, 3))} of ")
    page.type("j", "Enter")
    page.wait(f"{OUTPUT}.includes('part 0 is broken')")
    page.type("Escape", "j", "t")
    assert page.value(COUNT) == f"{hosts} of {total} results, task install part 0"
    page.type("Escape", "G", "h")
    assert page.value(COUNT) == f"{count} of {total} results, host web{hosts - 1}.example.org"
    assert page.requested == [file.as_uri()]
    assert page.errors == []


def test_what_good_results_said_is_left_out_before_the_page_grows_too_large() -> None:
    details = PageDetails(most=200_000)
    report = JobReport(ReportHead("big"), EventMasker(), details)
    for event in made_events(50, 60, failing=20, size=3000):
        if isinstance(event["event_data"].get("res"), dict):  # what cannot be packed well
            event["event_data"]["res"]["stdout"] = os.urandom(1500).hex()
        report.take(event)
    content = html_page(report, details)
    assert len(content) < MOST_BYTES
    bad = [place for one, place in zip(report.results, details.places, strict=True) if one.outcome == "failed"]
    assert details.left_out > 1000
    assert (-1, -1) not in bad


def test_texts_of_a_job_are_texts_of_the_page(page: Page, tmp_path: Path) -> None:
    evil = "</script><script>document.title='evil'</script><img src=http://127.0.0.1:9/x onerror=alert(1)>"
    details = PageDetails()
    report = JobReport(ReportHead(evil, evil, explanation=evil), EventMasker(), details)
    for event in made_events(2, 2):
        data = event["event_data"]
        for name in ("host", "task", "play", "task_path", "playbook"):
            if name in data:
                data[name] = f"{evil}{data[name]}"
        if "res" in data:
            data["res"]["msg"] = evil
        event["stdout"] += evil
        report.take(event)
    file = tmp_path / "evil.html"
    file.write_bytes(html_page(report, details))
    page.open(file)
    page.type("j", "Enter")
    page.wait(f"{OUTPUT}.includes('onerror')")
    assert page.value("document.title") != "evil"
    assert page.value("document.images.length") == 0
    assert page.requested == [file.as_uri()]


def test_the_page_is_read_in_the_dark_and_on_a_telephone(page: Page, made: Callable[[int, int, int], Path]) -> None:
    file = made(3, 4, 400)
    page.open(file)
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.value(ground)
    page.dark()
    assert page.value(ground) != light
    page.narrow()
    page.open(file)
    assert page.value("document.documentElement.scrollWidth") <= 390
    page.call("Emulation.clearDeviceMetricsOverride")


def test_a_page_without_scripts_says_what_failed(made: Callable[[int, int, int], Path]) -> None:
    text = made(3, 4, 100).read_text().partition("<script")[0]
    assert "part 0 is broken" in text
    assert "web2.example.org" in text
    assert "<noscript>" in text


@pytest.mark.parametrize("writer", ["ours", "theirs"])
def test_the_page_of_a_real_job(
    writer: str, page: Page, make_dir: DirFactory, ansible_runner: list[str], tmp_path: Path
) -> None:
    """Also of artifacts that ansible-runner wrote. A secret and a hidden result are in none of it."""
    import subprocess

    book = tasks(
        "name: greet\ndebug: {msg: 'hello {{ inventory_hostname }}'}",
        "name: loop\ncommand: 'echo {{ item }}'\nloop: [eins, zwei]",
        "name: hidden\ncommand: echo HIDDEN-RESULT\nno_log: true",
        "name: told\ncommand: 'echo password=S3CRET-VALUE'",
        "name: break\ncommand: 'false'",
    )
    inventory = local("red", "blue")
    directory = make_dir(book, inventory=inventory, env__passwords=json.dumps({"^never asked$": "sesame-opens-it"}))
    command = ours("run", directory, "-p", "test.yml", "-i", "j", "-q").args if writer == "ours" else None
    if command is None:
        words = [*ansible_runner, "run", str(directory), "-p", "test.yml", "-i", "j", "-q"]
        subprocess.run(words, capture_output=True, timeout=120, check=False)
    file = tmp_path / "job.html"
    done = ours("report", directory / "artifacts" / "j", "-o", file)
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode() == f"{file}\n"
    page.open(file)
    assert page.value(COUNT) == "10 of 10 results"
    assert "failed" in page.value("document.querySelector('h1').textContent")
    for wanted, count in (("zwei", 2), ("hello red", 1), ("HIDDEN-RESULT", 0), ("S3CRET-VALUE", 0)):
        page.type("Escape", "/", wanted)
        page.wait(f"document.getElementById('results').dataset.searched === '{wanted.lower()}'")
        assert page.value(COUNT).startswith(f"{count} of "), wanted
        page.type("Escape")
    text = ours("report", directory / "artifacts" / "j").stdout.decode()
    assert text.startswith("j: test.yml failed (rc 2)")
    assert "red: break (" in text
    found = json.loads(ours("report", directory / "artifacts" / "j", "--format", "json").stdout)
    assert found["hosts"] == {host: {"ok": 2, "changed": 2, "failed": 1} for host in ("red", "blue")}
    assert [one["name"] for one in found["tasks"]] == ["greet", "loop", "hidden", "told", "break"]
    for kind in ("html", "json", "junit", "text"):
        content = ours("report", directory / "artifacts" / "j", "--format", kind).stdout
        assert not any(word in content for word in (b"HIDDEN-RESULT", b"S3CRET-VALUE", b"sesame"))


def test_a_job_that_came_to_no_task_has_a_report(page: Page, make_dir: DirFactory, tmp_path: Path) -> None:
    directory = make_dir("- hosts: [\n")
    assert ours("run", directory, "-p", "test.yml", "-i", "j").returncode == 4
    file = tmp_path / "job.html"
    assert ours("report", directory / "artifacts" / "j", "-o", file).returncode == 0
    said = file.read_text().partition('id="failed-title"')[2].partition("</section>")[0]
    assert "test.yml" in said
    assert "Nothing failed" not in said
    found = json.loads(ours("report", directory / "artifacts" / "j", "--format", "json").stdout)
    assert "test.yml" in found["explanation"]
    junit = ours("report", directory / "artifacts" / "j", "--format", "junit").stdout
    assert b'errors="1"' in junit
    assert b"test.yml" in junit
    assert ours("report", directory / "artifacts" / "none").returncode == 66
    unwritable = ours("report", directory / "artifacts" / "j", "-o", "/nosuch/x.html")
    assert unwritable.returncode == 73
    assert b"/nosuch/x.html" in unwritable.stderr


def test_a_report_of_a_job_that_runs_says_what_it_does_now(make_dir: DirFactory, tmp_path: Path) -> None:
    directory = make_dir(tasks("name: hang\ncommand: sleep 600"))
    with running("embedded-1.4") as mesh:
        mesh.run("submit", directory, "-p", "test.yml", "-i", "j")
        wait_runs("j", localhost="hang")
        text = ours("report", "j").stdout.decode()
        assert "running on" in text
        assert "Now:\n  localhost: hang (test.yml:4) for" in text
        assert [one["host"] for one in json.loads(ours("report", "j", "--format", "json").stdout)["running"]] == [
            "localhost"
        ]
        assert b"<li><b>localhost</b> hang for" in ours("report", "j", "--format", "html").stdout
        assert ours("cancel", "j").returncode == 0


def test_the_name_of_a_file_says_what_is_written(make_dir: DirFactory, tmp_path: Path) -> None:
    directory = make_dir(tasks("debug: "))
    assert ours("run", directory, "-p", "test.yml", "-i", "j", "-q").returncode == 0
    job = directory / "artifacts" / "j"
    assert ours("report", job, "-o", "-").stdout.startswith(b"j: test.yml successful")
    for name in ("json", "x.pdf"):
        refused = ours("report", job, "-o", tmp_path / name)
        assert refused.returncode == 64
        assert b"--format" in refused.stderr
    refused = ours("inspect", job)
    assert refused.returncode == 64
    assert b"receptor-runner report" in refused.stderr
