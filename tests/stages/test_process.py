"""Process: tells the truth, saves everything, and lets a stranger's stream do nothing else."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import pty
import signal
import subprocess
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import receptor_runner
from receptor_runner.records.journal import Journal
from receptor_runner.results.handlers import Handlers
from receptor_runner.results.terminal import coloured
from receptor_runner.stages.process import Processor, ProcessorOptions
from receptor_runner.stream.codec import END_OF_STREAM, KEEPALIVE, encode, encode_archive
from receptor_runner.system.signals import StopFlag
from tests.support.archives import FILE, LINK
from tests.support.commands import OURS, ours
from tests.support.disks import small_disk
from tests.support.handlers import Calls
from tests.support.processes import Stopwatch, exit_code, wait_for
from tests.support.strategies import describe
from tests.support.streams import RUNNING, STARTING, archive, event, events_of, final, results


def process(stream: bytes, directory: Path, *arguments: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
    done = ours("process", directory, *arguments, input=stream, **options)
    assert b"Traceback" not in done.stderr
    return done


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stream", "code"),
    [
        (results(), 0),
        (results("failed", 2), 2),
        (results("failed", 99), 99),
        (results("failed", 250), 250),
        (results("failed", 57), 1),
        (results("canceled", 254), 130),
        (results("timeout", 254), 124),
        (results("error", exit_status=78), 78),
        (encode({"status": "error", "job_explanation": "broken"}) + END_OF_STREAM, 70),
        (results(events=2).replace(b', "receptor_runner": {"events": 2}', b""), 0),
        (KEEPALIVE + results(), 0),
        (b"motd: welcome\n\n" + results() + b"(abc, released)\n", 0),
    ],
)
def test_process_exits_as_the_job_did(stream: bytes, code: int, tmp_path: Path) -> None:
    assert process(stream, tmp_path).returncode == code
    assert process(stream, tmp_path, "--exit-zero").returncode == 0


@pytest.mark.parametrize(
    ("stream", "text"),
    [
        (b"", "the stream ended at byte 0, before its end mark"),
        (b"bash: receptor-runner: not found\n", "Failed to JSON parse a line from worker stream."),
        (results()[: -len(END_OF_STREAM)], "the last status was successful"),
        (results("successful", 2), "contradicts itself: the job is successful, and its return code is 2"),
        (STARTING + RUNNING + END_OF_STREAM, "without a final status"),
        (STARTING + END_OF_STREAM, "without a final status"),
        (END_OF_STREAM, "without a final status"),
        (results().replace(b"UEsDB", b"UEsDC", 1), "digest"),
        (STARTING + b'{"zipfile": -5}\n', "number of bytes"),
        (STARTING + final("successful") + b'{"zipfile": 9}\nAAAA!!!!AAAA' + END_OF_STREAM, "not base64"),
    ],
)
def test_a_stream_that_is_not_whole_is_never_success(stream: bytes, text: str, tmp_path: Path) -> None:
    done = process(stream, tmp_path)
    assert done.returncode == 76
    assert text in done.stderr.decode()
    assert done.stderr.count(b"\n") == 1


def test_a_stream_that_is_cut_anywhere_is_truncated(tmp_path: Path) -> None:
    whole = results()
    for place in range(0, len(whole) - 1, 7):
        outcome = receptor_runner.run(
            streamer="process",
            private_data_dir=tmp_path,
            _input=io.BytesIO(whole[:place]),
            quiet=True,
            ident=f"cut{place}",
        )
        assert (outcome.exit_code, outcome.status) == (76, "error"), place


@pytest.mark.slow
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_garbage_anywhere_ends_in_a_verdict(tmp_path: Path, data: st.DataObject) -> None:
    whole = bytearray(results())
    for _ in range(data.draw(st.integers(1, 5))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    outcome = receptor_runner.run(
        streamer="process", private_data_dir=tmp_path, _input=io.BytesIO(bytes(whole)), quiet=True
    )
    assert outcome.exit_code in range(256)
    assert type(outcome.status) is str


@pytest.mark.parametrize(
    "evil",
    [
        event("{victim}/evil", "x"),
        event(1, "x/../../../../../victim/ev2"),
        event(1, "../x"),
        event(-1), event(0), event(True), event(1.5), event("1"), event(None), event([1]), event(1, 7), event(1, None), event(1, ""),
        event(1, "u" * 65), event(1, "ü"), event(10**400),
        encode({"status": ["x"]}), encode({"status": None}), encode({"status": {"a": 1}}),
        b'{"event": "x", "counter": NaN, "uuid": "x"}\n',
        b"[" * 100_000 + b"\n",
        b'{"a":' * 5000 + b"\n",
        archive(("esc", LINK, b"{victim}"), ("esc/pwned", FILE, b"x")),
        archive(("{victim}/secret", FILE, b"x")),
        archive(("job_events", LINK, b"{victim}")),
        archive(("rc", LINK, b"{victim}/secret")),
        archive(("stdout", FILE | 0o6000, b"x")),
        archive(("x", LINK, b"{victim}")) + archive(("x/y", FILE, b"x")),
    ],
)  # fmt: skip
def test_a_hostile_stream_reaches_nothing_outside(evil: bytes, tmp_path: Path) -> None:
    victim, directory = tmp_path / "victim", tmp_path / "demo"
    victim.mkdir()
    (victim / "secret").write_text("secret")
    (victim / "secret").chmod(0o600)
    before = describe(victim)
    stream = STARTING + evil.replace(b"{victim}", bytes(victim)) + results().replace(STARTING, b"")
    done = process(stream, directory, "-i", "x")
    assert describe(victim) == before
    assert sorted(os.listdir(tmp_path)) == ["demo", "victim"]
    assert done.returncode in (0, 76, 73)
    for path in directory.rglob("*"):
        assert path.is_symlink() or not path.stat().st_mode & 0o6077


@pytest.mark.parametrize("explanation", [[1], {"a": 1}, 5, True, None])
def test_an_explanation_may_be_anything(explanation: Any, tmp_path: Path) -> None:
    stream = encode({"status": "error", "job_explanation": explanation}) + END_OF_STREAM
    assert process(stream, tmp_path).returncode == 70


@pytest.mark.parametrize(
    ("method", "text"),
    [
        (zipfile.ZIP_LZMA, b"packed by the method 14"),
        (zipfile.ZIP_BZIP2, b"packed by the method 12"),
        (zipfile.ZIP_DEFLATED, b"damaged"),
    ],
)
def test_a_member_that_cannot_be_unpacked_is_named(method: int, text: bytes, tmp_path: Path) -> None:
    """No sender uses lzma and bzip2, and a few bytes of them ask for gigabytes of memory."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as made:
        made.writestr("x", os.urandom(5000))
    data = bytearray(buffer.getvalue())
    data[60:2000] = bytes(1940)
    body = b"".join(encode_archive(len(data), hashlib.sha256(data).hexdigest(), [bytes(data)]))
    done = process(STARTING + final("successful") + body + END_OF_STREAM, tmp_path)
    assert done.returncode == 76
    assert text in done.stderr


