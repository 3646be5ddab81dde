"""A job in a container or a sandbox is as it is outside: each scenario with real podman and real bubblewrap."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

import receptor_runner
from receptor_runner.stream.codec import END_OF_STREAM
from tests.support.commands import ours
from tests.support.commands_in_isolation import POLITE, STUBBORN
from tests.support.engines import Engine, Podman
from tests.support.jobs import job, last_status, processed, start, statuses, work
from tests.support.private_data import DirFactory, tasks
from tests.support.processes import Stopwatch, exit_code, guard_of, processes_with, wait_for
from tests.support.streams import events_of

pytestmark = pytest.mark.slow

SUCCESS = tasks(
    "name: say\ndebug: {msg: hello}",
    "name: where\ncommand: cat /proc/self/mountinfo\nregister: mounts",
    "name: leave\ncopy: {content: x, dest: '{{ playbook_dir }}/../artifacts/job/x', mode: '0750'}",
    facts=True,
)


def in_isolation(engine: Engine, directory: Path, **parameters: Any) -> bytes:
    return job(directory, **engine.settings(), **parameters)


def shape(artifacts: Path) -> list[tuple[Any, ...]]:
    """What of the events must be the same in isolation."""
    found = []
    for event in events_of(artifacts):
        data = event.get("event_data", {})
        found.append((event["counter"], event["event"], data.get("task"), data.get("host"), sorted(data)))
    return found


def plain(artifacts: Path) -> str:
    """The output, without colours: an image may know nothing of terminals."""
    return re.sub(r"\x1b\[[0-9;]*m", "", (artifacts / "stdout").read_text())


def files(artifacts: Path) -> set[str]:
    names = {str(path.relative_to(artifacts)) for path in artifacts.rglob("*")}
    return {name for name in names if not name.startswith("job_events/")}


def wait_status(results: Path, status: str) -> None:
    wait_for(lambda: f'"{status}"'.encode() in results.read_bytes(), status)


def test_a_job_is_as_it_is_outside(engine: Engine, make_dir: DirFactory, tmp_path: Path, no_leftovers: Path) -> None:
    directory = make_dir(SUCCESS)
    isolated, outside = work(in_isolation(engine, directory)), work(job(directory))
    assert isolated.returncode == outside.returncode == 0
    there, here = processed(isolated.stdout, tmp_path / "there"), processed(outside.stdout, tmp_path / "here")
    assert shape(there) == shape(here)
    assert plain(there) == plain(here)
    assert files(there) == files(here)
    assert os.access(there / "x", os.X_OK)
    mounts = next(e for e in events_of(there) if e["event"] == "runner_on_ok" and e["event_data"]["task"] == "where")
    outer = next(e for e in events_of(here) if e["event"] == "runner_on_ok" and e["event_data"]["task"] == "where")
    assert mounts["event_data"]["res"]["stdout"] != outer["event_data"]["res"]["stdout"]
    assert not list(no_leftovers.iterdir())


def test_a_container_sees_the_private_data_dir_as_runner(podman: Podman, make_dir: DirFactory, tmp_path: Path) -> None:
    """The layout that execution environment images and controllers know, whatever lies elsewhere on this machine."""
    directory = make_dir(args="sh -c 'pwd; ls /runner; echo $AWX_ISOLATED_DATA_DIR'", env__extravars="{}")
    done = work(in_isolation(podman, directory))
    started = statuses(done.stdout)[0]
    assert started["cwd"] == "/runner/project"
    assert started["env"]["AWX_ISOLATED_DATA_DIR"] == "/runner/artifacts/job"
    assert "HOME" not in started["env"]
    lines = plain(processed(done.stdout, tmp_path)).split()
    assert lines == ["/runner/project", "args", "artifacts", "env", "inventory", "project", "/runner/artifacts/job"]


@pytest.mark.parametrize(
    ("what", "end"),
    [
        ({"playbook": tasks("command: /bin/false")}, ("failed", 2, 2)),
        ({"playbook": "no playbook"}, ("failed", 4, 4)),
        ({"args": "sh -c 'exit 250'"}, ("failed", 250, 250)),
        ({"playbook": tasks("command: sleep 60"), "env__settings": {"job_timeout": 3}}, ("timeout", 254, 124)),
        ({"playbook": tasks("command: sleep 60"), "env__settings": {"idle_timeout": 3}}, ("timeout", 254, 124)),
    ],
)
def test_a_job_that_goes_wrong_says_so(
    what: dict[str, Any], end: tuple[str, int, int], engine: Engine, make_dir: DirFactory, tmp_path: Path
) -> None:
    """Isolation is asked for in ``env/settings``."""
    status, rc, code = end
    content = dict(what)
    content["env__settings"] = json.dumps(engine.settings(**content.get("env__settings", {})))
    done = work(job(make_dir(content.pop("playbook", None), **content)))
    assert done.returncode == code
    assert statuses(done.stdout)[-1]["status"] == status
    assert (processed(done.stdout, tmp_path) / "rc").read_text() == str(rc)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_reaches_the_command_as_from_its_terminal(
    number: signal.Signals, engine: Engine, make_dir: DirFactory, tmp_path: Path, no_leftovers: Path
) -> None:
    results = tmp_path / "results"
    worker = start(in_isolation(engine, make_dir(args=POLITE)), results=results)
    wait_for(lambda: b"ready" in results.read_bytes(), "the command runs")
    sent = Stopwatch()
    worker.send_signal(number)
    assert exit_code(worker, 10) == 130
    assert sent.seconds() < 5
    assert last_status(results) == "canceled"
    assert "got-it" in plain(processed(results.read_bytes(), tmp_path / "after"))
    assert not engine.left()
    assert not list(no_leftovers.iterdir())


def test_a_playbook_is_cancelled(engine: Engine, make_dir: DirFactory, tmp_path: Path, no_leftovers: Path) -> None:
    """Ansible hears it and says so, once its task has a process: before that, its own words are a traceback."""
    results, mark = tmp_path / "results", f"mark-{tmp_path.name}"
    worker = start(in_isolation(engine, make_dir(tasks(f"command: sh -c 'sleep 60; exit' {mark}"))), results=results)
    wait_for(lambda: processes_with(mark), "the task's process runs")
    worker.send_signal(signal.SIGINT)
    assert exit_code(worker, 8) == 130
    assert results.read_bytes().endswith(END_OF_STREAM)
    assert last_status(results) == "canceled"
    assert "interrupted" in plain(processed(results.read_bytes(), tmp_path / "after"))
    assert not engine.left()


def test_a_command_that_nothing_moves_is_gone_before_receptor_kills_its_worker(
    engine: Engine, make_dir: DirFactory, tmp_path: Path, no_leftovers: Path
) -> None:
    results = tmp_path / "results"
    worker = start(in_isolation(engine, make_dir(args=STUBBORN)), results=results)
    wait_for(lambda: b"ready" in results.read_bytes(), "the command runs")
    worker.send_signal(signal.SIGINT)
    assert exit_code(worker, 10) == 130
    assert not engine.left()
    assert not list(no_leftovers.iterdir())


@pytest.mark.parametrize("command", [POLITE, STUBBORN])
def test_sigkill_of_the_worker_leaves_no_container(
    command: str, engine: Engine, make_dir: DirFactory, tmp_path: Path, no_leftovers: Path
) -> None:
    results = tmp_path / "results"
    worker = start(in_isolation(engine, make_dir(args=command)), results=results)
    wait_for(lambda: b"ready" in results.read_bytes(), "the command runs")
    worker.kill()
    worker.wait()
    wait_for(lambda: not engine.left() and not list(no_leftovers.iterdir()), "nothing is left", 8)


def test_a_cancel_while_the_container_is_being_made_leaves_none(
    podman: Podman, make_dir: DirFactory, tmp_path: Path, no_leftovers: Path
) -> None:
    stream = in_isolation(podman, make_dir(args=POLITE))
    for number, delay in enumerate((0.0, 0.05, 0.1, 0.2, 0.3)):
        results = tmp_path / f"results{number}"
        worker = start(stream, results=results)
        wait_status(results, "running")
        time.sleep(delay)
        worker.send_signal(signal.SIGINT)
        assert exit_code(worker, 10) == 130
        assert not podman.left()
        assert not list(no_leftovers.iterdir())


def test_prompts_are_answered_and_answers_are_not_shown(engine: Engine, make_dir: DirFactory, tmp_path: Path) -> None:
    """Not even by a program that does not care."""
    careless = 'sh -c \'printf "Name: "; read name; printf "Word: "; read word; echo; echo "$name ${#word}"\''
    directory = make_dir(args=careless)
    done = work(in_isolation(engine, directory, passwords={"Name:": "ada", "Word:": "sesame-open"}))
    assert done.returncode == 0
    text = plain(processed(done.stdout, tmp_path))
    assert "ada 11" in text
    assert "sesame" not in text


def test_ansible_asks_and_is_answered(engine: Engine, make_dir: DirFactory) -> None:
    play = (
        "- hosts: all\n  gather_facts: false\n  vars_prompt:\n    - {name: word, prompt: Say the word, private: true}\n"
        "  tasks:\n    - assert: {that: word == 'sesame'}\n"
    )
    done = work(in_isolation(engine, make_dir(play, env__passwords='{"Say the word:\\\\s*$": "sesame"}')))
    assert done.returncode == 0
    assert b"sesame'" not in done.stdout


@pytest.mark.skipif(shutil.which("ssh-agent") is None, reason="needs ssh-agent (Debian: openssh-client)")
def test_an_ssh_key_reaches_the_agent(engine: Engine, make_dir: DirFactory, tmp_path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "word", "-f", tmp_path / "key"], check=True)
    directory = make_dir(tasks("command: ssh-add -l\nregister: keys", "debug: {msg: '{{ keys.stdout }}'}"))
    key = (tmp_path / "key").read_text()
    done = work(in_isolation(engine, directory, ssh_key=key, passwords={"Enter passphrase for .*:": "word"}))
    assert done.returncode == 0
    assert b"ED25519" in done.stdout
    assert key.splitlines()[1].encode() not in done.stdout
    assert not (processed(done.stdout, tmp_path / "after") / "ssh_key_data").exists()


def test_the_fact_cache_reaches_an_isolated_job_and_comes_back(
    engine: Engine, make_dir: DirFactory, tmp_path: Path
) -> None:
    """As plain files, whichever ansible-core the image has."""
    play = tasks("assert: {that: ansible_facts.old == 'kept'}", "set_fact: {new: found, cacheable: true}")
    directory = make_dir(play, artifacts__job__fact_cache__localhost='{"old": "kept"}')
    done = work(in_isolation(engine, directory))
    assert done.returncode == 0, done.stdout
    artifacts = processed(done.stdout, tmp_path)
    assert json.loads((artifacts / "fact_cache" / "localhost").read_text())["new"] == "found"
    assert json.loads((artifacts / "fact_cache_modified.json").read_text())["modified_files"] == ["localhost"]


def test_two_jobs_at_once_do_not_meet(engine: Engine, make_dir: DirFactory, tmp_path: Path) -> None:
    """Not even with one ident."""
    streams = [in_isolation(engine, make_dir(args=f"sh -c 'sleep 1; echo {name}'", name=name)) for name in "ab"]
    results = [tmp_path / f"results-{name}" for name in "ab"]
    workers = [start(stream, results=result) for stream, result in zip(streams, results, strict=True)]
    assert [worker.wait(90) for worker in workers] == [0, 0]
    for name, result in zip("ab", results, strict=True):
        assert plain(processed(result.read_bytes(), tmp_path / f"after-{name}")).strip() == name


def test_a_managed_host_cannot_forge_events(engine: Engine, make_dir: DirFactory) -> None:
    """No key of an event is to be seen inside, once Ansible has read it."""
    look = "shell: 'env | grep RECEPTOR_RUNNER_KEY_FILE; cat $RECEPTOR_RUNNER_KEY_FILE'\nignore_errors: true"
    done = work(in_isolation(engine, make_dir(tasks(f"{look}\nregister: seen", "debug: {var: seen.stderr}"))))
    assert b"No such file" in done.stdout


def test_no_value_of_the_environment_is_on_a_command_line_or_in_a_file(
    podman: Podman, make_dir: DirFactory, tmp_path: Path
) -> None:
    """Nor does the job's environment change the engine, or the engine's the job."""
    values = {"API_TOKEN": "s3cr3t-value-1\nof two lines", "HTTPS_PROXY": "http://u:s3cr3t-value-2@proxy"}
    values |= {"PATH": "/opt/mine:/usr/local/bin:/usr/bin:/bin", "LD_LIBRARY_PATH": "/opt/mine", "HOME": "/home/runner"}
    show = 'sh -c \'echo "$API_TOKEN|$HTTPS_PROXY|$PATH|$LD_LIBRARY_PATH|$HOME|$WORKERS_OWN|"; echo rea""dy; until test -e /runner/go; do sleep 0.1; done\''
    directory = tmp_path / "place"
    results = tmp_path / "results"
    stream = in_isolation(podman, make_dir(args=show), envvars=values)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORKERS_OWN", "x")
        worker = start(stream, "--private-data-dir", str(directory), results=results)
    wait_for(lambda: b"ready" in results.read_bytes(), "the command runs")
    words = [word for process in processes_with(str(directory)) for word in process.cmdline()]
    files = [path.read_bytes() for path in directory.rglob("*") if path.is_file() and path.name != "stdout"]
    files = [content for content in files if b'"counter"' not in content]
    (directory / "go").write_text("")
    assert exit_code(worker, 90) == 0
    assert any("podman" in word for word in words)
    for secret in ("s3cr3t-value-1", "s3cr3t-value-2"):
        assert not [word for word in words if secret in word]
        assert not [content for content in files if secret.encode() in content]
    text = plain(processed(results.read_bytes(), tmp_path / "after"))
    assert text.split("|")[0].replace("\r", "") == values["API_TOKEN"]
    assert text.split("|")[1:6] == [values[n] for n in ("HTTPS_PROXY", "PATH", "LD_LIBRARY_PATH", "HOME")] + [""]


def test_the_environment_of_a_job_does_not_act_outside(
    engine: Engine, make_dir: DirFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it would make the loader, a shell or a search for programs do on the worker's side."""
    trap = tmp_path / "bin"
    trap.mkdir()
    for name in ("bwrap", "podman", "runc", "conmon"):
        (trap / name).write_text(f"#!/bin/sh\ntouch {tmp_path}/escaped\n")
        (trap / name).chmod(0o755)
    (trap / "rc").write_text(f"touch {tmp_path}/escaped\n")
    wrapper = tmp_path / f"{engine.kind}-wrapper"
    wrapper.write_text(f'#!/bin/bash\nexec {shutil.which(engine.kind)} "$@"\n')
    wrapper.chmod(0o755)
    own = {"PATH": f"{trap}:/usr/bin:/bin", "BASH_ENV": f"{trap}/rc", "ENV": f"{trap}/rc", "LD_PRELOAD": "/none.so"}
    settings = engine.settings(process_isolation_executable=str(wrapper))
    done = work(job(make_dir(args="sh -c 'echo \"<$PATH $BASH_ENV $ENV>\"'"), envvars=own, **settings))
    assert done.returncode == 0
    assert not (tmp_path / "escaped").exists()
    text = plain(processed(done.stdout, tmp_path / "after"))
    assert f"{own['PATH']} {own['BASH_ENV']} {own['ENV']}>" in text


