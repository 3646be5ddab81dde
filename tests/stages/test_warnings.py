"""What somebody should know about a job reaches whoever submitted it, and changes nothing about how the job ended."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import receptor_runner
from tests.support.commands import OURS, ours
from tests.support.jobs import job, start, statuses, wait_running, work
from tests.support.private_data import DirFactory, tasks
from tests.support.processes import exit_code

pytestmark = pytest.mark.slow


def both_ends(directory: Path, into: Path, *arguments: str, **parameters: Any) -> tuple[int, str, bytes]:
    """The exit status of ``process``, what it says on standard error, and the worker's stream."""
    stream = work(job(directory, **parameters), *arguments).stdout
    done = ours("process", into, "-q", input=stream)
    return done.returncode, done.stderr.decode(), stream


def test_artifacts_that_cannot_travel_are_named(make_dir: DirFactory, tmp_path: Path) -> None:
    directory = make_dir(
        tasks(
            "shell: cd $AWX_ISOLATED_DATA_DIR; mkfifo pipe; touch $(printf 'a\\377'); ln -s /etc/passwd link\n"
            'environment: {AWX_ISOLATED_DATA_DIR: \'{{ lookup("env", "AWX_ISOLATED_DATA_DIR") }}\'}'
        )
    )
    code, said, _ = both_ends(directory, tmp_path / "out")
    assert code == 0
    assert "WARNING: not all artifacts came back: a\\xff left out: its name is not UTF-8, and 1 more" in said


def test_what_a_job_leaves_on_a_node_is_counted_in_one_line(make_dir: DirFactory, tmp_path: Path) -> None:
    mark = f"{os.getpid()}7"
    directory = make_dir(
        tasks(
            "copy: {content: x, dest: '{{ playbook_dir }}/made.txt'}",
            "copy: {content: x, dest: '{{ playbook_dir }}/../other.txt'}",
            f"shell: nohup sleep {mark} >/dev/null 2>&1 &",
        )
    )
    code, said, _ = both_ends(directory, tmp_path / "out")
    assert code == 0
    assert said.count("\n") == 1
    assert "the job has left 2 file(s) (other.txt, ...) outside of the artifacts" in said
    assert "and 1 process(es) running, which were stopped" in said
    kept = tmp_path / "kept"
    assert "file(s)" not in both_ends(directory, tmp_path / "out", "--private-data-dir", str(kept))[1]
    assert (kept / "other.txt").exists()


def test_a_quiet_job_warns_about_nothing(make_dir: DirFactory, tmp_path: Path) -> None:
    assert both_ends(make_dir(tasks("setup: ", "command: echo")), tmp_path / "out")[:2] == (0, "")


def test_a_limit_that_is_no_number_is_told(make_dir: DirFactory, tmp_path: Path) -> None:
    code, said, _ = both_ends(make_dir(tasks("debug: ")), tmp_path / "out", envvars={"MAX_EVENT_RES": "700k"})
    assert code == 0
    assert "MAX_EVENT_RES is '700k' and not a number of bytes" in said


def test_a_job_without_our_plugin_says_so(make_dir: DirFactory, tmp_path: Path) -> None:
    """Something in Ansible's environment keeps the plugin from its key."""
    library = tmp_path / "library"
    library.mkdir()
    (library / "sitecustomize.py").write_text(
        "import builtins\n"
        "real = builtins.open\n"
        "def opened(*args, **kwargs):\n"
        "    if kwargs.get('encoding') == 'ascii': raise OSError('no')\n"
        "    return real(*args, **kwargs)\n"
        "builtins.open = opened\n"
    )
    directory = make_dir(tasks("debug: "))
    code, said, stream = both_ends(directory, tmp_path / "out", envvars={"PYTHONPATH": str(library)})
    assert code == 0
    assert b'"runner_on_ok"' not in stream
    assert "the job has no events: Ansible did not load the callback plugin" in said
    syntax = {"cmdline": "--syntax-check", "envvars": {"PYTHONPATH": str(library)}}
    assert both_ends(directory, tmp_path / "syntax", **syntax)[:2] == (0, "")


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"timeout": 1}, "after its time limit of 1 s"),
        ({"settings": {"idle_timeout": 1}}, "after 1 s without output"),
    ],
)
def test_a_timeout_says_which(limits: dict[str, Any], words: str, make_dir: DirFactory, tmp_path: Path) -> None:
    directory = make_dir(tasks("command: sleep 60"))
    code, said, stream = both_ends(directory, tmp_path / "out", **limits)
    assert (code, statuses(stream)[-1]["status"]) == (124, "timeout")
    assert words in said
    runner = receptor_runner.run(private_data_dir=directory, playbook="test.yml", quiet=True, **limits)
    assert runner.verdict is not None
    assert (runner.status, runner.rc) == ("timeout", 254)
    assert words in str(runner.verdict.explanation)


