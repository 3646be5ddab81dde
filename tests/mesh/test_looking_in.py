"""Looking into running jobs: which host does what, on which processes; and the end of one host's task alone."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from receptor_runner import Mesh as Client
from receptor_runner.errors import RefusedError
from receptor_runner.inspection.unit_processes import ASK_SIGNAL
from tests.mesh.conftest import DAEMONS
from tests.support.commands import OURS, ours
from tests.support.looking import inspected, wait_runs
from tests.support.nodes import Mesh, running
from tests.support.private_data import DirFactory, local, tasks
from tests.support.processes import is_alive, wait_for, words_of
from tests.support.ssh_hosts import ssh_hosts
from tests.support.streams import events_of

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_jobs_left")]

STUBBORN = (
    "name: stubborn\n"
    "command:\n"
    "  argv:\n"
    "    - '{{ ansible_playbook_python }}'\n"
    "    - '-c'\n"
    "    - 'import signal, time; [signal.signal(n, signal.SIG_IGN) for n in (1, 2, 15)]; time.sleep(600)'\n"
)
AFTER = "name: after\ndebug: {msg: 'on {{ inventory_hostname }}'}"


@pytest.fixture(scope="module", params=["embedded-1.5", *DAEMONS])
def mesh(request: pytest.FixtureRequest) -> Iterator[Mesh]:
    """One embedded node: what is asked here travels as any work does, and others look at both protocols for that."""
    with running(request.param) as started:
        yield started


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with ssh_hosts(tmp_path_factory.mktemp("ssh") / "server", 3) as lines:
        yield lines


@pytest.mark.parametrize("strategy", ["linear", "free"])
def test_one_host_is_ended_and_the_others_go_on(strategy: str, mesh: Mesh, hosts: str, make_dir: DirFactory) -> None:
    """By ssh and locally, and also a module that ignores every signal that can be ignored."""
    play = tasks(
        "name: hang\ncommand: sleep 600\nwhen: inventory_hostname == 'ssh1'",
        STUBBORN + "when: inventory_hostname in ('ssh2', 'here')",
        AFTER,
    ).replace("  tasks:", f"  strategy: {strategy}\n  tasks:", 1)
    directory = make_dir(play, inventory=hosts + local("here", "there"))
    mesh.run("submit", directory, "-p", "test.yml", "-i", "k")
    if strategy == "free":
        wait_runs("k", ssh1="hang", ssh2="stubborn", here="stubborn")
        order = ["ssh2", "here", "ssh1"]
    else:
        wait_runs("k", ssh1="hang")
        order = ["ssh1", "ssh2", "here"]
    for number, host in enumerate(order):
        if strategy == "linear" and number == 1:
            wait_runs("k", ssh2="stubborn", here="stubborn")
        pids = next(one["pids"] for one in inspected("k")["running"] if one["host"] == host)
        done = ours("kill", "k", "--host", host, timeout=90)
        assert done.returncode == 0, done.stderr
        assert done.stdout.decode().startswith(f"{host} failed")
        assert done.stderr == b""
        assert not any(map(is_alive, pids))
    assert ours("attach", "k", "-q").returncode == 2
    events = events_of(directory / "artifacts" / "k")
    failed = {one["event_data"]["host"] for one in events if one["event"] == "runner_on_failed"}
    after = [one["event_data"]["host"] for one in events if one["event"] == "runner_on_ok"]
    assert failed == {"ssh1", "ssh2", "here"}
    assert sorted(after) == ["ssh3", "there"]
    assert events[-1]["event_data"]["failures"] == {"ssh1": 1, "ssh2": 1, "here": 1}


def test_a_host_that_waits_for_an_asynchronous_task_is_ended(mesh: Mesh, hosts: str, make_dir: DirFactory) -> None:
    wait = "name: wait\ncommand: sleep 600\nasync: 900\npoll: 30\nwhen: inventory_hostname in ('ssh1', 'here')"
    directory = make_dir(tasks(wait, AFTER), inventory=hosts + local("here"))
    mesh.run("submit", directory, "-p", "test.yml", "-i", "a")

    left: list[int] = []

    def both_wait() -> bool:
        """The far one for some seconds; of the near one, the process that its task has left alone is known."""
        found = {one["host"]: one for one in inspected("a")["running"]}
        if found.keys() != {"ssh1", "here"} or any(one["seconds"] <= 2 for one in found.values()):
            return False
        left[:] = found["here"]["pids"]
        return any(one.pid in left and words_of(one) == ["sleep", "600"] for one in psutil.process_iter())

    wait_for(both_wait, "both wait, and the sleep is known though it is alone")
    for host in ("ssh1", "here"):
        assert ours("kill", "a", "--host", host).returncode == 0
    assert not any(map(is_alive, left))
    assert ours("attach", "a", "-q").returncode == 2
    events = events_of(directory / "artifacts" / "a")
    assert sorted(one["event_data"]["host"] for one in events if one["event"] == "runner_on_ok") == ["ssh2", "ssh3"]


def test_a_loop_and_its_attempts_end_with_their_host(mesh: Mesh, make_dir: DirFactory) -> None:
    """And what is rescued is rescued."""
    play = tasks(
        "block:\n"
        "  - name: again\n"
        "    command: sleep 600\n"
        "    loop: [1, 2, 3]\n"
        "    retries: 5\n"
        "    delay: 1\n"
        "    register: tried\n"
        "    until: tried is success\n"
        "    when: inventory_hostname == 'one'\n"
        "rescue:\n"
        "  - debug: {msg: rescued}",
        AFTER,
    )
    directory = make_dir(play, inventory=local("one", "two"))
    mesh.run("submit", directory, "-p", "test.yml", "-i", "l")
    wait_runs("l", one="again")
    assert ours("kill", "l", "--host", "one").returncode == 0
    followed = ours("attach", "l")
    assert followed.returncode == 0, followed.stderr
    assert b"rescued" in followed.stdout


REFUSED = {
    "run_once": tasks("name: hang\ncommand: sleep 600\nrun_once: true"),
    "any_errors_fatal": tasks("name: hang\ncommand: sleep 600\nany_errors_fatal: true"),
    "max_fail_percentage": tasks("name: hang\ncommand: sleep 600").replace(
        "  tasks:", "  max_fail_percentage: 30\n  tasks:", 1
    ),
    "pause": tasks("name: hang\npause: {minutes: 10}"),
    "last host": tasks("name: hang\ncommand: sleep 600").replace("  tasks:", "  serial: 1\n  tasks:", 1),
    "last host of its play": tasks("name: hang\ncommand: sleep 600", hosts="one") + tasks(AFTER),
}


@pytest.mark.parametrize("words", REFUSED)
def test_nothing_is_done_where_another_host_would_feel_it(words: str, mesh: Mesh, make_dir: DirFactory) -> None:
    mesh.run("submit", make_dir(REFUSED[words], inventory=local("one", "two")), "-p", "test.yml", "-i", "n")

    def hangs() -> list[Any]:
        found = inspected("n")["running"]
        return found if any(len(one["pids"]) > (words != "pause") for one in found) else []

    before = [pid for one in wait_for(hangs, "it hangs") for pid in one["pids"]]
    refused = ours("kill", "n", "--host", "one")
    assert refused.returncode == 77
    assert words.split(" of ", maxsplit=1)[0].encode() in refused.stderr
    assert b"nothing was done" in refused.stderr
    for name in ("nosuch", "--nosuch"):
        nobody = ours("kill", "n", f"--host={name}")
        assert nobody.returncode == 77
        assert f"nothing runs for {name} now".encode() in nobody.stderr
    assert all(map(is_alive, before))


def test_wishes_at_the_same_time_are_looked_at_one_after_the_other(mesh: Mesh, make_dir: DirFactory) -> None:
    """One host may fail, and two may not."""
    book = tasks("name: hang\ncommand: sleep 600\nwhen: inventory_hostname in ('one', 'two')", AFTER)
    book = book.replace("  tasks:", "  max_fail_percentage: 25\n  tasks:", 1)
    directory = make_dir(book, inventory=local("one", "two", "three", "four"))
    mesh.run("submit", directory, "-p", "test.yml", "-i", "w")
    wait_runs("w", one="hang", two="hang")
    words = [*OURS, "kill", "w", "--host"]
    both = [subprocess.Popen([*words, host], stderr=subprocess.PIPE) for host in ("one", "two")]
    said = [one.communicate(timeout=90)[1] for one in both]
    assert sorted(one.returncode for one in both) == [0, 77], said
    (left,) = inspected("w")["running"]
    assert left["host"] in ("one", "two")
    assert ours("cancel", "w").returncode == 0


def test_the_only_host_of_a_job_is_ended(mesh: Mesh, make_dir: DirFactory) -> None:
    mesh.run("submit", make_dir(tasks("name: hang\ncommand: sleep 600", AFTER)), "-p", "test.yml", "-i", "o")
    wait_runs("o", localhost="hang")
    done = ours("kill", "o", "--host", "localhost")
    assert done.returncode == 0, done.stderr
    assert ours("attach", "o", "-q").returncode == 2


def test_a_connection_that_tries_again_does_not_run_the_task_anew(
    mesh: Mesh, hosts: str, make_dir: DirFactory, tmp_path: Path
) -> None:
    ran = tmp_path / "ran"
    book = tasks(f"name: hang\nshell: 'echo ran >> {ran}; sleep 600'\nwhen: inventory_hostname == 'ssh1'", AFTER)
    directory = make_dir(book, inventory=hosts, env__envvars=json.dumps({"ANSIBLE_SSH_RETRIES": "3"}))
    mesh.run("submit", directory, "-p", "test.yml", "-i", "r")
    wait_runs("r", ssh1="hang")
    wait_for(ran.exists, "it runs")
    assert ours("kill", "r", "--host", "ssh1").returncode == 0
    followed = ours("attach", "r")
    assert followed.returncode == 2
    assert b"receptor-runner kill" in followed.stdout or b"was terminated" in followed.stdout
    assert ran.read_text() == "ran\n"


def test_a_loop_that_waits_between_two_items_is_ended(mesh: Mesh, make_dir: DirFactory) -> None:
    book = tasks(
        "name: hang\ncommand: 'true'\nloop: '{{ [1, 2][:2 if inventory_hostname == \"one\" else 1] }}'\nloop_control: {pause: 600}",
        AFTER,
    )
    mesh.run("submit", make_dir(book, inventory=local("one", "two")), "-p", "test.yml", "-i", "b")
    wait_for(lambda: any(one["seconds"] > 3 for one in inspected("b")["running"]), "it waits")
    assert ours("kill", "b", "--host", "one").returncode == 0
    followed = ours("attach", "b")
    assert b"on two" in followed.stdout


def test_a_loop_that_waits_for_its_next_attempt_begins_nothing_more(
    mesh: Mesh, make_dir: DirFactory, tmp_path: Path
) -> None:
    ran = tmp_path / "ran"
    book = tasks(
        f"name: hang\nshell: 'echo {{{{ item }}}} >> {ran}; false'\nloop: [a, b, c]\nretries: 9\ndelay: 600\n"
        "register: tried\nuntil: tried is success\nwhen: inventory_hostname == 'one'",
        AFTER,
    )
    mesh.run("submit", make_dir(book, inventory=local("one", "two")), "-p", "test.yml", "-i", "d")
    wait_for(ran.exists, "the first attempt")
    wait_for(lambda: any(one["seconds"] > 3 for one in inspected("d")["running"]), "it waits")
    assert ours("kill", "d", "--host", "one").returncode == 0
    followed = ours("attach", "d")
    assert b"on two" in followed.stdout
    assert b"receptor-runner kill" in followed.stdout
    assert ran.read_text() == "a\n"


def test_a_job_that_names_the_key_of_another_reaches_nothing_of_it(mesh: Mesh, make_dir: DirFactory) -> None:
    hang = tasks("name: hang\ncommand: sleep 600\nwhen: inventory_hostname == 'one'", AFTER)
    mesh.run("submit", make_dir(hang, inventory=local("one", "two"), name="victim"), "-p", "test.yml", "-i", "victim")
    victim = wait_runs("victim", one="hang")
    key = psutil.Process(victim["processes"][0]["pid"]).environ()["RECEPTOR_RUNNER_KEY_FILE"]
    book = tasks(f"name: hang\ncommand: sleep 600\nenvironment: {{RECEPTOR_RUNNER_KEY_FILE: '{key}'}}")
    mesh.run("submit", make_dir(book, inventory=local("own", "too"), name="evil"), "-p", "test.yml", "-i", "evil")
    evil = wait_runs("evil", own="hang", too="hang")
    theirs = {one["pid"] for one in victim["processes"]}
    assert not theirs & {one["pid"] for one in evil["processes"]}
    assert ours("kill", "evil", "--host", "one").returncode == 77
    assert all(map(is_alive, victim["running"][0]["pids"]))


def test_a_job_that_is_asked_all_the_time_ends_as_any(mesh: Mesh, make_dir: DirFactory) -> None:
    """The question may come between any two steps of Ansible's."""
    book = tasks(*[f"debug: {{msg: t{number}}}" for number in range(100)])
    directory = make_dir(book, inventory=local(*[f"h{number}" for number in range(6)]))
    mesh.run("submit", directory, "-p", "test.yml", "-i", "m")
    (ansible, *_) = wait_for(lambda: (seen := inspected("m"))["note"] is None and seen["processes"], "it answers")
    asked = 0
    while is_alive(ansible["pid"]):
        with contextlib.suppress(ProcessLookupError):
            os.kill(ansible["pid"], ASK_SIGNAL)
            asked += 1
        time.sleep(0.005)
    assert asked > 50
    followed = ours("attach", "m", "-q")
    assert followed.returncode == 0, followed.stderr
    stats = events_of(directory / "artifacts" / "m")[-1]["event_data"]
    assert set(stats["ok"].values()) == {100}