def test_a_sandbox_can_show_everything(sandbox: Engine, make_dir: DirFactory) -> None:
    """For who only wants processes of its own."""
    directory = make_dir(tasks("debug: {msg: hello}"))
    assert work(job(directory, **sandbox.settings(process_isolation_show_paths=["/"]))).returncode == 0


def test_volumes_are_mounted_as_asked(podman: Podman, make_dir: DirFactory, tmp_path: Path) -> None:
    for name in ("readable", "writable"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "content").write_text(name)
    mounts = [f"{tmp_path}/readable:/mnt/readable:ro", f"{tmp_path}/writable:/mnt/writable:z"]
    show = "sh -c 'cat /mnt/*/content; echo new > /mnt/writable/new; echo new > /mnt/readable/new'"
    done = ours(
        "run", make_dir(args=show), "--container-image", podman.settings()["container_image"],
        *(word for mount in mounts for word in ("--container-volume-mount", mount)), "--container-option=--env=X=1",
        "--container-workdir", "/mnt",
    )  # fmt: skip
    assert b"readablewritable" in done.stdout
    assert b"Read-only file system" in done.stdout
    assert (tmp_path / "writable" / "new").read_text() == "new\n"
    assert not (tmp_path / "readable" / "new").exists()


def test_a_local_run_isolates_too_and_finds_what_lies_elsewhere(
    engine: Engine, make_dir: DirFactory, tmp_path: Path
) -> None:
    """Project, artifacts, roles, inventories and variables need not be in the private data dir."""
    directory = make_dir(None)
    role = tmp_path / "roles" / "greet" / "tasks"
    role.mkdir(parents=True)
    (role / "main.yml").write_text("- debug: {msg: 'hello {{ who }} {{ inventory_hostname }} {{ how }}'}\n")
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "site.yml").write_text("- {hosts: far, gather_facts: false, roles: [greet]}\n")
    (tmp_path / "elsewhere" / "group_vars").mkdir(parents=True)
    (tmp_path / "elsewhere" / "hosts").write_text("[far]\none ansible_connection=local\n")
    (tmp_path / "elsewhere" / "group_vars" / "all.yml").write_text("who: world\n")
    (tmp_path / "more").write_text("[far]\ntwo ansible_connection=local\n")
    (tmp_path / "how.yml").write_text("how: loudly\n")
    runner = receptor_runner.run(
        private_data_dir=str(directory),
        project_dir=str(tmp_path / "project"),
        artifact_dir=str(tmp_path / "results"),
        roles_path=str(tmp_path / "roles"),
        inventory=[str(tmp_path / "elsewhere" / "hosts"), str(tmp_path / "more")],
        extravars=str(tmp_path / "how.yml"),
        playbook="site.yml",
        ident="job",
        quiet=True,
        **engine.settings(),
    )
    text = plain(tmp_path / "results" / "job")
    assert runner.status == "successful", text
    assert "hello world one loudly" in text
    assert "hello world two loudly" in text
    assert engine.around(tmp_path / "results" / "job")
    assert sorted(path.name for path in directory.iterdir()) == ["inventory", "project"]
    assert not list((directory / "project").iterdir())
    assert not list(directory.glob(".receptor*"))