def test_a_member_may_not_be_nested_without_end(tmp_path: Path) -> None:
    done = process(STARTING + final("successful") + archive(("d/" * 1000 + "x", FILE, b"")) + END_OF_STREAM, tmp_path)
    assert done.returncode == 76


@pytest.mark.slow
def test_limits_of_a_stream_are_options(tmp_path: Path) -> None:
    assert process(results(), tmp_path / "a", "--max-members", "2").returncode == 76
    assert process(results(), tmp_path / "b", "--max-archive", "100").returncode == 76
    assert process(results(), tmp_path / "c", "--max-unpacked", "5").returncode == 76
    assert process(results(), tmp_path / "d", "--max-line", "10").returncode == 76
    assert process(results(), tmp_path / "e", "--max-members", "3").returncode == 0


@pytest.mark.parametrize(
    "stream",
    [
        results().replace(b'"u2"', b'"/"'),
        results().replace(event(2, "u2"), b""),
        results().replace(STARTING + RUNNING + event(1, "u1"), event(1, "u1")[60:]),
        results(events=3, exit_status=0).replace(event(2, "u2"), b'{"counter": 2, "uu'),
    ],
    ids=["no-name", "lost", "no-beginning", "cut"],
)
def test_lost_events_are_a_warning_and_no_other_status(stream: bytes, tmp_path: Path) -> None:
    done = process(stream, tmp_path)
    assert done.returncode == 0
    assert b"events of the job did not arrive; its record is not complete" in done.stderr


