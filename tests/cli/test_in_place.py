"""A local run works in the directory itself, and outlives whoever started it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from pathlib import Path

import psutil
import pytest

from tests.support.commands import OURS, ours
from tests.support.disks import small_disk
from tests.support.looking import inspected, wait_runs
from tests.support.private_data import DirFactory, local, tasks
from tests.support.processes import Stopwatch, exit_code, processes_with, wait_for
from tests.support.streams import events_of

pytestmark = pytest.mark.slow

#: Runs until the file is there.
WAITS = tasks("wait_for: {path: '%s/go', timeout: 60, sleep: 1}", "debug: {msg: later}")
HELLO = tasks("debug: {msg: hello}")


def contents(directory: Path) -> dict[str, bytes | None]:
    found = (path for path in directory.rglob("*") if "artifacts" not in path.relative_to(directory).parts)
    return {str(path.relative_to(directory)): path.read_bytes() if path.is_file() else None for path in found}


def nodes() -> list[str]:
    top = Path(os.environ["XDG_STATE_HOME"]) / "receptor-runner" / "nodes"
    return [path.name for path in top.iterdir()] if top.exists() else []


def test_what_a_playbook_makes_in_the_project_is_there_afterwards(make_dir: DirFactory, no_leftovers: Path) -> None:
    directory = make_dir(
        tasks(
            "copy: {content: made, dest: '{{ playbook_dir }}/made.txt'}",
            "fetch: {src: '{{ playbook_dir }}/made.txt', dest: '{{ playbook_dir }}/fetched/', flat: true}",
            "debug: {msg: '{{ playbook_dir }} {{ a }}'}",
        ),
        env__extravars="a: low",
    )
    before = contents(directory)
    done = ours("run", directory, "-p", "test.yml", "-i", "j", "-e", "a=high")
    assert (done.returncode, done.stderr) == (0, b"")
    assert f"{directory}/project high".encode() in done.stdout
    made = {"project/made.txt": b"made", "project/fetched": None, "project/fetched/made.txt": b"made"}
    assert contents(directory) == {**before, **made}
    artifacts = directory / "artifacts" / "j"
    assert (artifacts / "rc").read_text() == "0"
    assert {path.name for path in artifacts.iterdir()} == {
        "command", "fact_cache", "fact_cache_modified.json", "job_events", "rc", "status", "stderr", "stdout",
    }  # fmt: skip
    assert [event["counter"] for event in events_of(artifacts)][-1] == len(events_of(artifacts))
    wait_for(lambda: not nodes(), "the private node is gone", 15)
    assert json.loads(ours("jobs", "-o", "json").stdout) == []


def test_a_copy_leaves_the_directory_as_it_is(make_dir: DirFactory) -> None:
    directory = make_dir(tasks("copy: {content: made, dest: '{{ playbook_dir }}/made.txt'}"))
    before = contents(directory)
    done = ours("run", directory, "-p", "test.yml", "--copy")
    assert done.returncode == 0
    assert b"1 file(s) (project/made.txt) outside of the artifacts" in done.stderr
    assert contents(directory) == before


def test_several_runs_of_one_directory_at_once(make_dir: DirFactory) -> None:
    directory = make_dir(HELLO, roles__greet__tasks__main="")
    (directory / "roles" / "greet" / "tasks" / "main.yml").write_text("- debug: {msg: hello}\n")
    what = (
        ["-p", "test.yml"],
        ["-p", "test.yml"],
        ["-r", "greet", "--hosts", "all"],
        ["-r", "greet", "--hosts", "all"],
    )
    runs = [
        subprocess.Popen([*OURS, "run", str(directory), *words, "-i", f"r{number}"], stdout=subprocess.DEVNULL)
        for number, words in enumerate(what)
    ]
    assert [run.wait(60) for run in runs] == [0] * 4
    for number in range(4):
        artifacts = directory / "artifacts" / f"r{number}"
        assert {event["runner_ident"] for event in events_of(artifacts)} == {f"r{number}"}
    assert sorted(path.name for path in (directory / "project").iterdir()) == ["test.yml"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGHUP, 75), (signal.SIGKILL, -9)])
def test_a_local_job_outlives_who_started_it(
    number: signal.Signals, code: int, make_dir: DirFactory, tmp_path: Path, no_leftovers: Path
) -> None:
    directory = make_dir(WAITS % tmp_path)
    words = [*OURS, "run", str(directory), "-p", "test.yml", "-i", "j"]
    run = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True)
    events = directory / "artifacts" / "j" / "job_events"
    wait_for(lambda: any("runner_on_start" in path.read_text() for path in events.glob("*.json")), "the task runs", 30)
    os.killpg(run.pid, number)
    _, said = run.communicate(timeout=90)
    assert run.returncode == code
    assert (b"the job j goes on: receptor-runner attach j" in said) == (number == signal.SIGHUP)
    assert ours("wait", "j", "--timeout", "0").returncode == 75
    (tmp_path / "go").write_text("")
    attached = ours("attach", "j")
    assert (attached.returncode, b"later" in attached.stdout) == (0, True)
    counters = [event["counter"] for event in events_of(directory / "artifacts" / "j")]
    assert counters == list(range(1, len(counters) + 1))
    assert ours("release", "j").returncode == 0
    wait_for(lambda: not nodes(), "the private node is gone", 15)


@pytest.mark.parametrize(
    ("name", "code"),
    [("receptor-unit", 74), ("receptor-worker", 76), ("keeper", 70), ("guard", 70)],
)
def test_whatever_of_ours_is_killed_nothing_of_the_job_is_left(
    name: str, code: int, make_dir: DirFactory, tmp_path: Path, no_leftovers: Path
) -> None:
    directory = make_dir(roles__wait__tasks__main="")
    tasks_file = directory / "roles" / "wait" / "tasks" / "main.yml"
    tasks_file.write_text(f"- wait_for: {{path: '{tmp_path}/go', timeout: 60, sleep: 1}}\n")
    before = contents(directory)
    words = [*OURS, "run", str(directory), "-r", "wait", "--hosts", "all", "--role-skip-facts", "-i", "j", "-q"]
    run = subprocess.Popen(words, stderr=subprocess.DEVNULL)
    events = directory / "artifacts" / "j" / "job_events"
    wait_for(lambda: any("runner_on_start" in path.read_text() for path in events.glob("*.json")), "the task runs", 30)
    (unit,) = [child for child in psutil.Process(run.pid).children() if child.name() == "receptor-unit"]
    (worker,) = unit.children()
    (keeper,) = worker.children()
    (guard,) = keeper.children()
    {"receptor-unit": unit, "receptor-worker": worker, "keeper": keeper, "guard": guard}[name].kill()
    assert exit_code(run, 60) == code
    wait_for(lambda: contents(directory) == before, "the directory is as it was", 10)
    wait_for(lambda: not processes_with(str(directory)), "nothing runs", 10)
    ours("release", "--force", "j")


@pytest.mark.parametrize("how", ["ctrl-c", "cancel"])
def test_a_local_job_is_cancelled(how: str, make_dir: DirFactory, tmp_path: Path, no_leftovers: Path) -> None:
    directory = make_dir(WAITS % tmp_path)
    words = [*OURS, "run", str(directory), "-p", "test.yml", "-i", "j"]
    run = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    events = directory / "artifacts" / "j" / "job_events"
    wait_for(lambda: any("runner_on_start" in path.read_text() for path in events.glob("*.json")), "the task runs", 30)
    if how == "ctrl-c":
        run.send_signal(signal.SIGINT)
    else:
        assert ours("cancel", "j").returncode == 0
    _, said = run.communicate(timeout=90)
    assert run.returncode == 130
    assert (b"cancelled, and not by this follower" in said) == (how == "cancel")
    assert (directory / "artifacts" / "j" / "status").read_text() == "canceled"
    assert not processes_with(str(directory))


def test_a_detached_local_job_is_the_same_job(make_dir: DirFactory, tmp_path: Path) -> None:
    directory = make_dir(WAITS % tmp_path)
    words = [str(directory), "-p", "test.yml", "-i", "j"]
    assert ours("run", *words, "--detach").stdout == b"j\n"
    again = ours("run", *words, "--detach")
    assert (again.returncode, again.stdout) == (0, b"j\n")
    assert b"already submitted" in again.stderr
    assert ours("run", *words, "--detach", "-e", "a=1").returncode == 64
    assert ours("run", *words).returncode == 64
    (tmp_path / "go").write_text("")
    assert ours("attach", "j", "-q").returncode == 0
    assert ours("run", *words, "-q").returncode == 0, "its results are saved: this is another job"


def test_an_artifact_directory_that_cannot_be_written_stops_the_job_before_it_starts(
    make_dir: DirFactory, tmp_path: Path
) -> None:
    directory = make_dir(tasks(f"command: touch {tmp_path}/ran"))
    (tmp_path / "file").write_text("")
    done = ours("run", directory, "-p", "test.yml", "--artifact-dir", tmp_path / "file")
    assert done.returncode == 73
    assert str(tmp_path / "file") in done.stderr.decode()
    assert not (tmp_path / "ran").exists()
    assert not nodes()
    assert json.loads(ours("jobs", "-o", "json").stdout) == []
    missing = ours("run", directory, "-p", "test.yml", "--inventory", "nowhere", "--artifact-dir", tmp_path / "new")
    assert missing.returncode == 66
    assert not (tmp_path / "new").exists() or not list((tmp_path / "new").iterdir())


def test_a_full_disk_leaves_the_job_and_says_so(make_dir: DirFactory, tmp_path: Path) -> None:
    with small_disk(tmp_path / "small", "64k") as small:
        loop = "command: echo {{ 'x' * 3000 }}\nloop: '{{ range(30) | list }}'"
        directory = make_dir(tasks(loop))
        done = ours("run", directory, "-p", "test.yml", "-q", "--copy", "-i", "j", "--artifact-dir", small)
        assert done.returncode == 73
        assert b"No space left on device; the job j goes on: receptor-runner attach j follows it" in done.stderr
    assert ours("attach", "j", "-q").returncode == 0
    assert (small / "j" / "rc").read_text() == "0"


@pytest.mark.parametrize("option", [["--worktype", "x"], ["--ttl", "1h"], ["--signwork"]])
def test_options_of_a_mesh_need_one(option: list[str], make_dir: DirFactory) -> None:
    done = ours("run", make_dir(HELLO), "-p", "test.yml", *option)
    assert (done.returncode, b"name it with --socket or --node" in done.stderr) == (64, True)


def test_files_that_cannot_be_brought_are_told_and_change_nothing(make_dir: DirFactory, tmp_path: Path) -> None:
    play = tasks(
        "copy: {content: one, dest: '{{ playbook_dir }}/a.txt'}",
        "command: truncate -s 3G {{ playbook_dir }}/holes.txt",
        "file: {src: /etc, dest: '{{ playbook_dir }}/../artifacts/k/collected', state: link}",
    )
    directory = make_dir(play)
    done = ours("run", directory, "-p", "test.yml", "-i", "k", "-q", "--collect", "*.txt")
    assert done.returncode == 0, done.stderr
    assert b"cannot be copied" in done.stderr
    assert not Path("/etc/project").exists()
    link = tmp_path / "link"
    link.symlink_to(directory)
    play = tasks(
        "copy: {content: two, dest: '{{ playbook_dir }}/b.txt'}", "command: truncate -s 3G {{ playbook_dir }}/holes.txt"
    )
    (directory / "project" / "test.yml").write_text(play)
    options: list[str | Path] = ["--artifact-dir", directory / "out", "--collect", "*", "--exclude", "artifacts"]
    done = ours("run", link, "-p", "test.yml", "-i", "k", "-q", *options)
    assert done.returncode == 0, done.stderr
    collected = directory / "out" / "k" / "collected"
    assert (collected / "project" / "b.txt").read_text() == "two"
    assert not (collected / "out").exists(), "artifacts are none of the files"
    holes = (collected / "project" / "holes.txt").stat()
    assert holes.st_size == 3 * 2**30
    assert holes.st_blocks < 1000, "what takes no room takes none in the copy"


def test_a_failure_has_its_line_also_without_output(make_dir: DirFactory) -> None:
    done = ours("run", make_dir(tasks("command: /bin/false")), "-p", "test.yml", "-q")
    assert done.returncode == 2
    assert re.fullmatch(rb"receptor-runner: failed \(rc 2\) after 0:\d\d; artifacts: \S+\n", done.stderr)


def test_a_job_that_asks_is_told_of_without_a_terminal(make_dir: DirFactory, tmp_path: Path) -> None:
    question = (
        "- hosts: all\n  gather_facts: no\n  vars_prompt: [{name: word, prompt: Which word}]\n  tasks: [debug: ]\n"
    )
    with (tmp_path / "err").open("wb") as err:
        words = [*OURS, "run", str(make_dir(question)), "-p", "test.yml", "-q"]
        job = subprocess.Popen(words, stderr=err, stdin=subprocess.DEVNULL)
        wait_for(lambda: b"env/passwords answers it" in (tmp_path / "err").read_bytes(), "the question is told")
        job.send_signal(signal.SIGINT)
        assert exit_code(job, 30) == 130
    assert (tmp_path / "err").read_bytes().count(b"looks like a question") == 1


def test_a_job_here_is_looked_into_while_it_is_followed(make_dir: DirFactory) -> None:
    """Of a stopped Ansible it is told that it does not answer, and nothing is ended."""
    directory = make_dir(
        tasks(
            "name: hang\ncommand: sleep 600\nwhen: inventory_hostname == 'one'",
            "name: after\ndebug: {msg: 'on {{ inventory_hostname }}'}",
        ),
        inventory=local("one", "two"),
    )
    with subprocess.Popen(
        [*OURS, "run", str(directory), "-p", "test.yml", "-i", "here"], stdout=subprocess.PIPE
    ) as run:
        wait_for(lambda: ours("status", "here").returncode == 0, "there is a job")
        found = wait_runs("here", one="hang")
        ansible = found["processes"][0]["pid"]
        os.kill(ansible, signal.SIGSTOP)
        asked = Stopwatch()
        stopped = inspected("here")
        assert "does not say" in stopped["note"]
        assert [one["host"] for one in stopped["running"]] == ["one"], "the events tell it"
        assert ours("kill", "here", "--host", "one").returncode == 77
        assert asked.seconds() < 30
        os.kill(ansible, signal.SIGCONT)
        assert ours("kill", "here", "--host", "one").returncode == 0
        assert run.communicate(timeout=60)[0].count(b"on two") == 1
        assert run.returncode == 2