def test_a_private_data_dir_behind_a_link(engine: Engine, make_dir: DirFactory, tmp_path: Path) -> None:
    """It is there by both names."""
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "real").mkdir()
    done = work(
        in_isolation(engine, make_dir(tasks("debug: {msg: hello}"))), "--private-data-dir", f"{tmp_path}/link/p"
    )
    assert done.returncode == 0
    assert "ok=1" in plain(processed(done.stdout, tmp_path / "after"))


def test_a_command_ends_as_it_likes(engine: Engine, make_dir: DirFactory) -> None:
    """Only what an engine says itself is taken for a fault of it."""
    for code in (125, 126, 127, 130):
        done = work(in_isolation(engine, make_dir(args=f"sh -c 'echo Error: mine; echo more; exit {code}'")))
        assert statuses(done.stdout)[-1]["status"] == "failed"


def test_a_sandbox_shows_what_it_is_told(sandbox: Engine, make_dir: DirFactory, tmp_path: Path) -> None:
    """The inner of two rules counts; what is hidden is empty."""
    for name in ("hidden", "readable", "shown"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "content").write_text(f"<{name}>")
    script = (
        f"cd {tmp_path}; cat hidden/content readable/content shown/content; ls demo/private; echo x > readable/x; "
        "echo x > shown/x; echo home > $HOME/x && cat $HOME/x; echo $TMPDIR; ls -d /root/.pyenv /var /home/*"
    )
    directory = make_dir(args=f"sh -c {shlex.quote(script)}", private__secret="<private>")
    place = tmp_path / "sandbox"
    place.mkdir()
    hide = [tmp_path / "hidden" / "content", directory / "private", "/nowhere"]
    runner = receptor_runner.run(
        private_data_dir=str(directory),
        ident="job",
        quiet=True,
        **sandbox.settings(
            process_isolation_path=str(place),
            process_isolation_show_paths=[str(tmp_path / "shown"), str(tmp_path / "hidden")],
            process_isolation_ro_paths=[str(tmp_path / "readable")],
            process_isolation_hide_paths=list(map(str, hide)),
        ),
    )
    assert runner.rc is not None
    text = plain(directory / "artifacts" / "job")
    assert "<readable><shown>" in text
    assert "<hidden>" not in text
    assert "secret" not in text
    assert "Permission denied" not in text
    assert "home" in text
    assert "Read-only file system" in text
    assert (tmp_path / "shown" / "x").exists()
    assert f"{place}/rr-" in text
    assert not list(place.iterdir())