def test_artifacts_are_private_and_complete(tmp_path: Path) -> None:
    process(results(), tmp_path / "demo", "-i", "j")
    artifacts = tmp_path / "demo" / "artifacts" / "j"
    assert [e["counter"] for e in events_of(artifacts)] == [1, 2, 3]
    assert json.loads((artifacts / "job_events" / "2-u2.json").read_text())["stdout"] == "text 2"
    for path in (tmp_path / "demo").rglob("*"):
        assert not path.stat().st_mode & 0o077


def test_a_linked_artifact_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "victim").mkdir()
    (tmp_path / "artifacts").mkdir()
    (tmp_path / "artifacts" / "j").symlink_to(tmp_path / "victim")
    done = process(results(), tmp_path, "-i", "j")
    assert done.returncode == 73
    assert list((tmp_path / "victim").iterdir()) == []


def test_a_second_process_in_the_same_place_adds_and_warns(tmp_path: Path) -> None:
    assert process(results(), tmp_path).stderr == b""
    (tmp_path / "artifacts" / "mine").write_text("x")
    done = process(results(events=5), tmp_path)
    assert b"earlier run" in done.stderr
    assert len(events_of(tmp_path / "artifacts")) == 5
    assert (tmp_path / "artifacts" / "mine").exists()


def test_a_torn_event_file_is_written_again(tmp_path: Path) -> None:
    (tmp_path / "artifacts" / "job_events").mkdir(parents=True)
    (tmp_path / "artifacts" / "job_events" / "2-u2.json").write_text('{"counter": 2, "uu')
    process(results(), tmp_path)
    assert len(events_of(tmp_path / "artifacts")) == 3


@pytest.mark.slow
def test_output_and_events_are_printed(tmp_path: Path) -> None:
    assert process(results(), tmp_path).stdout == b"text 1\ntext 2\ntext 3\n"
    assert process(results(), tmp_path, "-q").stdout == b""
    lines = process(results(), tmp_path, "-j").stdout.splitlines()
    assert [json.loads(line)["counter"] for line in lines] == [1, 2, 3]


def test_process_reads_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "stream").write_bytes(results("failed", 4))
    assert ours("process", tmp_path, "--in", tmp_path / "stream").returncode == 4
    assert ours("process", tmp_path, "--in", tmp_path / "missing").returncode == 66


def test_surrogates_and_escapes_in_the_output(tmp_path: Path) -> None:
    odd = STARTING + event(1, stdout="\ud800 \x1b]0;title\x07\x1b[31mred\x1b[0m") + final("successful") + END_OF_STREAM
    done = process(odd, tmp_path)
    assert done.returncode == 0
    assert len(events_of(tmp_path / "artifacts")) == 1


def test_a_terminal_gets_colours_and_no_other_escapes(tmp_path: Path) -> None:
    evil = "\x1b]0;title\x07\x1b[2J\x1bP1;2q\x1b\\\x9b31m\x1b[31mred\x1b[0m\x07\x08\r\nnext\x1b[?25l\x1bc\ttab"
    (tmp_path / "stream").write_bytes(STARTING + event(1, stdout=evil) + final("successful") + END_OF_STREAM)
    master, slave = pty.openpty()
    subprocess.run([*OURS, "process", tmp_path, "--in", tmp_path / "stream"], stdout=slave, check=True, timeout=90)
    os.close(slave)
    shown = os.read(master, 4096).decode()
    os.close(master)
    assert shown == "31m\x1b[31mred\x1b[0m\r\nnext\ttab\r\n"
    assert coloured("a\x1b[38;5;1mb\x1b[1Ac") == "a\x1b[38;5;1mbc"


