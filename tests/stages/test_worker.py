"""The worker: runs what it is given, in any environment, and never leaves the stream without an end."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from receptor_runner.errors import UsageError
from receptor_runner.stream.codec import END_OF_STREAM, encode
from receptor_runner.system.deletable import check_deletable
from tests.support.commands import CHILDREN, OURS
from tests.support.jobs import job, processed, statuses, work
from tests.support.private_data import INVENTORY, DirFactory, tasks
from tests.support.processes import Stopwatch, exit_code, guard_of, processes_with, wait_for
from tests.support.streams import events_of, stream_lines

PLAY = tasks("debug: {msg: hello}")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stream", "code", "text"),
    [
        (b"", 76, "Failed to JSON parse a line from transmit stream. the stream ended at byte 0"),
        (b"ssh: no route\n", 76, "ssh: no route"),
        (job.__doc__.encode() * 9 if job.__doc__ else b"", 76, "Failed to JSON parse"),
        (encode({"kwargs": {"playbook": "x"}}), 76, "before its end mark"),
        (encode({"kwargs": {}}) + b'{"zipfile": 100}\nAAAA', 76, "inside an archive"),
        (
            encode({"kwargs": {}}) + b'{"zipfile": 3}\nAAAA' + END_OF_STREAM,
            76,
            "Failed to extract private data directory on worker.",
        ),
        (END_OF_STREAM, 66, "no parameters"),
        (encode({"kwargs": [1]}) + END_OF_STREAM, 66, "no parameters"),
        (encode({"kwargs": {"passwords": "no"}}) + END_OF_STREAM, 78, "passwords"),
        (encode({"kwargs": {"playbook": {"a": 1}, "passwords": {"(": "x"}}}) + END_OF_STREAM, 78, "regular expression"),
        (encode({"kwargs": {"ident": "../x", "module": "ping"}}) + END_OF_STREAM, 78, "ident"),
        (encode({"kwargs": {}}) + END_OF_STREAM, 78, "Runner playbook required"),
        (encode({"kwargs": {"module": "ping", "timeout": "soon"}}) + END_OF_STREAM, 78, "timeout"),
        (encode({"kwargs": {"module": "ping", "process_isolation": True}}) + END_OF_STREAM, 78, "isolation"),
        (encode({"kwargs": {"module": "ping", "timeout": -5}}) + END_OF_STREAM, 78, "timeout"),
        (encode({"kwargs": {"module": "ping", "timeout": float("nan")}}) + END_OF_STREAM, 78, "timeout"),
        (encode({"kwargs": {"module": "ping", "extravars": [1]}}) + END_OF_STREAM, 78, "extravars"),
        (encode({"kwargs": {"module": "ping", "inventory": [["a"]]}}) + END_OF_STREAM, 78, "inventory"),
        (encode({"kwargs": {"module": "ping", "verbosity": "much"}}) + END_OF_STREAM, 78, "verbosity"),
        (encode({"kwargs": {"module": "ping", "ssh_key": 5}}) + END_OF_STREAM, 78, "ssh_key"),
        (encode({"kwargs": {"module": "ping", "limit": "\ud800"}}) + END_OF_STREAM, 78, "UTF-8"),
        (
            encode({"kwargs": {"binary": "/nowhere/ansible"}}) + END_OF_STREAM,
            78,
            "The command was not found or was not executable",
        ),
    ],
)
def test_what_cannot_run_is_an_error_status_with_its_reason(
    stream: bytes, code: int, text: str, no_leftovers: Path
) -> None:
    done = work(stream)
    last = statuses(done.stdout)[-1]
    assert (last["status"], done.returncode) == ("error", code)
    assert text in last["job_explanation"]
    assert last["result_traceback"]


@pytest.mark.slow
@pytest.mark.parametrize(("number", "name"), [(9, "SIGKILL"), (40, "signal 40")])
def test_a_command_that_somebody_kills_is_an_error_with_its_reason(
    number: int, name: str, make_dir: DirFactory, no_leftovers: Path
) -> None:
    """And what the worker has said on standard error meanwhile is in there: a controller has nothing else."""
    mark = f"{os.getpid()}.5"
    directory = make_dir(tasks(f"command: sleep {mark}"))
    facts = directory / "artifacts" / "j" / "fact_cache" / "h1"
    facts.parent.mkdir(parents=True)
    facts.write_text('{"__ansible')
    worker = subprocess.Popen([*OURS, "worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert worker.stdin is not None
    worker.stdin.write(job(directory, ident="j"))
    worker.stdin.flush()

    wait_for(lambda: [one for one in processes_with(mark) if one.name() == "sleep"], "the task runs")
    (ansible,) = guard_of(worker.pid).children()
    os.kill(ansible.pid, number)
    results, errors = worker.communicate(timeout=90)
    last = statuses(results)[-1]
    assert (last["status"], worker.returncode, errors) == ("error", 70, b"")
    assert f"killed from outside of this job by {name}" in last["job_explanation"]
    core = tuple(map(int, version("ansible-core").split(".")[:2]))
    said = "the facts of h1 cannot be used" in last["result_traceback"]
    assert said == (core >= (2, 19)), "an older one gets the facts as they are"
    assert results.endswith(END_OF_STREAM)


def test_wrong_options_are_an_error_status_too() -> None:
    done = work(b"", "--delete")
    assert (statuses(done.stdout)[-1]["status"], done.returncode) == ("error", 64)


@pytest.mark.slow
def test_a_worker_runs_in_the_bare_environment_of_a_daemon(make_dir: DirFactory, tmp_path: Path) -> None:
    """No HOME, no locale, no PATH that finds Ansible, no terminal, a working directory that is gone."""
    directory = make_dir(tasks("debug: {msg: \"ünïcode {{ lookup('env', 'HOME') }}\"}"))
    gone = tmp_path / "gone"
    gone.mkdir()
    code = "import os, sys; os.rmdir(os.getcwd()); os.execve(sys.executable, sys.argv[1:], {'LANG': 'C', 'PATH': '/bin:/usr/bin'})"
    done = subprocess.run(
        [sys.executable, "-c", code, sys.executable, "-m", "receptor_runner", "worker"],
        input=job(directory), capture_output=True, cwd=gone, check=False, timeout=60,
    )  # fmt: skip
    assert done.stderr == b""
    assert statuses(done.stdout)[-1]["status"] == "successful"
    assert any("ünïcode /" in line.get("stdout", "") for line in stream_lines(done.stdout))


@pytest.mark.slow
def test_secrets_are_masked_in_what_is_sent_and_not_in_what_the_job_sees(make_dir: DirFactory) -> None:
    seen = "\n".join(f"{{{{ lookup('env', '{name}') }}}}" for name in ("MY_TOKEN", "INNOCENT", "PLAIN"))
    directory = make_dir(
        tasks(
            f"copy:\n  content: |\n    {seen.replace(chr(10), chr(10) + '    ')}\n  dest: '{{{{ playbook_dir }}}}/../seen'"
        )
    )
    envvars = {"MY_TOKEN": "tok", "INNOCENT": "has my-long-password inside", "PLAIN": "plain"}
    stream = job(
        directory, envvars=envvars, passwords={"never asked": "my-long-password"}, cmdline="-e p=my-long-password"
    )
    target = directory / "work"
    done = work(stream, "--private-data-dir", str(target))
    starting = statuses(done.stdout)[0]
    assert starting["env"]["MY_TOKEN"] == "**********"
    assert starting["env"]["INNOCENT"] == "has ********** inside"
    assert starting["env"]["PLAIN"] == "plain"
    assert b"my-long-password" not in done.stdout
    assert "my-long-password" not in (target / "artifacts" / "job" / "command").read_text()
    assert (target / "seen").read_text() == "tok\nhas my-long-password inside\nplain\n"


@pytest.mark.slow
def test_extra_variables_are_not_in_the_process_list(make_dir: DirFactory) -> None:
    directory = make_dir(tasks("debug: {msg: '{{ word }}'}"), env__extravars="x: 1")
    done = work(job(directory, extravars={"word": "magic"}))
    assert "magic" not in str(statuses(done.stdout)[0]["command"])
    assert any('"msg": "magic"' in line.get("stdout", "") for line in stream_lines(done.stdout))


@pytest.mark.slow
def test_files_and_parameters_win_in_the_order_of_ansible_runner(make_dir: DirFactory) -> None:
    """Files win over parameters, except for the command line; a settings parameter without a file counts."""
    directory = make_dir(
        tasks("debug: {msg: \"{{ lookup('env', 'A') }} {{ lookup('env', 'B') }} {{ x }}\"}"),
        env__envvars="A: file\n", env__extravars="x: file\n", env__cmdline="--nonsense",
    )  # fmt: skip
    parameters: dict[str, Any] = {
        "envvars": {"A": "kwarg", "B": "kwarg"},
        "extravars": {"x": "kwarg"},
        "cmdline": "--diff",
    }
    done = work(job(directory, **parameters, suppress_env_files=True, settings={"suppress_output_file": True}))
    assert any('"msg": "file kwarg kwarg"' in line.get("stdout", "") for line in stream_lines(done.stdout))
    artifacts = processed(done.stdout, directory)
    names = ["command", "fact_cache", "fact_cache_modified.json", "job_events", "rc", "status"]
    assert sorted(path.name for path in artifacts.iterdir()) == names


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "seconds"),
    [({"job_timeout": 1}, 1.0), ({"idle_timeout": 2}, 2.0)],
    ids=["job timeout", "idle timeout"],
)
def test_time_limits_end_a_job(
    make_dir: DirFactory, settings: dict[str, int], seconds: float, no_leftovers: Path
) -> None:
    directory = make_dir(tasks("command: sleep 50"))
    started, clock = time.monotonic(), Stopwatch()
    done = work(job(directory, settings=settings))
    assert seconds <= time.monotonic() - started
    assert clock.seconds() < seconds + 10
    assert (statuses(done.stdout)[-1]["status"], done.returncode) == ("timeout", 124)
    assert (processed(done.stdout, directory) / "rc").read_text() == "254"


@pytest.mark.slow
@pytest.mark.parametrize("limit", [2_592_000, 1e308, "inf"])
def test_a_time_limit_may_be_long(limit: Any, make_dir: DirFactory) -> None:
    done = work(job(make_dir(PLAY), settings={"idle_timeout": limit}, timeout=limit if limit != "inf" else None))
    assert statuses(done.stdout)[-1]["status"] == "successful"


@pytest.mark.slow
def test_two_jobs_of_one_ident_in_one_directory_both_have_their_events(make_dir: DirFactory, tmp_path: Path) -> None:
    stream = job(make_dir(tasks("command: sleep 1")))
    (tmp_path / "job").write_bytes(stream)
    workers = []
    for _ in range(2):
        with (tmp_path / "job").open("rb") as source:
            workers.append(
                subprocess.Popen(
                    [*OURS, "worker", "--private-data-dir", tmp_path / "work"], stdin=source, stdout=subprocess.PIPE
                )
            )
        time.sleep(0.3)
    for worker in workers:
        assert b"playbook_on_stats" in worker.communicate(timeout=60)[0]


@pytest.mark.slow
def test_several_prompts_are_answered(make_dir: DirFactory) -> None:
    prompts = "".join(f"    - {{name: {name}, prompt: Enter {name}, private: true}}\n" for name in ("one", "two"))
    play = f"- hosts: all\n  gather_facts: false\n  vars_prompt:\n{prompts}  tasks:\n    - assert: {{that: one == 'é1' and two == ''}}\n"
    done = work(job(make_dir(play), passwords={"^Enter two:\\s*$": "", "^Enter one:\\s*$": "é1"}))
    assert statuses(done.stdout)[-1]["status"] == "successful"


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("ssh-agent") is None, reason="needs ssh-agent (Debian: openssh-client)")
def test_an_ssh_key_and_its_certificate_reach_the_agent_and_nothing_else(make_dir: DirFactory, tmp_path: Path) -> None:
    for name in ("ca", "key"):
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "word" if name == "key" else "", "-f", tmp_path / name],
            check=True,
        )
    subprocess.run(["ssh-keygen", "-q", "-s", tmp_path / "ca", "-I", "me", tmp_path / "key.pub"], check=True)
    play = tasks(
        "command: ssh-add -l\nregister: keys", "debug: {msg: '{{ keys.stdout_lines }}'}",
        "command: ls -l {{ lookup('env', 'AWX_ISOLATED_DATA_DIR') }}\nregister: found", "debug: {msg: '{{ found.stdout_lines }}'}",
    )  # fmt: skip
    cert = (tmp_path / "key-cert.pub").read_text()
    directory = make_dir(play, **{"artifacts__job__ssh_key_data-cert.pub": cert})
    key = (tmp_path / "key").read_text()
    done = work(job(directory, ssh_key=key, passwords={"Enter passphrase for .*:": "word"}))
    text = "".join(line.get("stdout", "") for line in stream_lines(done.stdout))
    assert "(ED25519)" in text
    assert "(ED25519-CERT)" in text
    assert "prw-------" not in text
    assert b"OPENSSH PRIVATE KEY" not in done.stdout
    artifacts = processed(done.stdout, directory)
    assert not (artifacts / "ssh_key_data").exists()


@pytest.mark.slow
def test_inventories_of_every_kind_run(make_dir: DirFactory, tmp_path: Path) -> None:
    directory = make_dir(tasks("debug: {msg: '{{ inventory_hostname }} {{ v }}'}"))
    sources = []
    for name in ("one", "two"):
        (tmp_path / name / "host_vars").mkdir(parents=True)
        (tmp_path / name / "host_vars" / name).write_text(f"v: var-{name}\n")
        (tmp_path / name / "hosts").write_text(f"{name} ansible_connection=local\n")
        sources.append(str(tmp_path / name / "hosts"))
    script = tmp_path / "script"
    script.write_text(
        '#!/bin/sh\necho \'{"all": {"hosts": ["three"]}, "_meta": {"hostvars": {"three": {"v": "var-three"}}}}\'\n'
    )
    script.chmod(0o700)
    for inventory, expected in (
        (sources, ["one var-one", "two var-two"]),
        ([*sources, str(script)], ["one var-one", "two var-two", "three var-three"]),
        (str(script), ["three var-three"]),
        ({"all": {"hosts": {"four": {"v": "var-four"}}}}, ["four var-four"]),
        ("five v=var-five\n", ["five var-five"]),
    ):
        done = work(job(directory, inventory=inventory))
        text = "".join(line.get("stdout", "") for line in stream_lines(done.stdout))
        assert [word for word in expected if f'"msg": "{word}"' not in text] == []


@pytest.mark.slow
def test_a_persistent_directory_keeps_its_artifacts_and_nothing_of_ours(make_dir: DirFactory, tmp_path: Path) -> None:
    target = tmp_path / "work"
    stream = job(
        make_dir(),
        playbook=[{"hosts": "all", "gather_facts": False, "tasks": [{"debug": {"msg": "hi"}}]}],
        extravars={"a": 1},
    )
    for _ in range(2):
        assert work(stream, f"--private-data-dir={target}").returncode == 0
    assert sorted(path.name for path in target.iterdir()) == ["artifacts", "env", "inventory", "project"]
    assert list((target / "project").iterdir()) == []
    artifacts = target / "artifacts" / "job"
    assert (artifacts / "rc").read_text() == "0"
    for name in ("stdout", "stderr", "rc", "status", "command"):
        assert stat.S_IMODE((artifacts / name).stat().st_mode) == 0o600


@pytest.mark.slow
def test_delete_clears_before_and_after(make_dir: DirFactory, tmp_path: Path) -> None:
    target = tmp_path / "work"
    (target / "project").mkdir(parents=True)
    (target / "project" / "old.yml").write_text(PLAY)
    done = work(job(make_dir(PLAY)), f"--private_data_dir={target}", "--delete")
    assert done.returncode == 0
    assert not target.exists()
    target.mkdir()
    (target / "project").mkdir()
    (target / "project" / "old.yml").write_text(PLAY)
    done = work(encode({"kwargs": {"playbook": "old.yml"}}) + END_OF_STREAM, f"--private-data-dir={target}", "--delete")
    assert statuses(done.stdout)[-1]["status"] == "failed"
    assert "old.yml could not be found" in (processed(done.stdout, tmp_path / "back") / "stdout").read_text()


@pytest.mark.parametrize(
    "path",
    [
        "",
        ".",
        "/root/.ssh",
        "/run/user/0",
        "/var/lib/docker",
        "/var/log/x",
        "/libx32",
        "/work",
        "/srv/x",
        "/",
        "/home",
        "/usr/lib",
        "/etc/x",
        "/var/lib",
        "/home/somebody",
        "/root",
        "/proc/self",
        "~",
        "LINK",
        "/tmp",
    ],
)
def test_delete_refuses_what_may_be_somebody_elses(path: str, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    path = str(tmp_path / "link") if path == "LINK" else os.path.expanduser(path)
    with pytest.raises(UsageError, match="refuses"):
        check_deletable(path)
    check_deletable(str(tmp_path / "fine"))


@pytest.mark.slow
def test_a_directory_in_use_is_not_deleted(make_dir: DirFactory, tmp_path: Path) -> None:
    target = tmp_path / "work"
    stream = job(make_dir(tasks("command: sleep 3")))
    first = subprocess.Popen(
        [*OURS, "worker", f"--private-data-dir={target}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert first.stdin is not None
    first.stdin.write(stream)
    first.stdin.close()
    wait_for((target / "artifacts" / "job" / "command").exists, "the job has started")
    done = work(stream, f"--private-data-dir={target}", "--delete")
    assert done.returncode == 73
    assert "in use" in statuses(done.stdout)[-1]["job_explanation"]
    assert first.stdout is not None
    with first.stdout as results:
        assert results.read().endswith(END_OF_STREAM)
    assert exit_code(first, 90) == 0


@pytest.mark.slow
def test_two_jobs_share_a_directory(make_dir: DirFactory, tmp_path: Path) -> None:
    target = tmp_path / "work"
    directory = make_dir(tasks("command: sleep 1"))
    workers = []
    for ident in ("a", "b"):
        worker = subprocess.Popen(
            [*OURS, "worker", f"--private-data-dir={target}"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
        )
        assert worker.stdin is not None
        worker.stdin.write(job(directory, ident=ident))
        worker.stdin.close()
        workers.append(worker)
    assert [worker.wait(60) for worker in workers] == [0, 0]
    assert sorted(path.name for path in (target / "artifacts").iterdir()) == ["a", "b"]


@pytest.mark.slow
def test_keep_alives_come_while_nothing_else_does(make_dir: DirFactory) -> None:
    worker = subprocess.Popen(
        [*OURS, "worker", "--keepalive-seconds", "0.3"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    )
    assert worker.stdin is not None
    assert worker.stdout is not None
    alive = b'{"event": "keepalive", "counter": 0, "uuid": 0}\n'
    assert worker.stdout.read(len(alive)) == alive, "before the job has come"
    worker.stdin.write(job(make_dir(tasks("command: sleep 1.5"))))
    worker.stdin.close()
    with worker.stdout as results:
        lines = results.read().split(b"\n")
    assert exit_code(worker, 90) == 0
    running = lines.index(next(line for line in lines if b"runner_on_start" in line))
    assert lines[running + 1 :].count(alive.strip()) >= 3


@pytest.mark.slow
def test_unknown_parameters_are_reported_and_not_fatal(make_dir: DirFactory) -> None:
    stream = job(make_dir(PLAY)).replace(b'{"kwargs": {', b'{"kwargs": {"brand_new": 1, ', 1)
    done = work(stream)
    assert done.returncode == 0
    assert statuses(done.stdout)[0]["receptor_runner"] == {"ignored": ["brand_new"]}


@pytest.mark.slow
def test_the_owners_mark_comes_back_on_the_starting_line(make_dir: DirFactory) -> None:
    stream = job(make_dir(PLAY))
    head, rest = stream.split(b"\n", 1)
    marked = encode({**json.loads(head), "receptor_runner": {"job": "j1"}}) + rest
    assert statuses(work(marked).stdout)[0]["receptor_runner"] == {"job": "j1"}


@pytest.mark.slow
def test_facts_that_a_job_sets_come_back_as_private_files(make_dir: DirFactory) -> None:
    directory = make_dir(tasks("set_fact: {mine: 7, cacheable: true}"))
    artifacts = processed(work(job(directory, fact_cache_type="jsonfile")).stdout, directory)
    (cached,) = list((artifacts / "fact_cache").iterdir())
    assert "mine" in cached.read_text()
    assert stat.S_IMODE(cached.stat().st_mode) == 0o600


@pytest.mark.slow
def test_memory_does_not_grow_with_the_output(make_dir: DirFactory, tmp_path: Path) -> None:
    """40 MB of text in lines, and 20 MB in one line, through a command that is not Ansible."""
    lines, pieces = 400_000, 20_000
    (tmp_path / "noisy.py").write_text(
        f"import sys\nfor n in range({lines}): print('x' * 100)\nfor n in range({pieces}): sys.stdout.write('y' * 1000)\n"
    )
    directory = make_dir(args=f"{sys.executable} {tmp_path}/noisy.py")
    (tmp_path / "job").write_bytes(job(directory, playbook=None))
    results = tmp_path / "results"
    with results.open("wb") as output, (tmp_path / "job").open("rb") as source:
        command = [sys.executable, str(CHILDREN / "peak.py"), str(tmp_path / "peak"), *OURS, "worker"]
        assert subprocess.run(command, stdin=source, stdout=output, check=False, timeout=100).returncode == 0
    assert int((tmp_path / "peak").read_text()) < 64 * 1024, "kB: the largest of worker, guard and command"
    with results.open("rb") as stream:
        verbose = [(line.count(b"x" * 100), line.count(b"y")) for line in stream if b'"verbose"' in line]
    assert sum(count for count, _ in verbose) == lines
    assert sum(count for _, count in verbose) >= pieces * 1000


@pytest.mark.slow
def test_events_of_a_job_in_the_artifacts(make_dir: DirFactory) -> None:
    directory = make_dir(PLAY, inventory=INVENTORY)
    artifacts = processed(work(job(directory)).stdout, directory)
    events = events_of(artifacts)
    assert [event["counter"] for event in events] == list(range(1, len(events) + 1))
    assert events[-1]["event"] == "playbook_on_stats"


@pytest.mark.slow
def test_a_megabyte_of_newlines_is_not_a_million_events(make_dir: DirFactory, tmp_path: Path) -> None:
    command = f'{sys.executable} -c "import sys; sys.stdout.write(chr(10) * 1000000)"'
    done = work(job(make_dir(args=command), ident="j"))
    assert done.stdout.count(b'"event": "verbose"') < 20_000
    artifacts = processed(done.stdout, tmp_path / "back")
    assert (artifacts / "stdout").read_bytes().count(b"\n") == 1_000_000
    assert (artifacts / "rc").read_text() == "0"


@pytest.mark.slow
def test_artifacts_that_shrink_too_much_do_not_make_a_success_a_failure(make_dir: DirFactory, tmp_path: Path) -> None:
    """No receiver takes them: what matters most is sent instead."""
    program = (
        "import os; os.chdir(os.environ['AWX_ISOLATED_DATA_DIR']); open('z', 'wb').write(bytes(1 << 27));"
        "[os.link('z', f'z{n}') for n in range(33)]"
    )
    command = f"{sys.executable} -c {shlex.quote(program)}"
    done = work(job(make_dir(args=command), ident="j"))
    assert done.returncode == 0
    artifacts = processed(done.stdout, tmp_path / "back")
    assert (artifacts / "rc").read_text() == "0"
    assert not (artifacts / "z").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "leave",
    ["mkdir rc", "mkdir -p fact_cache/localhost fact_cache_modified.json", 'cd /; rm -rf "$AWX_ISOLATED_DATA_DIR"'],
)
def test_what_a_job_leaves_in_the_way_does_not_decide_its_status(leave: str, make_dir: DirFactory) -> None:
    script = f'cd "$AWX_ISOLATED_DATA_DIR"; {leave}'
    done = work(job(make_dir(args=f"sh -c {shlex.quote(script)}"), ident="j"))
    assert (done.returncode, statuses(done.stdout)[-1]["status"]) == (0, "successful")


@pytest.mark.slow
@pytest.mark.parametrize("what", ["too long", "no program", "no interpreter"])
def test_a_command_that_can_never_be_started_is_78(what: str, make_dir: DirFactory, tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text("#!/no/such/interpreter\n" if what == "no interpreter" else "\x7fELF nonsense")
    program.chmod(0o755)
    directory = make_dir(tasks("debug: {msg: hello}"), args="" if what == "too long" else str(program))
    if what == "too long":
        (directory / "args").unlink()
    limit = "a," * 100_000 if what == "too long" else None
    done = work(job(directory, ident="j", limit=limit))
    assert done.returncode == 78, statuses(done.stdout)[-1]


@pytest.mark.slow
def test_a_prompt_that_takes_for_ever_is_named(make_dir: DirFactory) -> None:
    command = f"{sys.executable} -c {shlex.quote('print(chr(120) * 2000); import time; time.sleep(30)')}"
    done = work(job(make_dir(args=command), ident="j", passwords={"(x+x+)+y": "a"}))
    assert done.returncode == 78
    assert "password prompt" in statuses(done.stdout)[-1]["job_explanation"]


@pytest.mark.slow
def test_a_worker_whose_starter_ignores_the_ends_of_its_children_ends(make_dir: DirFactory, no_leftovers: Path) -> None:
    done = subprocess.run(
        [*OURS, "worker"],
        input=job(make_dir(tasks("command: echo hello"))),
        capture_output=True,
        check=False,
        timeout=25,
        preexec_fn=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN),
    )
    assert (done.returncode, statuses(done.stdout)[-1]["status"]) == (0, "successful")