def test_a_job_can_run_on_a_copy_of_its_project(engine: Engine, make_dir: DirFactory, tmp_path: Path) -> None:
    copies = tmp_path / "copies"
    copies.mkdir()
    play = tasks("copy: {content: x, dest: '{{ playbook_dir }}/made'}", "stat: {path: '{{ playbook_dir }}/made'}")
    directory = make_dir(play)
    runner = receptor_runner.run(
        private_data_dir=str(directory), playbook="test.yml", quiet=True, **engine.settings(),
        directory_isolation_base_path=str(copies),
    )  # fmt: skip
    assert runner.status == "successful"
    assert not (directory / "project" / "made").exists()
    assert not list(copies.iterdir())


def test_no_engine_process_is_left_running(podman: Podman, make_dir: DirFactory) -> None:
    assert work(in_isolation(podman, make_dir(args="true"))).returncode == 0
    graph = str(podman.directory)
    assert not [p for p in psutil.process_iter(["cmdline"]) if graph in " ".join(p.info["cmdline"] or ())]


@pytest.mark.skipif(os.geteuid() == 0, reason="only a rootless podman gives files to users that are not ours")
def test_files_of_other_users_inside_are_removed_too(podman: Podman, make_dir: DirFactory, no_leftovers: Path) -> None:
    give = "import os; os.mkdir('/runner/theirs', 0o700); open('/runner/theirs/x', 'w').close(); "
    give += "os.chown('/runner/theirs/x', 1000, 0); os.chown('/runner/theirs', 1000, 0)"
    done = work(in_isolation(podman, make_dir(args=f"{os.path.realpath(sys.executable)} -c {shlex.quote(give)}")))
    assert done.returncode == 0
    assert not list(no_leftovers.iterdir())


