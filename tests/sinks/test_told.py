"""What files, servers and collectors are told of a job, and that none of them can harm it."""

from __future__ import annotations

import base64
import gzip
import hmac
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import junitparser
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from receptor_runner.stream.codec import END_OF_STREAM, encode
from tests.support.commands import OURS, ours
from tests.support.disks import small_disk
from tests.support.http_server import Server, http_server
from tests.support.made_jobs import made_events
from tests.support.nodes import BOTH, running
from tests.support.private_data import DirFactory, local, tasks
from tests.support.processes import exit_code, wait_for
from tests.support.streams import RUNNING, STARTING, archive, final

pytestmark = pytest.mark.slow

MIXED = tasks(
    "name: greet\ndebug: {msg: 'hello {{ inventory_hostname }}'}",
    "name: change\ncommand: 'true'",
    "name: hidden\ncommand: echo HIDDEN-RESULT\nno_log: true",
    "name: told\ncommand: 'echo password=S3CRET-VALUE sesame-opens-it'",
    "name: tolerated\ncommand: 'false'\nignore_errors: true",
    "name: passed over\ncommand: 'true'\nwhen: false",
    "name: break\ncommand: 'false'\nwhen: inventory_hostname == 'red'",
)
SECRETS = (b"HIDDEN-RESULT", b"S3CRET-VALUE", b"sesame")


@pytest.fixture
def mixed(make_dir: DirFactory) -> Path:
    inventory = local("red", "blue")
    return make_dir(MIXED, inventory=inventory, env__passwords=json.dumps({"^never asked$": "sesame-opens-it"}))


def stream(hosts: int, count: int, size: int) -> bytes:
    """A worker's stream of a job that never ran."""
    body = b"".join(encode(event) for event in made_events(hosts, count, size=size))
    files = archive(*((name, 0o100600, text) for name, text in (("rc", b"2"), ("status", b"failed"), ("stdout", b""))))
    return STARTING + RUNNING + body + final("failed") + files + END_OF_STREAM


def spans_of(server: Server) -> list[Span]:
    found = []
    for _, headers, body in server.requests:
        request = ExportTraceServiceRequest()
        request.ParseFromString(gzip.decompress(body) if headers.get("Content-Encoding") == "gzip" else body)
        for resource_spans in request.resource_spans:
            assert any(one.value.string_value == "receptor-runner" for one in resource_spans.resource.attributes)
            found += [span for scope in resource_spans.scope_spans for span in scope.spans]
    return found