def test_a_cancel_from_elsewhere_is_told_as_such(make_dir: DirFactory, tmp_path: Path) -> None:
    worker = start(job(make_dir(tasks("command: sleep 60"))), results=tmp_path / "results")
    wait_running(tmp_path / "results")
    worker.send_signal(signal.SIGINT)
    assert exit_code(worker, 30) == 130
    done = ours("process", tmp_path / "out", "-q", "--in", tmp_path / "results")
    assert done.returncode == 130
    assert b"cancelled, and not by this follower" in done.stderr


def test_a_reader_that_takes_its_time_is_no_idle_job(make_dir: DirFactory) -> None:
    """The job says a lot in a second, and then waits for its output to be taken."""
    say = "import sys; [sys.stdout.write('y' * 99 + chr(10)) for _ in range(120000)]"
    stream = job(
        make_dir(), playbook=None, binary=sys.executable, cmdline=shlex.join(["-c", say]), settings={"idle_timeout": 2}
    )
    with subprocess.Popen([*OURS, "worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as worker:
        assert worker.stdin is not None
        assert worker.stdout is not None
        worker.stdin.write(stream)
        worker.stdin.close()
        taken = worker.stdout.read(65536)
        time.sleep(5)  # this is the slow reader
        taken += worker.stdout.read()
        assert exit_code(worker, 30) == 0
    assert statuses(taken)[-1]["status"] == "successful"


def test_the_line_before_a_prompt_is_seen_while_the_job_waits(make_dir: DirFactory, tmp_path: Path) -> None:
    script = tmp_path / "ask"
    script.write_text("#!/bin/sh\necho first\nprintf 'Passphrase for key: '\nread answer\necho got\n")
    script.chmod(0o755)
    results = tmp_path / "results"
    worker = start(job(make_dir(), playbook=None, binary=str(script), settings={"idle_timeout": 5}), results=results)
    assert exit_code(worker, 30) == 124
    lines = [line for line in results.read_bytes().splitlines() if b'"counter"' in line]
    told = [(line["stdout"], line["start_line"], line["end_line"]) for line in map(json.loads, lines)]
    assert told[:2] == [("first", 0, 1), ("Passphrase for key: ", 1, 1)]


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("argument", "the argument 'yyyy"),
        ("arguments", "environment variables of"),
        ("environment", "40 environment variables"),
        ("nothing", "its first line does not name an interpreter"),
        ("interpreter", "its interpreter /no/such/thing does not exist"),
        ("return", "ends with a carriage return: '/bin/sh\\r'"),
        ("missing", "give its whole path, or set PATH"),
    ],
)
def test_what_cannot_be_started_is_78_and_named(how: str, words: str, make_dir: DirFactory, tmp_path: Path) -> None:
    head = {"nothing": "", "interpreter": "#!/no/such/thing -x\n", "return": "#!/bin/sh\r\n"}.get(how, "#!/bin/sh\n")
    script = tmp_path / "script"
    script.write_bytes(head.encode() + b"echo\n")
    script.chmod(0o755)
    parameters: dict[str, Any] = {"binary": str(script)}
    if how == "argument":
        parameters["cmdline"] = "y" * 140_000
    elif how == "arguments":
        parameters["cmdline"] = "a-word-of-some-length " * 200_000
    elif how == "environment":
        parameters["envvars"] = {f"V{number}": "x" * 120_000 for number in range(30)}
    elif how == "missing":
        parameters["binary"] = "/nowhere/at-all"
    done = work(job(make_dir(), playbook=None, **parameters))
    last = statuses(done.stdout)[-1]
    assert (last["status"], done.returncode) == ("error", 78)
    assert words.replace("40 environment", "") in last["job_explanation"]


def test_a_missing_agent_is_not_a_missing_ansible(make_dir: DirFactory, tmp_path: Path) -> None:
    done = work(
        job(make_dir(tasks("debug: ")), ssh_key="KEY", envvars={"PATH": str(tmp_path)}),
    )
    said = statuses(done.stdout)[-1]["job_explanation"]
    assert "install the client of OpenSSH" in said
    assert "ansible-core" not in said