def test_a_container_that_somebody_kills_is_an_error(podman: Podman, make_dir: DirFactory, tmp_path: Path) -> None:
    """As the kernel does when memory is short."""
    results = tmp_path / "results"
    worker = start(in_isolation(podman, make_dir(args=POLITE)), results=results)
    wait_for(lambda: b"ready" in results.read_bytes(), "the command runs")
    podman("kill", *podman.left())
    assert exit_code(worker, 90) == 70
    assert last_status(results) == "error"
    assert "SIGKILL" in statuses(results.read_bytes())[-1]["job_explanation"]


def test_sigkill_of_the_guard_leaves_no_container(podman: Podman, make_dir: DirFactory, tmp_path: Path) -> None:
    results = tmp_path / "results"
    worker = start(in_isolation(podman, make_dir(args=POLITE)), results=results)
    wait_for(lambda: b"ready" in results.read_bytes(), "the command runs")
    guard_of(worker.pid).kill()
    assert exit_code(worker, 90) == 70
    assert not podman.left()


def test_a_container_that_is_left_from_a_lost_machine_is_replaced(
    podman: Podman, make_dir: DirFactory, tmp_path: Path
) -> None:
    """In a place that is used again its name is taken."""
    stream = in_isolation(podman, make_dir(args="true"))
    place = str(tmp_path / "place")
    done = work(stream, "--private-data-dir", place)
    words = statuses(done.stdout)[0]["command"]
    podman("create", "--name", words[words.index("--name") + 1], podman.settings()["container_image"], "true")
    assert work(stream, "--private-data-dir", place).returncode == 0