def test_all_are_told_of_one_job(mixed: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("hook-key\n")
    trace, above = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    with http_server() as hook, http_server() as collector:
        done = ours(
            "run", mixed, "-p", "test.yml", "-i", "all", "-q",
            "--sink", f"jsonl:{tmp_path}/events.jsonl", "--sink", f"junit:{tmp_path}/results.xml",
            "--sink", f"webhook:{hook.url}", "--webhook-secret-file", secret, "--sink", f"otlp:{collector.url}",
            env={**os.environ, "TRACEPARENT": f"00-{trace}-{above}-01"},
        )  # fmt: skip
    assert done.returncode == 2
    assert b"sink" not in done.stderr
    _check_lines(mixed, tmp_path / "events.jsonl")
    _check_junit(tmp_path / "results.xml")
    _check_hook(hook)
    _check_trace(spans_of(collector), trace, above)
    told = (tmp_path / "events.jsonl").read_bytes() + (tmp_path / "results.xml").read_bytes()
    told += b"".join(hook.bodies()) + b"".join(span.SerializeToString() for span in spans_of(collector))
    assert not [word for word in SECRETS if word in told]


def _check_lines(directory: Path, file: Path) -> None:
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    saved = {path.name for path in (directory / "artifacts" / "all" / "job_events").iterdir()}
    events = [line for line in lines if "event" in line]
    assert {f"{one['counter']}-{one['uuid']}.json" for one in events} == saved
    assert lines[-1]["status"] == "failed"
    assert file.stat().st_mode & 0o77 == 0


def _check_junit(file: Path) -> None:
    """Read by another library."""
    suites = junitparser.JUnitXml.fromfile(str(file))
    (suite,) = list(suites)
    assert (suite.tests, suite.failures, suite.errors, suite.skipped) == (14, 1, 0, 3)
    (failed,) = [case for case in suite if case.result and isinstance(case.result[0], junitparser.Failure)]
    assert failed.name == "[red] break"
    assert failed.classname == "test.yml"


def _check_hook(hook: Server) -> None:
    ((path, headers, body),) = hook.requests
    assert path == "/hook"
    assert headers["X-Receptor-Runner-Signature"] == "sha256=" + hmac.digest(b"hook-key", body, "sha256").hex()
    told = json.loads(body)
    assert (told["job"], told["state"], told["rc"], told["exit_code"]) == ("all", "failed", 2, 2)
    assert told["failed_hosts"] == ["red"]
    assert [(one["host"], one["task"]) for one in told["failures"]] == [("red", "break")]


def _check_trace(spans: list[Span], trace: str, above: str) -> None:
    by_id = {span.span_id: span for span in spans}
    assert len(by_id) == len(spans)
    assert {span.trace_id.hex() for span in spans} == {trace}
    (job,) = [span for span in spans if span.parent_span_id.hex() == above]
    assert job.name == "all"
    assert job.status.code == Status.STATUS_CODE_ERROR
    (play,) = [span for span in spans if span.parent_span_id == job.span_id]
    task_spans = [span for span in spans if span.parent_span_id == play.span_id]
    assert {span.name for span in task_spans} >= {"greet", "break"}
    broken = next(span for span in task_spans if span.name == "break")
    red = next(span for span in spans if span.parent_span_id == broken.span_id and span.name == "red")
    assert red.status.code == Status.STATUS_CODE_ERROR
    assert "non-zero" in red.status.message
    for span in spans:
        assert span.start_time_unix_nano <= span.end_time_unix_nano
        if span.parent_span_id in by_id:
            over = by_id[span.parent_span_id]
            assert over.start_time_unix_nano <= span.start_time_unix_nano
            assert span.end_time_unix_nano <= over.end_time_unix_nano


@pytest.mark.parametrize("kind", BOTH)
def test_who_goes_on_with_a_job_tells_all_of_it(kind: str, make_dir: DirFactory, tmp_path: Path) -> None:
    """The file of tests is whole, and the trace is the same."""
    until = tmp_path / "until"
    directory = make_dir(tasks("name: first\ndebug: ", f"name: second\nwait_for: {{path: {until}, sleep: 1}}"))
    with running(kind) as mesh, http_server() as collector:
        sinks = ["--sink", f"junit:{tmp_path}/r.xml", "--sink", f"otlp:{collector.url}"]
        mesh.run("submit", directory, "-p", "test.yml", "-i", "j")
        follower = subprocess.Popen([*OURS, "attach", "j", *sinks], stdout=subprocess.PIPE)
        output = follower.stdout
        assert output is not None
        wait_for(lambda: b"second" in output.readline(), "it follows")
        follower.send_signal(signal.SIGHUP)
        output.close()
        assert exit_code(follower, 60) == 75
        until.touch()
        assert ours("attach", "j", "-q", *sinks).returncode == 0
        spans = spans_of(collector)
    (suite,) = list(junitparser.JUnitXml.fromfile(str(tmp_path / "r.xml")))
    assert [case.name for case in suite] == ["[localhost] first", "[localhost] second"]
    assert len({span.trace_id for span in spans}) == 1
    assert {span.name for span in spans} >= {"first", "second", "j"}


@pytest.mark.parametrize(
    ("answers", "tries", "complaint"),
    [
        ((500, 503, 200), 3, None),
        ((500,), 3, b"the server answers 500"),
        ((404, 200), 1, b"the server answers 404"),
        ((302, 200), 1, b"the server answers 302"),
        (("close", 200), 2, None),
    ],
)
def test_a_webhook_is_tried_again_where_that_may_help(
    answers: tuple[int | str, ...], tries: int, complaint: bytes | None, tmp_path: Path
) -> None:
    with http_server(*answers) as hook:
        done = ours("process", tmp_path, "-q", "--sink", f"webhook:{hook.url}", input=stream(2, 2, 10))
    assert done.returncode == 2
    assert len(hook.requests) == tries
    assert len({headers["X-Receptor-Runner-Delivery"] for _, headers, _ in hook.requests}) == 1
    assert len(set(hook.bodies())) == 1
    if complaint is None:
        assert b"sink" not in done.stderr
    else:
        assert complaint in done.stderr
        assert done.stderr.count(b"missed") == 1


@pytest.mark.parametrize("kind", ["webhook", "otlp"])
@pytest.mark.parametrize("answer", ["gone", "hang", "close", 500])
def test_a_server_that_does_not_work_changes_nothing_of_the_job(
    kind: str, answer: int | str, mixed: Path, tmp_path: Path
) -> None:
    """Its verdict and its time are the same, one line says what was dropped, and the end is waited for a little."""
    with http_server(*([answer] if answer != "gone" else [])) as server:
        url = server.url if answer != "gone" else "http://127.0.0.1:1/x"
        begun = time.monotonic()
        done = ours("run", mixed, "-p", "test.yml", "-i", "j", "-q", "--sink", f"{kind}:{url}", "-o", "json")
        took = time.monotonic() - begun
        server.over.set()
    assert done.returncode == 2
    view = json.loads(done.stdout)
    assert (view["state"], view["complete"], view["delivered"]) == ("failed", True, True)
    assert done.stderr.count(b"missed") == 1
    assert took < 60
    assert (mixed / "artifacts" / "j" / "rc").read_text() == "2"


def test_a_full_disk_under_a_file_leaves_whole_lines(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "256k") as disk:
        done = ours(
            "process", tmp_path / "job", "-q", "--sink", f"jsonl:{disk}/e.jsonl", "--sink", f"junit:{disk}/r.xml",
            input=stream(50, 20, 500),
        )  # fmt: skip
        assert done.returncode == 2
        content = (disk / "e.jsonl").read_bytes()
        assert content.endswith(b"\n")
        assert all(json.loads(line) for line in content.splitlines())
        assert len(content) > 100_000
        assert not (disk / "r.xml").exists() or junitparser.JUnitXml.fromfile(str(disk / "r.xml"))
        assert b"No space left on device" in done.stderr
        (missed,) = re.findall(rb"e.jsonl missed (\d+) results", done.stderr)
        lines = sum(1 for _ in made_events(50, 20)) + 3  # and three statuses
        assert content.count(b"\n") + int(missed) in (lines, lines + 2), "and two calls that write nothing"
    events = list((tmp_path / "job" / "artifacts" / "job_events").iterdir())
    assert len(events) == sum(1 for _ in made_events(50, 20))


STUCK = """
import resource, time
from receptor_runner.results.queued_sink import QueuedSink
from receptor_runner.results.sinks import EventSink

class Stuck(EventSink):
    def event(self, name, data, raw):
        time.sleep(600)

queued = QueuedSink(Stuck(), seconds=0.1)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for number in range(2000):
    queued.event("e", {"text": "y" * 100_000, "number": number}, b"%d" % number + b"x" * 100_000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
queued.settle()
print(queued.dropped)
"""


def test_a_slow_sink_holds_a_bounded_part_of_a_job() -> None:
    """A process of its own has a peak of its own."""
    done = subprocess.run([sys.executable, "-c", STUCK], capture_output=True, timeout=60, check=True)
    grown, dropped = map(int, done.stdout.split())
    assert grown < 100_000, "in KiB; all of it would be 400,000"
    assert dropped > 1500
    assert b"it was too slow" in done.stderr


@pytest.mark.parametrize(
    ("words", "code", "complaint"),
    [
        (["--sink", "nosuch:x"], 64, b"jsonl:FILE, junit:FILE, webhook:URL, otlp:URL"),
        (["--sink", "jsonl"], 64, b"is none of"),
        (["--sink", "webhook:ftp://x"], 64, b"http:// or https://"),
        (["--sink", "webhook:http://"], 64, b"http:// or https://"),
        (["--sink", "otlp:localhost:4318"], 64, b"http:// or https://"),
        (["--sink", "jsonl:/nosuch/file"], 73, b"/nosuch/file"),
        (["--sink", "junit:/nosuch/file"], 73, b"there is no such directory"),
        (["--sink", "jsonl:/tmp"], 73, b"is a directory"),
        (["--sink", "webhook:http://x", "--webhook-secret-file", "/nosuch"], 66, b"/nosuch"),
        (["--sink", "jsonl:x", "--detach"], 64, b"follows"),
    ],
)
def test_what_cannot_be_a_sink_is_refused_before_the_job_starts(
    words: list[str], code: int, complaint: bytes, mixed: Path
) -> None:
    done = ours("run", mixed, "-p", "test.yml", "-i", "j", *words)
    assert done.returncode == code
    assert complaint in done.stderr
    assert not (mixed / "artifacts" / "j").exists()


def test_what_was_rescued_fails_no_test(make_dir: DirFactory, tmp_path: Path) -> None:
    book = tasks("block:\n  - name: break\n    command: 'false'\nrescue:\n  - name: mend\n    debug: {msg: mended}")
    with http_server() as hook:
        sinks = ["--sink", f"junit:{tmp_path}/r.xml", "--sink", f"webhook:{hook.url}"]
        assert ours("run", make_dir(book), "-p", "test.yml", "-i", "j", "-q", *sinks).returncode == 0
    suites = junitparser.JUnitXml.fromfile(str(tmp_path / "r.xml"))
    assert (suites.tests, suites.failures, suites.errors) == (2, 0, 0)
    told = json.loads(hook.bodies()[0])
    assert (told["failed_hosts"], told["failures"]) == ([], [])
    assert "Failed:" not in ours("report", tmp_path / "demo" / "artifacts" / "j").stdout.decode()


def test_all_are_told_why_a_job_came_to_no_task(make_dir: DirFactory, tmp_path: Path) -> None:
    with http_server() as hook:
        sinks = ["--sink", f"junit:{tmp_path}/r.xml", "--sink", f"webhook:{hook.url}"]
        assert ours("run", make_dir("- hosts: [\n"), "-p", "test.yml", "-i", "j", "-q", *sinks).returncode == 4
    assert "test.yml" in json.loads(hook.bodies()[0])["explanation"]
    assert "test.yml" in (tmp_path / "r.xml").read_text().partition("<error")[2]


def test_a_job_that_was_followed_to_its_end_is_not_told_again(make_dir: DirFactory, tmp_path: Path) -> None:
    with running("embedded-1.4") as mesh:
        mesh.run("submit", make_dir(tasks("debug: ")), "-p", "test.yml", "-i", "j")
        assert ours("attach", "j", "-q").returncode == 0
        again = ours("attach", "j", "-q", "--sink", f"junit:{tmp_path}/r.xml")
    assert again.returncode == 0
    assert b"no sink is told again" in again.stderr


def test_a_sink_of_the_configuration_is_checked_there(
    make_dir: DirFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "config" / "receptor-runner" / "config.toml"
    file.parent.mkdir(parents=True)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("HOME", str(tmp_path))
    file.write_text('[defaults]\nsink = ["foo:x"]\n')
    refused = ours("run", make_dir(tasks("debug: ")), "-p", "test.yml", "-q")
    assert refused.returncode == 78
    assert str(file).encode() in refused.stderr
    file.write_text('[defaults]\nsink = ["jsonl:~/events.jsonl", "webhook:http://me:hush@127.0.0.1:1/"]\n')
    assert ours("run", make_dir(tasks("debug: ")), "-p", "test.yml", "-q").returncode == 0
    assert (tmp_path / "events.jsonl").read_text()
    assert b"hush" not in ours("config", "show").stdout + ours("config", "show", "-o", "json").stdout


def test_a_server_that_wants_a_password_gets_it(tmp_path: Path) -> None:
    with http_server() as hook:
        url = hook.url.replace("http://", "http://me:hush%21@")
        done = ours("process", tmp_path, "-q", "--sink", f"webhook:{url}", input=stream(1, 1, 1))
    assert done.returncode == 2
    ((_, headers, _),) = hook.requests
    assert headers["Authorization"] == "Basic " + base64.b64encode(b"me:hush!").decode()


def test_an_address_with_a_password_is_not_told(tmp_path: Path) -> None:
    done = ours("process", tmp_path, "-q", "--sink", "webhook:http://me:hush@127.0.0.1:1/", input=stream(1, 1, 1))
    assert b"missed" in done.stderr
    assert b"hush" not in done.stderr