def test_what_a_job_does_is_told_from_events_and_from_its_node(mesh: Mesh, hosts: str, make_dir: DirFactory) -> None:
    book = tasks(
        "name: quick\ncommand: 'true'",
        "name: break\ncommand: 'false'\nwhen: inventory_hostname == 'red'",
        "name: hang\ncommand: sleep 600\nwhen: inventory_hostname == 'ssh1'",
        "name: hide\ncommand: sleep 601\nno_log: true",
    )
    directory = make_dir(book, inventory=hosts + local("red", "blue"))
    mesh.run("submit", directory, "-p", "test.yml", "-i", "i")
    found = wait_runs("i", ssh1="hang")
    assert list(found) == [
        "job", "state", "node", "elapsed", "silent_for", "running", "hosts", "processes", "asks", "note",
    ]  # fmt: skip
    assert (found["job"], found["state"], found["node"]) == ("i", "running", mesh.executor.name)
    assert found["hosts"] == {"ok": 0, "changed": 4, "failed": 1, "unreachable": 0, "skipped": 0}
    (hangs,) = found["running"]
    assert hangs["path"] == "test.yml:9"
    assert 0 <= hangs["seconds"] <= found["elapsed"] < 60
    assert found["silent_for"] < 60
    assert (found["asks"], found["note"]) == (None, None)
    ssh = [one for one in found["processes"] if one["arguments"].startswith("ssh ") and one["pid"] in hangs["pids"]]
    assert "127.0.0.2" in ssh[0]["arguments"]
    top = found["processes"][0]
    assert "ansible-playbook" in top["arguments"]
    assert top["host"] is None
    text = ours("inspect", "i").stdout.decode()
    assert "i: running on" in text
    assert "ssh1" in text
    assert "4 changed, 1 failed" in text
    assert ours("kill", "i", "--host", "ssh1").returncode == 0
    wait_for(lambda: any("no_log" in one["arguments"] for one in inspected("i")["processes"]), "the hidden task runs")
    assert "sleep 601" not in ours("inspect", "i", "-o", "json").stdout.decode()