def cancelled_with(
    engine: str, podman: Podman, make_dir: DirFactory, tmp_path: Path
) -> tuple[dict[str, Any], subprocess.Popen[bytes]]:
    """The last status of a job that runs by a program in an engine's place and is cancelled, and its worker."""
    program = tmp_path / "podman"
    program.write_text(f"#!/bin/sh\n{engine}\n")
    program.chmod(0o755)
    results = tmp_path / "results"
    settings = podman.settings(process_isolation_executable=str(program))
    worker = start(job(make_dir(args=STUBBORN), **settings), results=results)
    wait_for(lambda: b"ready" in results.read_bytes(), "the command runs")
    sent = Stopwatch()
    worker.send_signal(signal.SIGINT)
    wait_for(lambda: results.read_bytes().endswith(END_OF_STREAM), "the end is told")
    assert sent.seconds() < 9
    return statuses(results.read_bytes())[-1], worker


def test_a_cancelled_job_is_canceled_although_its_engine_hangs(
    podman: Podman, make_dir: DirFactory, tmp_path: Path, no_leftovers: Path
) -> None:
    """A busy machine's engine takes long to answer. The container's monitor shows that it is gone."""
    engine = f'[ "$1" = run ] || [ -e {tmp_path}/well ] || sleep 30\nexec podman "$@"'
    final, worker = cancelled_with(engine, podman, make_dir, tmp_path)
    assert final["status"] == "canceled"
    (tmp_path / "well").write_text("")
    assert exit_code(worker, 90) == 130

    def removed() -> bool:
        """A busy engine may be at it still."""
        left = podman.left()
        return not left or (
            podman("rm", "--force", "--time", "0", *left, check=False).returncode == 0 and not podman.left()
        )

    wait_for(removed, "the container is removed")


