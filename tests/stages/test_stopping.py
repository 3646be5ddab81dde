"""Whatever is killed, whenever: no process, no temporary directory, no half-written artifact that looks whole."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from receptor_runner.guard.temporary import JOB, SCRATCH, new_name
from receptor_runner.limits import GUARD_ANSWER_SECONDS, GUARD_SILENCE_SECONDS
from receptor_runner.results.event_files import saved_events
from receptor_runner.stream.codec import END_OF_STREAM
from tests.support.commands import CHILDREN, OURS, ours
from tests.support.jobs import job, last_status, start, statuses, wait_running, work
from tests.support.private_data import DirFactory, tasks
from tests.support.processes import (
    Stopwatch,
    exit_code,
    guard_of,
    is_alive,
    keeper_of,
    kill_all_of,
    make_old,
    processes_with,
    wait_for,
)
from tests.support.streams import events_of, stream_lines

pytestmark = pytest.mark.slow

#: A module that ignores INT and TERM, in a session of its own, under a task that waits for it.
#: Another test run at the same time has other marks.
STUBBORN_COMMAND = f"{sys.executable} {CHILDREN}/stubborn.py stubborn-{os.getpid()}"
STUBBORN_MARK = f"stubborn-{os.getpid()}-child"
STUBBORN = tasks(f"command: {STUBBORN_COMMAND}")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_cancels_within_eight_seconds_with_everything_said(
    number: signal.Signals, make_dir: DirFactory, tmp_path: Path, no_leftovers: Path
) -> None:
    results = tmp_path / "results"
    worker = start(job(make_dir(STUBBORN)), results=results)
    wait_for(lambda: processes_with(STUBBORN_MARK), "the stubborn child")
    sent = Stopwatch()
    worker.send_signal(number)
    assert exit_code(worker, 10) == 130
    assert sent.seconds() < 8
    assert last_status(results) == "canceled"
    assert results.read_bytes().endswith(END_OF_STREAM)
    assert not processes_with(STUBBORN_MARK)
    assert ours("process", tmp_path / "after", "-q", "--in", results).returncode == 130
    assert (tmp_path / "after" / "artifacts" / "rc").read_text() == "254"


def test_a_process_that_calls_itself_an_engines_does_not_outlive_its_job(
    make_dir: DirFactory, tmp_path: Path, no_leftovers: Path
) -> None:
    """What a container engine shares between all containers is spared, and a job can choose a name."""
    results = tmp_path / "results"
    worker = start(job(make_dir(args=f"{sys.executable} {CHILDREN}/shared.py podman")), results=results)
    assert exit_code(worker, 90) == 0
    found = re.search(rb'"stdout": "pid (\d+)"', results.read_bytes())
    assert found is not None
    assert not is_alive(int(found[1]))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_worker_that_waits_for_its_job_ends_at_once(number: signal.Signals, no_leftovers: Path) -> None:
    worker = subprocess.Popen([*OURS, "worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    wait_for(lambda: list(no_leftovers.iterdir()), "its temporary directory")
    worker.send_signal(number)
    assert worker.stdout is not None
    assert worker.stdin is not None
    with worker.stdin, worker.stdout as results:
        text = results.read()
    assert exit_code(worker, 2) == 130
    assert b'"canceled"' in text
    assert text.endswith(END_OF_STREAM)


def test_sigkill_of_the_worker_ends_its_job(make_dir: DirFactory, tmp_path: Path, no_leftovers: Path) -> None:
    """Even a child that ignores everything, in a session of its own, ends within seconds."""
    worker = start(job(make_dir(STUBBORN)), results=tmp_path / "results")
    wait_for(lambda: processes_with(STUBBORN_MARK), "the stubborn child")
    worker.kill()
    assert worker.wait() == -signal.SIGKILL
    wait_for(lambda: not processes_with(STUBBORN_MARK), "the stubborn child is gone", 8)
    wait_for(lambda: not list(no_leftovers.iterdir()), "the temporary directory is gone", 3)


@pytest.mark.parametrize("killed", [keeper_of, guard_of])
def test_sigkill_of_a_process_between_is_an_error_and_ends_the_job(
    killed: Callable[[int], psutil.Process], make_dir: DirFactory, tmp_path: Path, no_leftovers: Path
) -> None:
    results = tmp_path / "results"
    worker = start(job(make_dir(STUBBORN)), results=results)
    wait_for(lambda: processes_with(STUBBORN_MARK), "the stubborn child")
    killed(worker.pid).kill()
    assert exit_code(worker, 15) == 70
    assert last_status(results) == "error"
    assert results.read_bytes().endswith(END_OF_STREAM)
    assert not processes_with(STUBBORN_MARK)


def test_what_a_machine_that_lost_its_power_left_goes_with_the_next_job(
    make_dir: DirFactory, tmp_path: Path, no_leftovers: Path
) -> None:
    """And nothing that somebody may need: of a job that runs, in use, young, or made by others."""
    killed = start(job(make_dir(STUBBORN)), results=tmp_path / "killed")
    wait_for(lambda: processes_with(STUBBORN_MARK), "the stubborn child")
    left = set(no_leftovers.iterdir())
    kill_all_of(killed)
    wait_for(lambda: not processes_with(STUBBORN_MARK), "all of it is dead")
    assert set(no_leftovers.iterdir()) == left
    quick = job(make_dir(tasks("debug: {msg: hello}"), name="quick"))
    assert work(quick).returncode == 0
    assert set(no_leftovers.iterdir()) == left, "they are young"

    lives = start(job(make_dir(STUBBORN, name="lives")), results=tmp_path / "of it")
    wait_for(lambda: processes_with(STUBBORN_MARK), "the stubborn child")
    living = set(no_leftovers.iterdir()) - left
    others = used, kept, mine = [
        no_leftovers / name for name in (new_name(JOB), f"{JOB}0123456789abcd", f"{SCRATCH}abc")
    ]
    for path in others:
        path.mkdir()
    with subprocess.Popen([sys.executable, "-c", "input()"], cwd=used, stdin=subprocess.PIPE):
        make_old({*left, *living, *others})
        assert work(quick).returncode == 0
        assert set(no_leftovers.iterdir()) == {*living, *others}
    make_old(others)
    lives.terminate()
    assert exit_code(lives, 20) == 130
    assert work(quick).returncode == 0
    assert set(no_leftovers.iterdir()) == {kept, mine}
    kept.rmdir()
    mine.rmdir()


@pytest.mark.parametrize("killed", [keeper_of, guard_of])
def test_sigkill_of_the_worker_and_of_a_process_between_leaves_nothing(
    killed: Callable[[int], psutil.Process], make_dir: DirFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No process, that is: who knew the temporary directory is gone."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    worker = start(job(make_dir(STUBBORN)), results=tmp_path / "results")
    wait_for(lambda: processes_with(STUBBORN_MARK), "the stubborn child")
    between = killed(worker.pid)
    worker.kill()
    between.kill()
    worker.wait()
    wait_for(lambda: not processes_with(STUBBORN_MARK), "the stubborn child is gone", 10)


def test_a_guard_that_a_task_stopped_does_not_outlive_a_cancel(
    make_dir: DirFactory, tmp_path: Path, no_leftovers: Path
) -> None:
    results = tmp_path / "results"
    worker = start(job(make_dir(STUBBORN)), results=results)
    wait_for(lambda: processes_with(STUBBORN_MARK), "the stubborn child")
    guard = guard_of(worker.pid)
    guard.send_signal(signal.SIGSTOP)
    sent = Stopwatch()
    worker.terminate()
    assert exit_code(worker, 15) == 130
    assert sent.seconds() < 10
    assert last_status(results) == "canceled"
    assert ours("process", tmp_path / "after", "-q", "--in", results).returncode == 130
    assert not processes_with(STUBBORN_MARK)
    assert not guard.is_running()


def test_a_guard_that_was_stopped_and_has_lost_its_keeper_is_ended(
    make_dir: DirFactory, tmp_path: Path, no_leftovers: Path
) -> None:
    worker = start(job(make_dir(STUBBORN)), results=tmp_path / "results")
    wait_for(lambda: processes_with(STUBBORN_MARK), "the stubborn child")
    keeper, guard = keeper_of(worker.pid), guard_of(worker.pid)
    guard.suspend()
    keeper.kill()
    worker.terminate()
    assert exit_code(worker, 20) == 130
    assert not guard.is_running()
    assert not processes_with(STUBBORN_MARK)


def test_a_keeper_that_a_task_stopped_holds_nobody_up(make_dir: DirFactory, tmp_path: Path, no_leftovers: Path) -> None:
    worker = start(job(make_dir(STUBBORN)), results=tmp_path / "results")
    wait_for(lambda: processes_with(STUBBORN_MARK), "the stubborn child")
    keeper_of(worker.pid).suspend()
    sent = Stopwatch()
    worker.terminate()
    assert exit_code(worker, 20) == 130
    assert sent.seconds() < 10


def test_a_guard_that_a_task_stopped_is_noticed(make_dir: DirFactory, tmp_path: Path, no_leftovers: Path) -> None:
    """Nobody asks for anything, and keep-alives go on: the worker asks its guard now and then."""
    results = tmp_path / "results"
    worker = start(job(make_dir(STUBBORN)), "--keepalive-seconds", "1", results=results)
    wait_for(lambda: processes_with(STUBBORN_MARK), "the stubborn child")
    guard_of(worker.pid).send_signal(signal.SIGSTOP)
    assert worker.wait(GUARD_SILENCE_SECONDS + GUARD_ANSWER_SECONDS + 15) == 70
    assert "does not answer any more" in statuses(results.read_bytes())[-1]["job_explanation"]
    assert not processes_with(STUBBORN_MARK)


@pytest.mark.parametrize("seed", range(8))
def test_sigkill_of_a_worker_at_any_moment(seed: int, make_dir: DirFactory, tmp_path: Path, no_leftovers: Path) -> None:
    directory = make_dir(tasks("command: sleep 0.3", "debug: {msg: done}"))
    (directory / "project" / "big").write_bytes(os.urandom(5_000_000))
    worker = start(job(directory), results=tmp_path / "results")
    time.sleep(random.Random(seed).uniform(0, 2.5))
    worker.kill()
    worker.wait()
    done = ours("process", tmp_path / "after", "-q", "--in", tmp_path / "results")
    whole = (tmp_path / "results").read_bytes().endswith(END_OF_STREAM)
    assert done.returncode == (0 if whole else 76)


@pytest.mark.parametrize("seed", range(6))
def test_sigkill_of_process_at_any_moment(seed: int, make_dir: DirFactory, tmp_path: Path, no_leftovers: Path) -> None:
    """What is on disk is whole: event files parse, and an artifact is there with all its content or not at all."""
    results = tmp_path / "results"
    directory = make_dir(
        tasks(
            "debug: {msg: '{{ item }}'}\nloop: '{{ range(300) | list }}'",
            "command: dd if=/dev/zero of={{ lookup('env', 'AWX_ISOLATED_DATA_DIR') }}/big bs=1M count=20",
        )
    )
    assert start(job(directory), results=results).wait(60) == 0
    process = subprocess.Popen([*OURS, "process", tmp_path / "after", "-q", "--in", results])
    time.sleep(random.Random(seed).uniform(0.05, 0.6))
    process.kill()
    process.wait()
    artifacts = tmp_path / "after" / "artifacts"
    whole = [path for path in (artifacts / "job_events").glob("*.json") if path.stat().st_size]
    for path in sorted(whole, key=lambda path: path.stat().st_mtime_ns)[:-1]:
        json.loads(path.read_bytes())
    big = artifacts / "big"
    assert not big.exists() or big.stat().st_size == 20 * 1024 * 1024
    assert ours("process", tmp_path / "after", "-q", "--in", results).returncode == 0
    assert len(events_of(artifacts)) == len([line for line in stream_lines(results.read_bytes()) if "counter" in line])
    assert big.stat().st_size == 20 * 1024 * 1024


@pytest.mark.parametrize("seed", range(4))
def test_sigkill_of_transmit_at_any_moment(seed: int, make_dir: DirFactory, tmp_path: Path, no_leftovers: Path) -> None:
    directory = make_dir(tasks("debug: {msg: hi}"))
    (directory / "project" / "big").write_bytes(os.urandom(60_000_000))
    stream = tmp_path / "stream"
    with stream.open("wb") as output:
        transmit = subprocess.Popen([*OURS, "transmit", directory, "-p", "test.yml"], stdout=output)
        time.sleep(random.Random(seed).uniform(0.1, 0.5))
        transmit.kill()
        transmit.wait()
    if not stream.read_bytes().endswith(END_OF_STREAM):
        with stream.open("rb") as source:
            done = ours("worker", stdin=source)
        assert done.returncode == 76
        assert b'"starting"' not in done.stdout


def test_a_reader_who_goes_ends_the_job(make_dir: DirFactory, no_leftovers: Path) -> None:
    worker = subprocess.Popen([*OURS, "worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert worker.stdin is not None
    assert worker.stdout is not None
    worker.stdin.write(job(make_dir(STUBBORN)))
    worker.stdin.close()
    wait_for(lambda: processes_with(STUBBORN_MARK), "the stubborn child")
    worker.stdout.close()
    assert exit_code(worker, 10) == 73
    assert not processes_with(STUBBORN_MARK)


def test_a_signal_is_heard_while_nobody_reads(make_dir: DirFactory, no_leftovers: Path) -> None:
    """The output is full; what was not written by the deadline never will be."""
    worker = subprocess.Popen([*OURS, "worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert worker.stdin is not None
    assert worker.stdout is not None
    worker.stdin.write(job(make_dir(args="yes receptor-runner-noise"), playbook=None))
    worker.stdin.close()
    wait_for(lambda: processes_with("receptor-runner-noise"), "the job")
    time.sleep(1)
    worker.send_signal(signal.SIGTERM)
    assert exit_code(worker, 10) == 73
    worker.stdout.close()
    assert not processes_with("receptor-runner-noise")


@pytest.mark.parametrize("where", [".", "$AWX_ISOLATED_DATA_DIR"])
def test_a_job_may_nest_directories_deeply(
    where: str, make_dir: DirFactory, tmp_path: Path, no_leftovers: Path
) -> None:
    (tmp_path / "nest.sh").write_text(f"cd {where}\ni=0\nwhile [ $i -lt 3000 ]; do mkdir d; cd d; i=$((i+1)); done\n")
    results = tmp_path / "results"
    assert start(job(make_dir(args=f"sh {tmp_path}/nest.sh"), playbook=None), results=results).wait(60) == 0
    assert results.read_bytes().endswith(END_OF_STREAM)


def test_what_a_job_leaves_running_goes_with_it(make_dir: DirFactory, tmp_path: Path, no_leftovers: Path) -> None:
    """A task that starts a daemon and ends well."""
    play = tasks(f"shell: setsid {STUBBORN_COMMAND} </dev/null >/dev/null 2>&1 &", "debug: {msg: done}")
    results = tmp_path / "results"
    assert start(job(make_dir(play)), results=results).wait(90) == 0
    assert last_status(results) == "successful"
    assert not processes_with(STUBBORN_MARK)


#: How a shell in the background starts a command, and how a program does that blocks signals while it starts others.
UNHEARD = {
    "ignored": ["sh", "-c", 'trap "" INT; exec "$@"', "sh"],
    "blocked": [
        sys.executable,
        "-c",
        "import os, sys; from signal import *; "
        "pthread_sigmask(SIG_BLOCK, {SIGINT, SIGTERM, SIGCHLD}); os.execv(sys.argv[1], sys.argv[1:])",
    ],
}


@pytest.mark.parametrize("how", UNHEARD)
def test_an_interrupt_is_heard_whatever_whoever_started_the_worker_did_to_it(
    how: str, make_dir: DirFactory, tmp_path: Path, no_leftovers: Path
) -> None:
    results = tmp_path / "results"
    worker = start(job(make_dir(tasks("command: sleep 50"))), results=results, started_by=UNHEARD[how])
    wait_running(results)
    worker.send_signal(signal.SIGINT)
    assert exit_code(worker, 8) == 130
    assert last_status(results) == "canceled"


def test_a_job_under_nohup_outlives_a_hangup(make_dir: DirFactory, tmp_path: Path, no_leftovers: Path) -> None:
    results, until = tmp_path / "results", tmp_path / "until"
    play = tasks(f"wait_for: {{path: {until}, sleep: 1}}")
    worker = start(job(make_dir(play)), results=results, started_by=["sh", "-c", 'trap "" HUP; exec "$@"', "sh"])
    wait_running(results)
    worker.send_signal(signal.SIGHUP)
    until.touch()
    assert exit_code(worker, 90) == 0
    assert last_status(results) == "successful"


def test_a_job_may_have_inherited_more_than_a_thousand_files(
    make_dir: DirFactory, tmp_path: Path, no_leftovers: Path
) -> None:
    """``select`` cannot wait for descriptors above 1023."""
    results = tmp_path / "results"
    many = "import os, resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))\n"
    many += "for number in range(3, 1100): os.dup2(1, number)\nos.execv(sys.argv[1], sys.argv[1:])"
    worker = start(job(make_dir(tasks("command: echo hi"))), results=results, started_by=[sys.executable, "-c", many])
    assert exit_code(worker, 60) == 0
    done = ours("process", tmp_path / "after", input=results.read_bytes())
    assert done.returncode == 0
    assert b"changed: [" in done.stdout


def test_the_package_may_be_renamed_under_a_running_job(
    make_dir: DirFactory, tmp_path: Path, no_leftovers: Path
) -> None:
    """An upgrade under a running job does not break it."""
    copy = tmp_path / "site"
    source = Path(__file__).parents[2] / "receptor_runner"
    subprocess.run(["cp", "-r", source, f"{tmp_path}/package"], check=True)
    copy.mkdir()
    (tmp_path / "package").rename(copy / "receptor_runner")
    (tmp_path / "job").write_bytes(job(make_dir(tasks("command: sleep 1", "debug: {msg: done}"))))
    results = tmp_path / "results"
    script = f"import sys; sys.path.insert(0, {str(copy)!r}); from receptor_runner.cli.main import main; main()"
    with (tmp_path / "job").open("rb") as stream, results.open("wb") as output:
        worker = subprocess.Popen([sys.executable, "-c", script, "worker"], stdin=stream, stdout=output)
        wait_for(lambda: b'"running"' in results.read_bytes(), "the job has started")
        (copy / "receptor_runner").rename(copy / "gone")
        assert exit_code(worker, 90) == 0
    assert ours("process", tmp_path / "after", "-q", "--in", results).returncode == 0
    assert events_of(tmp_path / "after" / "artifacts")[-1]["event"] == "playbook_on_stats"


# all three at once


def test_ctrl_c_in_a_pipe_reaches_all_three(make_dir: DirFactory, tmp_path: Path, no_leftovers: Path) -> None:
    """As a terminal does it: one SIGINT to the whole group."""
    directory = make_dir(tasks("command: sleep 50"))
    runner = f"{sys.executable} -m receptor_runner"
    line = f"{runner} transmit {directory} -p test.yml | {runner} worker | {runner} process {tmp_path}/after -i j; echo ${{PIPESTATUS[@]}} >&2"
    pipe = subprocess.Popen(
        ["bash", "-c", "trap : INT; " + line], stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )
    artifacts = tmp_path / "after" / "artifacts" / "j"
    wait_for(
        lambda: any(event["event"] == "runner_on_start" for event, _ in saved_events(str(artifacts))),
        "the task is running",
    )
    os.killpg(pipe.pid, signal.SIGINT)
    _, errors = pipe.communicate(timeout=90)
    assert errors.split()[-3:] == [b"0", b"130", b"130"]
    assert (artifacts / "status").read_text() == "canceled"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_run_cancels_on_the_first_signal(number: signal.Signals, make_dir: DirFactory, no_leftovers: Path) -> None:
    directory = make_dir(STUBBORN)
    run = subprocess.Popen([*OURS, "run", directory, "-p", "test.yml", "-i", "j", "-q"])
    wait_for(lambda: processes_with(STUBBORN_MARK), "the stubborn child")
    run.send_signal(number)
    assert exit_code(run, 10) == 130
    assert (directory / "artifacts" / "j" / "status").read_text() == "canceled"
    assert not processes_with(STUBBORN_MARK)


@pytest.mark.parametrize("module", ["cli.main", "cli.options", "mesh.in_place", "mesh.endpoint"])
def test_run_is_cancelled_while_it_starts(module: str, make_dir: DirFactory, no_leftovers: Path) -> None:
    directory = make_dir(tasks("command: sleep 50"))
    words = [sys.executable, "-X", "importtime", *OURS[1:], "run", str(directory), "-p", "test.yml", "-q"]
    with subprocess.Popen(words, stderr=subprocess.PIPE) as run:
        assert run.stderr is not None
        loaded = f" receptor_runner.{module}\n".encode()
        assert any(line.endswith(loaded) for line in run.stderr), "the module is loaded on the way"
        run.send_signal(signal.SIGINT)
        _, errors = run.communicate(timeout=90)
    before_main = module == "cli.main" and run.returncode == -signal.SIGINT
    assert run.returncode == 130 or before_main, errors[-2000:]


def test_an_interrupt_that_python_loses_is_heeded_all_the_same() -> None:
    """An exception in the callback of an import lock is only printed: the job went on as if nothing had been said."""
    code = (
        "import os, signal, weakref\n"
        "from receptor_runner.system.signals import remember_interrupts, stop_on_signals\n"
        "class Lock: pass\n"
        "remember_interrupts()\n"
        "lock = Lock()\n"
        "reference = weakref.ref(lock, lambda _: signal.raise_signal(signal.SIGINT))\n"
        "del lock\n"
        "with stop_on_signals() as flag:\n"
        "    assert flag.wait(0) and flag.reasons == [signal.SIGINT]\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert b"Exception ignored" in done.stderr


@pytest.mark.parametrize("delay", [0, 0.002, 0.01, 0.1])
def test_run_stops_waiting_on_the_second_signal(delay: float, make_dir: DirFactory, no_leftovers: Path) -> None:
    """The cancel that the first one asked for is on its way all the same, and the end is there for who asks."""
    run = subprocess.Popen([*OURS, "run", make_dir(STUBBORN), "-p", "test.yml", "-i", "twice", "-q"])
    wait_for(lambda: processes_with(STUBBORN_MARK), "the stubborn child")
    run.send_signal(signal.SIGINT)
    time.sleep(delay)
    run.send_signal(signal.SIGTERM)
    assert exit_code(run, 5) == 130
    wait_for(lambda: not processes_with(STUBBORN_MARK), "the job has ended")
    assert ours("attach", "twice", "-q").returncode == 130