def test_a_job_of_another_controller_is_looked_into_and_ended_for_one_host(
    mesh: Mesh, make_dir: DirFactory, tmp_path: Path
) -> None:
    directory = make_dir(
        tasks("name: hang\ncommand: sleep 600\nwhen: inventory_hostname == 'one'", AFTER), inventory=local("one", "two")
    )
    mesh.run("submit", directory, "-p", "test.yml", "-i", "theirs")
    wait_runs("theirs", one="hang")
    view = json.loads(ours("status", "theirs", "-o", "json").stdout)
    unit = view["remote_unit"] or (mesh.executor.units() or [view["unit"]])[0]
    words = ["--node", mesh.executor.name, "--unit", unit, *mesh.arguments()]
    if mesh.kind == "daemon-signed":
        words += ["--config", str(mesh.controller.config)]
    env = {**os.environ, "XDG_STATE_HOME": str(tmp_path / "another")}
    seen = ours("inspect", *words, "-o", "json", env=env)
    assert seen.returncode == 0, seen.stderr
    assert [one["host"] for one in json.loads(seen.stdout)["running"]] == ["one"]
    done = ours("kill", *words, "--host", "one", env=env)
    assert done.returncode == 0, done.stderr
    assert json.loads(ours("jobs", "-o", "json", env=env).stdout) == [], "nothing was noted there"
    assert ours("attach", "theirs", "-q").returncode == 2