def test_an_engine_that_does_not_say_whether_its_container_is_gone_is_an_error(
    podman: Podman, make_dir: DirFactory, tmp_path: Path, no_leftovers: Path
) -> None:
    """Its containers run elsewhere, and their monitors too: an error that names the container, and it is told in
    time.
    """
    engine = """[ "$1" = run ] || exec sleep 30
while [ "$1" != --cidfile ]; do shift; done
echo 0123 >"$2"
echo ready
exec sleep 300"""
    final, worker = cancelled_with(engine, podman, make_dir, tmp_path)
    assert final["status"] == "error"
    assert "ansible_runner_job_" in final["job_explanation"]
    assert exit_code(worker, 90) == 70


def test_the_first_events_and_the_last_are_never_lost(engine: Engine, make_dir: DirFactory) -> None:
    """An engine that ends with its container may lose what was said last."""
    stream = in_isolation(engine, make_dir(tasks("debug: {msg: hello}")))
    for _ in range(5):
        done = work(stream)
        found = [
            event["event"] for event in (json.loads(line) for line in done.stdout.split(b"\n") if b'"event"' in line)
        ]
        assert found[0] == "playbook_on_start"
        assert found[-1] == "playbook_on_stats"


def test_nothing_of_ours_is_in_the_image(podman: Podman) -> None:
    image = podman.settings()["container_image"]
    done = podman("run", "--rm", image, os.path.realpath(sys.executable), "-c", "import receptor_runner", check=False)
    assert "ModuleNotFoundError" in done.stderr
