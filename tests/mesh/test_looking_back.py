"""Looking at submitted jobs without following them: lists, output, several at once; and files that come back."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.support.commands import OURS, ours
from tests.support.nodes import Mesh
from tests.support.private_data import INVENTORY, DirFactory, tasks
from tests.support.processes import exit_code, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_jobs_left")]

TWO_HOSTS = INVENTORY.replace("localhost", "red", 1) + INVENTORY.replace("localhost", "blue", 1)
MIXED = tasks(
    "name: greet\ndebug: {msg: 'hi {{ inventory_hostname }}'}",
    "name: tolerated\ncommand: /bin/false\nignore_errors: true",
    "name: break\ncommand: /bin/false\nwhen: inventory_hostname == 'red'",
)


def test_the_output_is_shown_from_the_node_and_from_the_artifacts(mesh: Mesh, make_dir: DirFactory) -> None:
    directory = make_dir(MIXED, inventory=TWO_HOSTS)
    mesh.run("submit", directory, "-p", "test.yml", "-i", "m")
    assert ours("wait", "m").returncode == 2
    live = ours("logs", "m")
    assert live.returncode == 0, live.stderr
    assert b"PLAY RECAP" in live.stdout
    assert not (directory / "artifacts" / "m" / "job_events").exists(), "nothing is saved"
    followed = ours("attach", "m")
    assert followed.returncode == 2, "a look takes nothing from the follower"
    assert followed.stdout == live.stdout
    for job in ("m", directory / "artifacts" / "m"):
        assert ours("logs", job).stdout == live.stdout
        failed = ours("logs", job, "--failed").stdout
        assert failed.count(b"fatal:") == 1
        assert b"[red]" in failed
        blue = ours("logs", job, "--host", "bl*").stdout
        assert b"hi blue" in blue
        assert b"hi red" not in blue
        greeted = ours("logs", job, "--task", "greet", "--json").stdout.splitlines()
        assert {json.loads(line)["event_data"]["task"] for line in greeted} == {"greet"}


def test_a_running_job_is_watched_to_its_end(mesh: Mesh, make_dir: DirFactory, tmp_path: Path) -> None:
    until = tmp_path / "until"
    mesh.run(
        "submit",
        make_dir(tasks("debug: {msg: early}", f"wait_for: {{path: {until}, sleep: 1}}")),
        "-p",
        "test.yml",
        "-i",
        "w",
    )
    seen = tmp_path / "seen"
    with seen.open("wb") as out:
        watcher = subprocess.Popen([*OURS, "logs", "w", "-f"], stdout=out)
        wait_for(lambda: b"early" in seen.read_bytes(), "the first output")
        assert watcher.poll() is None
        until.touch()
        assert exit_code(watcher, 60) == 0
    assert b"PLAY RECAP" in seen.read_bytes()
    assert ours("attach", "w", "-q").returncode == 0


def test_jobs_are_listed_by_state_node_and_age(mesh: Mesh, make_dir: DirFactory) -> None:
    mesh.run("submit", make_dir(tasks("debug: ")), "-p", "test.yml", "-i", "one")
    mesh.run("submit", make_dir(tasks("command: sleep 100"), name="d2"), "-p", "test.yml", "-i", "two")
    assert ours("wait", "one").returncode == 0
    head, *rows = (line.split() for line in ours("jobs").stdout.decode().splitlines())
    assert head == ["JOB", "STATE", "AGE", "DURATION", "PLAYBOOK", "NODE", "RC", "SAVED"]
    shown = {row[0]: row for row in rows}
    assert shown["one"][1] == "successful"
    assert shown["one"][4:] == ["test.yml", mesh.executor.name, "0", "no"]
    assert shown["two"][6:] == ["-", "no"]

    def names(*options: str) -> list[str]:
        return [job["id"] for job in json.loads(ours("jobs", "-o", "json", *options).stdout)]

    assert names() == ["one", "two"]
    assert names("--state", "successful") == ["one"]
    assert names("--state", "running", "--state", "pending") == ["two"]
    assert names("--node", "elsewhere") == []
    assert names("--last", "1") == ["two"]


def test_all_jobs_at_once(mesh: Mesh, make_dir: DirFactory) -> None:
    for name in ("x", "y", "z"):
        mesh.run("submit", make_dir(tasks("command: sleep 100"), name=name), "-p", "test.yml", "-i", name)
    assert ours("wait", "--all", "--timeout", "0.1").returncode == 75
    cancelled = ours("cancel", "--all")
    assert cancelled.returncode == 0, cancelled.stderr
    assert cancelled.stdout == b"x canceled\ny canceled\nz canceled\n"
    assert ours("wait", "--all").returncode == 130
    refused = ours("release", "--all")
    assert refused.returncode == 64, "their results were never saved"
    assert ours("release", "--all", "--force").returncode == 0
    assert json.loads(ours("jobs", "-o", "json").stdout) == []
    assert ours("cancel").returncode == 64
    assert ours("cancel", "x", "--all").returncode == 64


@pytest.mark.parametrize("here", [False, True])
def test_files_come_back_if_they_are_asked_for(here: bool, mesh: Mesh, make_dir: DirFactory) -> None:
    play = tasks(
        "copy: {content: one, dest: '{{ playbook_dir }}/out/a.txt', mode: '0640'}",
        "copy: {content: two, dest: '{{ playbook_dir }}/out/b.log'}",
        "copy: {content: three, dest: '{{ playbook_dir }}/report.html'}",
        "file: {src: /etc/passwd, dest: '{{ playbook_dir }}/out/link.txt', state: link}",
    )
    directory = make_dir(play, project__old_txt="not touched")
    (directory / "project" / "out").mkdir()
    (directory / "project" / "out" / "old.txt").write_text("not touched")
    options = ["-p", "test.yml", "-i", "c", "--collect", "*.txt", "--collect", "project/report.*"]
    done = ours("run", directory, *options) if here else mesh.run("run", directory, *options)
    assert done.returncode == 0, done.stderr
    collected = directory / "artifacts" / "c" / "collected"
    found = {str(path.relative_to(collected)): path.read_text() for path in collected.rglob("*") if path.is_file()}
    assert found == {"project/out/a.txt": "one", "project/report.html": "three"}
    if not here:
        assert b"1 file(s) (project/out/b.log)" in done.stderr, "what was not asked for is dropped, and told"


def test_only_the_last_run_of_a_name_is_shown(mesh: Mesh, make_dir: DirFactory) -> None:
    """And nothing that a link in the artifacts leads to."""
    longer = tasks(*[f"debug: {{msg: old{number}}}" for number in range(5)])
    assert mesh.run("run", make_dir(longer), "-p", "test.yml", "-i", "same", "-q").returncode == 0
    directory = make_dir(tasks("debug: {msg: new}"))
    last = mesh.run("run", directory, "-p", "test.yml", "-i", "same")
    artifacts = directory / "artifacts" / "same"
    (directory / "secret").write_text(json.dumps({"stdout": "SECRET", "counter": 999}))
    for name in ("999-a.json", "\u00b2-x.json", "1000-dir.json", "x.json"):
        (artifacts / "job_events" / name).symlink_to(directory / "secret")
    shown = ours("logs", artifacts)
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout == last.stdout


def test_a_reader_that_leaves_ends_the_output(mesh: Mesh, make_dir: DirFactory) -> None:
    directory = make_dir(tasks("debug: {msg: hello}"))
    assert mesh.run("run", directory, "-p", "test.yml", "-i", "r", "-q").returncode == 0
    script = f"{' '.join(OURS)} logs {directory}/artifacts/r | head -1"
    done = subprocess.run(["bash", "-c", script], capture_output=True, timeout=60)
    assert done.stderr == b""
    nothing = ours("logs", directory / "artifacts" / "r", "--host", "nosuch")
    assert (nothing.returncode, nothing.stdout) == (0, b"")
    assert b"nothing matches" in nothing.stderr
    missing = ours("logs", directory / "artifacts" / "none")
    assert missing.returncode == 66
    assert b"artifacts/none" in missing.stderr
    assert b"DIR/artifacts/nojob" in ours("logs", "nojob").stderr