def test_a_question_that_waits_is_shown(mesh: Mesh, make_dir: DirFactory) -> None:
    book = tasks("name: ask\npause: {prompt: 'Really go on'}")
    mesh.run("submit", make_dir(book), "-p", "test.yml", "-i", "q")
    found = wait_for(lambda: (seen := inspected("q"))["asks"] and seen, "it asks")
    assert "Really go on" in found["asks"]
    assert b"it asks: Really go on" in ours("inspect", "q").stdout


def test_a_job_that_has_ended_is_told_without_its_node(mesh: Mesh, make_dir: DirFactory) -> None:
    assert mesh.run("submit", make_dir(tasks(AFTER)), "-p", "test.yml", "-i", "e").returncode == 0
    assert ours("wait", "e").returncode == 0
    found = inspected("e")
    assert (found["state"], found["running"], found["processes"]) == ("successful", [], [])
    assert found["hosts"]["ok"] == 1
    ended = ours("kill", "e", "--host", "localhost")
    assert ended.returncode == 64
    assert b"has ended (successful)" in ended.stderr
    watched = ours("inspect", "e", "--watch", "-o", "json")
    assert len(watched.stdout.splitlines()) == 1


def test_the_same_from_python(mesh: Mesh, make_dir: DirFactory) -> None:
    directory = make_dir(
        tasks("name: hang\ncommand: sleep 600\nwhen: inventory_hostname == 'one'", AFTER), inventory=local("one", "two")
    )
    mesh.run("submit", directory, "-p", "test.yml", "-i", "p")
    wait_runs("p", one="hang")
    job = Client.job("p")
    seen = job.inspect()
    assert [(one.host, one.task) for one in seen.running] == [("one", "hang")]
    with pytest.raises(RefusedError, match="nothing runs for two"):
        job.end_host("two")
    assert job.end_host("one").task == "hang"