def test_an_explanation_cannot_command_a_terminal(tmp_path: Path) -> None:
    done = process(encode({"status": "error", "job_explanation": "\x1b[2J\x1b]0;t\x07red"}) + END_OF_STREAM, tmp_path)
    assert done.stderr == b"receptor-runner: red\n"


@pytest.mark.slow
def test_without_a_reader_the_artifacts_are_saved_all_the_same(tmp_path: Path) -> None:
    stream = results(events=20_000)
    (tmp_path / "stream").write_bytes(stream)
    with subprocess.Popen(
        [*OURS, "process", tmp_path, "--in", tmp_path / "stream"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as done:
        assert done.stdout is not None
        assert done.stderr is not None
        done.stdout.readline()
        done.stdout.close()
        assert exit_code(done, 60) == 0
        assert done.stderr.read() == b""
    assert len(events_of(tmp_path / "artifacts")) == 20_000


@pytest.mark.slow
def test_a_disk_that_is_full_is_an_error_and_no_success(tmp_path: Path) -> None:
    with small_disk(tmp_path / "small", "64k") as small:
        done = process(results(events=200), small)
        assert done.returncode == 73
        assert b"No space left" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_process_that_waits_for_a_stream_ends_at_once(number: signal.Signals, tmp_path: Path) -> None:
    done = _started(tmp_path, b"")
    done.send_signal(number)
    assert exit_code(done, 2) == 130
    _close(done)


@pytest.mark.slow
def test_after_ctrl_c_process_reads_on_to_the_end(tmp_path: Path) -> None:
    done = _started(tmp_path, BEGINNING)
    done.send_signal(signal.SIGINT)
    assert done.stdin is not None
    with pytest.raises(subprocess.TimeoutExpired):
        done.wait(0.5)
    done.stdin.write(REST)
    done.stdin.close()
    assert exit_code(done, 5) == 130
    assert (tmp_path / "artifacts" / "rc").read_text() == "254"
    _close(done)


@pytest.mark.slow
def test_the_second_ctrl_c_ends_process(tmp_path: Path) -> None:
    done = _started(tmp_path, BEGINNING)
    done.send_signal(signal.SIGINT)
    time.sleep(0.3)
    done.send_signal(signal.SIGINT)
    assert exit_code(done, 2) == 130
    _close(done)


#: The beginning of a worker's stream, with one event.
BEGINNING, REST = (part for part in results("canceled", 254).partition(event(2, "u2"))[::2])
REST = event(2, "u2") + REST


def _started(directory: Path, stream: bytes) -> subprocess.Popen[bytes]:
    """A process stage that has read ``stream``, all of it, and waits for more."""
    done = subprocess.Popen(
        [*OURS, "process", directory], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
    )
    assert done.stdin is not None
    done.stdin.write(stream)
    events = directory / "artifacts" / "job_events"
    if stream:
        wait_for(lambda: events.is_dir() and any(events.iterdir()), "the first event is saved")
    else:
        wait_for(events.is_dir, "it waits for its input")
    return done


def _close(done: subprocess.Popen[bytes]) -> None:
    for pipe in (done.stdin, done.stdout, done.stderr):
        assert pipe is not None
        pipe.close()


# the Python API


def run_api(stream: bytes, directory: Path, **parameters: Any) -> Any:
    return receptor_runner.run(
        streamer="process", _input=io.BytesIO(stream), private_data_dir=directory, quiet=True, **parameters
    )


def test_handlers_are_called_in_order(tmp_path: Path) -> None:
    calls = Calls()
    outcome = run_api(results("failed", 2), tmp_path, ident=7, **calls.handlers())
    assert calls.calls == [
        ("status", "starting"), ("status", "running"), ("event", 1), ("event", 2), ("event", 3), ("status", "failed"),
        ("artifacts", str(tmp_path / "artifacts" / "7")), ("finished", "failed"),
    ]  # fmt: skip
    assert (outcome.status, outcome.rc, outcome.exit_code) == ("failed", 2, 2)
    assert (calls.config.command, calls.config.env, calls.config.cwd) == (["ansible-playbook"], {"A": "1"}, "/x")


def test_a_handlers_changes_are_saved_and_its_false_answer_saves_nothing(tmp_path: Path) -> None:
    def handler(data: dict[str, Any]) -> bool:
        data["mine"] = 1
        return bool(data["counter"] != 2)

    run_api(results(), tmp_path, event_handler=handler)
    saved = events_of(tmp_path / "artifacts")
    assert [(e["counter"], e["mine"]) for e in saved] == [(1, 1), (3, 1)]


@pytest.mark.parametrize("kind", ["event_handler", "status_handler", "artifacts_handler", "finished_callback"])
def test_a_handler_that_raises_ends_as_error_with_everything_saved(kind: str, tmp_path: Path) -> None:
    def broken(*arguments: Any, **named: Any) -> None:
        raise ZeroDivisionError("in the handler")

    calls = Calls()
    outcome = run_api(results(), tmp_path, **{**calls.handlers(), kind: broken})
    assert (outcome.status, outcome.exit_code) == ("error", 70)
    assert "ZeroDivisionError: in the handler" in outcome.result_traceback
    assert len(events_of(tmp_path / "artifacts")) == 3
    assert (tmp_path / "artifacts" / "rc").read_text() == "0"
    assert [call for call in calls.calls if call[0] == "finished"] == (
        [("finished", "error")] if kind != "finished_callback" else []
    )


def test_the_error_of_a_job_is_told_before_that_of_a_handler(tmp_path: Path) -> None:
    def broken(*arguments: Any, **named: Any) -> None:
        raise ZeroDivisionError("in the handler")

    told = encode(
        {"status": "error", "job_explanation": "no room", "receptor_runner": {"exit_status": 74, "events": 0}}
    )
    outcome = run_api(STARTING + told + END_OF_STREAM, tmp_path, finished_callback=broken)
    assert (outcome.status, outcome.exit_code) == ("error", 74)
    assert "ZeroDivisionError" not in (outcome.result_traceback or "")


def test_a_thin_wrapper_is_enough_for_an_input(tmp_path: Path) -> None:
    class Wrapper:
        def __init__(self, stream: bytes) -> None:
            self._file = io.BytesIO(stream)

        def readline(self, size: int = -1) -> bytes:
            return self._file.readline(size)

        def read(self, size: int = -1) -> bytes:
            return self._file.read(size)

    outcome = receptor_runner.run(streamer="process", _input=Wrapper(results()), private_data_dir=tmp_path, quiet=True)
    assert outcome.status == "successful"


@pytest.mark.slow
def test_very_many_objects_on_a_line_are_text(tmp_path: Path) -> None:
    line = b'{"counter":1,"uuid":"u"}' * 200_000 + b"\n"
    began = Stopwatch()
    assert process(STARTING + line + final("successful") + END_OF_STREAM, tmp_path).returncode == 0
    assert began.seconds() < 20


def test_a_follower_that_died_in_the_first_bytes_left_no_earlier_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A short job's whole stream may come at once: its follower dies before a byte of it is passed."""

    class Death(BaseException):
        pass

    def die(data: dict[str, Any]) -> bool:
        if data["counter"] == 2:
            raise Death
        return True

    def follow(**handlers: Any) -> None:
        journal = Journal(tmp_path)
        options = ProcessorOptions(str(tmp_path / "artifacts"), handlers=Handlers(**handlers), journal=journal)
        with contextlib.closing(journal), StopFlag() as flag, Processor(flag, options) as processor:
            processor.feed(stream)
            processor.conclude()
            assert processor.status == "successful"

    stream = results(events=3)
    with pytest.raises(Death):
        follow(event=die)
    assert (tmp_path / "artifacts" / "job_events").is_dir()
    caplog.clear()
    follow()
    assert "earlier run" not in caplog.text
    assert [one["counter"] for one in events_of(tmp_path / "artifacts")] == [1, 2, 3]
