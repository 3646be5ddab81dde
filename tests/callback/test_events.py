"""Job events: every field that controllers read, the user's own output, and nothing that a managed host could have
made."""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands import BIN
from tests.support.frames import event as forged_event
from tests.support.frames import frame
from tests.support.jobs import job, processed, work
from tests.support.private_data import DirFactory, tasks
from tests.support.streams import stream_lines

pytestmark = pytest.mark.slow

EVERYTHING = """
- hosts: all
  gather_facts: true
  vars: {word: secret-word}
  tasks:
    - {name: items, command: "echo {{ item }}", loop: [one, two], notify: handle}
    - {name: hidden, debug: {msg: "{{ word }}"}, no_log: true}
    - {name: hidden items, debug: {msg: "{{ item }}"}, loop: ["{{ word }}"], no_log: true}
    - {name: skipped, debug: {msg: no}, when: false}
    - {name: ignored, command: /bin/false, ignore_errors: true}
    - {name: again, command: "sh -c 'test -e {{ playbook_dir }}/again || { touch {{ playbook_dir }}/again; false; }'",
       register: r, until: r.rc == 0, retries: 2, delay: 0}
    - {name: facts for the controller, set_stats: {data: {answer: 42}}}
    - {name: included, include_tasks: more.yml}
    - block: [{name: fails, fail: {msg: on purpose}}]
      rescue: [{name: rescued, debug: {msg: rescued}}]
  handlers:
    - {name: handle, debug: {msg: handled}}
- hosts: nobody
  tasks: []
"""


@pytest.fixture
def everything(make_dir: DirFactory) -> tuple[list[dict[str, Any]], str]:
    """The events of a job with everything in it, and its stdout artifact."""
    directory = make_dir(EVERYTHING)
    (directory / "project" / "more.yml").write_text("- {name: more, debug: {msg: more}}\n")
    done = work(job(directory, envvars={"JOB_ID": "17"}))
    stdout = (processed(done.stdout, directory) / "stdout").read_bytes().decode()
    return [line for line in stream_lines(done.stdout) if "counter" in line], stdout


def of(events: list[dict[str, Any]], name: str, task: str | None = None) -> list[dict[str, Any]]:
    return [e for e in events if e["event"] == name and (task is None or e["event_data"].get("task") == task)]


def test_events_have_the_fields_and_the_order_of_ansible_runner(everything: tuple[list[dict[str, Any]], str]) -> None:
    events, _ = everything
    assert [e["counter"] for e in events] == list(range(1, len(events) + 1))
    assert len({e["uuid"] for e in events}) == len(events)
    assert events[0]["event"] == "playbook_on_start"
    assert events[-1]["event"] == "playbook_on_stats"
    assert {
        "playbook_on_start", "playbook_on_play_start", "playbook_on_task_start", "playbook_on_notify", "playbook_on_include",
        "playbook_on_no_hosts_matched", "playbook_on_stats", "runner_on_start", "runner_on_ok", "runner_on_failed", "runner_on_skipped",
        "runner_item_on_ok", "runner_retry", "warning",
    } <= {e["event"] for e in events}  # fmt: skip
    for e in events:
        assert datetime.datetime.fromisoformat(e["created"]).tzinfo is not None
        assert e["runner_ident"] == "job"
        if e["event"] != "verbose":
            assert e["job_id"] == 17
            assert isinstance(e["pid"], int)
            assert isinstance(e["event_data"], dict)


def test_lines_are_those_of_the_stdout_artifact(everything: tuple[list[dict[str, Any]], str]) -> None:
    events, stdout = everything
    lines = stdout.split("\n")
    position = 0
    for e in events:
        assert e["start_line"] == position
        position = e["end_line"]
        if e["stdout"]:
            found = "\n".join(lines[e["start_line"] : e["end_line"]])
            assert found.rstrip("\r\n") == e["stdout"]
    assert position == len(lines) - 1


def test_events_name_their_parents(everything: tuple[list[dict[str, Any]], str]) -> None:
    events, _ = everything
    known = {e["uuid"]: e["event"] for e in events}
    assert "parent_uuid" not in events[0]
    for e in of(events, "playbook_on_play_start") + of(events, "playbook_on_stats"):
        assert known[e["parent_uuid"]] == "playbook_on_start"
    for e in of(events, "playbook_on_task_start"):
        assert known[e["parent_uuid"]] == "playbook_on_play_start"
    for e in of(events, "runner_on_ok") + of(events, "runner_on_start"):
        assert known[e["parent_uuid"]] == "playbook_on_task_start"


def test_events_carry_the_data_of_results(everything: tuple[list[dict[str, Any]], str]) -> None:
    events, _ = everything
    (ok,) = of(events, "runner_on_ok", "items")
    data = ok["event_data"]
    assert {"playbook", "playbook_uuid", "play", "play_uuid", "play_pattern", "task", "task_uuid", "task_action", "resolved_action",
            "task_args", "task_path", "host", "remote_addr", "res", "start", "end", "duration", "event_loop", "uuid"} <= set(data)  # fmt: skip
    assert (data["playbook"], data["host"], data["task_action"]) == ("test.yml", "localhost", "command")
    assert data["resolved_action"] == "ansible.builtin.command"
    assert data["res"]["results"][1]["stdout"] == "two"
    assert data["duration"] > 0
    assert len(of(events, "runner_item_on_ok", "items")) == 2
    assert of(events, "runner_on_failed", "ignored")[0]["event_data"]["ignore_errors"] is True
    assert "res" not in of(events, "runner_on_skipped", "skipped")[0]["event_data"]
    assert "ansible_env" not in of(events, "runner_on_ok", "Gathering Facts")[0]["event_data"]["res"]["ansible_facts"]
    assert of(events, "playbook_on_task_start", "handle")[0]["event_data"]["is_conditional"] is True
    stats = events[-1]["event_data"]
    assert stats["artifact_data"] == {"answer": 42}
    assert stats["processed"] == {"localhost": 1}
    assert (stats["rescued"], stats["ignored"], stats["failures"]) == ({"localhost": 1}, {"localhost": 1}, {})


def test_what_is_not_to_be_logged_is_not(everything: tuple[list[dict[str, Any]], str]) -> None:
    events, _ = everything
    hidden = of(events, "runner_on_ok", "hidden") + of(events, "runner_item_on_ok", "hidden items")
    assert len(hidden) == 2
    assert all("censored" in e["event_data"]["res"] for e in hidden)
    assert "secret-word" not in json.dumps([e for e in events if "hidden" in str(e["event_data"].get("task"))])


def test_event_data_are_omitted_when_asked(make_dir: DirFactory) -> None:
    directory = make_dir(tasks("command: /bin/false\nignore_errors: true", "debug: {msg: hi}"))
    events = stream_lines(work(job(directory, omit_event_data=True)).stdout)
    assert all(e["event_data"] == {} for e in events if "event_data" in e)
    events = stream_lines(work(job(directory, only_failed_event_data=True)).stdout)
    assert {e["event"] for e in events if e.get("event_data")} == {"runner_on_failed"}


def test_a_huge_result_is_emptied_and_its_text_kept(make_dir: DirFactory) -> None:
    directory = make_dir(
        tasks("command: head -c 1000000 /dev/zero\nregister: r", "debug: {msg: \"{{ 'x' * 800000 }}\"}")
    )
    events = [line for line in stream_lines(work(job(directory)).stdout) if "counter" in line]
    shown = of(events, "runner_on_ok")[-1]
    assert shown["event_data"]["res"] == {}
    assert "x" * 800_000 in shown["stdout"]


def test_the_users_stdout_callback_and_its_options(make_dir: DirFactory) -> None:
    """Chosen in ansible.cfg, found in the configured path, with an option of its own."""
    directory = make_dir(
        tasks("debug: {msg: hi}"),
        project__ansible__cfg="",
    )
    project = directory / "project"
    (project / "ansible.cfg").write_text(
        "[defaults]\nstdout_callback = mine\ncallback_plugins = plugins\n[mine]\nword = sesame\n"
    )
    (project / "plugins").mkdir()
    (project / "plugins" / "mine.py").write_text(
        "DOCUMENTATION = '''\nname: mine\ntype: stdout\nshort_description: x\ndescription: x\noptions:\n  word:\n    description: x\n"
        "    ini: [{section: mine, key: word}]\n'''\n"
        "from ansible.plugins.callback import CallbackBase\n"
        "class CallbackModule(CallbackBase):\n    CALLBACK_NAME = 'mine'\n    CALLBACK_TYPE = 'stdout'\n    CALLBACK_VERSION = 2.0\n"
        "    def v2_runner_on_ok(self, result):\n        self._display.display('mine says ' + self.get_option('word'))\n"
    )
    events = [line for line in stream_lines(work(job(directory)).stdout) if "counter" in line]
    assert [e["stdout"] for e in events if e["stdout"]] == ["mine says sesame"]
    assert [e["event"] for e in events] == [
        "playbook_on_start", "playbook_on_play_start", "playbook_on_task_start", "runner_on_start", "runner_on_ok", "playbook_on_stats",
    ]  # fmt: skip


def test_the_callback_of_the_environment(make_dir: DirFactory) -> None:
    directory = make_dir(tasks("debug: {msg: hi}"))
    text = "".join(
        line.get("stdout", "")
        for line in stream_lines(work(job(directory, envvars={"ANSIBLE_STDOUT_CALLBACK": "oneline"})).stdout)
    )
    assert "localhost | SUCCESS => " in text
    done = work(job(directory, playbook=None, module="ping", host_pattern="all", cmdline="-o"))
    events = [line for line in stream_lines(done.stdout) if "counter" in line]
    assert of(events, "runner_on_ok")[0]["stdout"].startswith("\x1b[0;32mlocalhost | SUCCESS => {")


def test_text_outside_of_callbacks_is_verbose_line_by_line(make_dir: DirFactory) -> None:
    directory = make_dir(args="sh -c 'echo one; echo; printf two'")
    events = [line for line in stream_lines(work(job(directory, playbook=None)).stdout) if "counter" in line]
    assert [(e["event"], e["stdout"], e["start_line"], e["end_line"]) for e in events] == [
        ("verbose", "one", 0, 1), ("verbose", "", 1, 2), ("verbose", "two", 2, 2),
    ]  # fmt: skip


def test_ad_hoc_commands_have_events(make_dir: DirFactory) -> None:
    done = work(job(make_dir(), playbook=None, module="command", module_args="echo hi", host_pattern="all"))
    events = [line for line in stream_lines(done.stdout) if "counter" in line]
    assert [e["event"] for e in events] == ["playbook_on_start", "runner_on_start", "runner_on_ok", "playbook_on_stats"]
    assert {e["ad_hoc_command_id"] for e in events} == {1}
    assert "hi" in events[2]["stdout"]


# forgery

SEARCH = f"""
import os, subprocess, sys
found = [k for k in os.environ if k == 'RECEPTOR_RUNNER_KEY_FILE']
path = os.environ[found[0]]
print('key file there:', os.path.exists(path))
for directory, below, files in os.walk(os.path.dirname(path)):
    for name in files:
        print('left:', name)
sys.stdout.write({(frame(10**9, "o", forged_event("playbook_on_stats", event_data={"artifact_data": {"forged": 1}})) + b"x" + frame(10**9 + 1, "c")).decode()!r})
"""


def test_a_task_on_localhost_finds_no_key_and_forges_no_event(make_dir: DirFactory) -> None:
    directory = make_dir(
        tasks(
            f"command: {sys.executable} {{{{ playbook_dir }}}}/search.py\nregister: r",
            "debug: {msg: '{{ r.stdout }}'}",
            "raw: cat {{ playbook_dir }}/frames > /dev/tty || true",
        )
    )
    (directory / "project" / "search.py").write_text(SEARCH)
    (directory / "project" / "frames").write_bytes(frame(10**9, "o", forged_event("playbook_on_stats")))
    events = [line for line in stream_lines(work(job(directory)).stdout) if "counter" in line]
    stats = of(events, "playbook_on_stats")
    assert len(stats) == 1
    assert stats[0]["event_data"]["artifact_data"] == {}
    (searched,) = of(events, "runner_on_ok")[:1]
    lines = searched["event_data"]["res"]["stdout_lines"]
    assert lines[0] == "key file there: False"
    left = {line for line in lines if line.startswith("left:") and "payload" not in line}
    assert left
    assert all(line.startswith(("left: receptor_runner.", "left: awx_display.")) for line in left), "the plugins alone"


def test_a_nested_ansible_prints_plainly(make_dir: DirFactory) -> None:
    directory = make_dir(
        tasks("command: ansible-playbook -i {{ inventory_file }} {{ playbook_dir }}/inner.yml\nregister: r")
    )
    (directory / "project" / "inner.yml").write_text(tasks("debug: {msg: inner}"))
    events = [line for line in stream_lines(work(job(directory)).stdout) if "counter" in line]
    assert len(of(events, "playbook_on_stats")) == 1
    inner = of(events, "runner_on_ok")[0]["event_data"]["res"]["stdout"]
    assert '"msg": "inner"' in inner
    assert "\x1b_rr" not in inner


def test_a_command_that_writes_ten_thousand_marks_is_only_text(make_dir: DirFactory, tmp_path: Path) -> None:
    (tmp_path / "marks").write_bytes(b"\x1b_rr;1;o;" * 10_000 + b"\n")
    directory = make_dir(args=f"cat {tmp_path}/marks")
    events = [line for line in stream_lines(work(job(directory, playbook=None)).stdout) if "counter" in line]
    assert "".join(e["stdout"] for e in events) == "\x1b_rr;1;o;" * 10_000


PLUGIN = (
    "from ansible.plugins.callback import CallbackBase\n"
    "class CallbackModule(CallbackBase):\n    CALLBACK_NAME = 'mine'\n    CALLBACK_TYPE = 'stdout'\n    CALLBACK_VERSION = 2.0\n"
    "    def v2_runner_on_ok(self, result):\n        self._display.display('mine')\n"
)


@pytest.mark.parametrize(
    ("envvars", "where", "config", "plugins"),
    [
        ({}, "project/ansible.cfg", "./cbp  ; our own", "project/cbp"),
        ({"CBD": "cbp"}, "project/ansible.cfg", "{{CWD}}/$CBD", "project/cbp"),
        ({"ANSIBLE_HOME": "TOP/home"}, "project/ansible.cfg", None, "home/plugins/callback"),
        ({"ANSIBLE_CONFIG": "conf/my.cfg"}, "project/conf/my.cfg", "cbp", "project/conf/cbp"),
        ({"ANSIBLE_CONFIG": "conf"}, "project/conf/ansible.cfg", "cbp:other", "project/conf/cbp"),
    ],
)
def test_plugins_are_found_wherever_ansible_would_find_them(
    envvars: dict[str, str], where: str, config: str | None, plugins: str, make_dir: DirFactory, tmp_path: Path
) -> None:
    directory = make_dir(tasks("debug: {msg: hi}"))
    (directory / where).parent.mkdir(exist_ok=True)
    line = f"callback_plugins = {config}\n" if config else ""
    (directory / where).write_text(f"[defaults]\nstdout_callback = mine\n{line}")
    (directory / plugins).mkdir(parents=True)
    (directory / plugins / "mine.py").write_text(PLUGIN)
    target = tmp_path / "work"
    envvars = {name: value.replace("TOP", str(target)) for name, value in envvars.items()}
    done = work(job(directory, envvars=envvars), f"--private-data-dir={target}")
    assert [line["stdout"] for line in stream_lines(done.stdout) if line.get("stdout")] == ["mine"]


def test_handlers_that_start_twice_are_two_events(make_dir: DirFactory) -> None:
    play = tasks("command: 'true'\nnotify: handle") + "  handlers:\n    - {name: handle, debug: {msg: handled}}\n"
    events = [line for line in stream_lines(work(job(make_dir(play + play))).stdout) if "counter" in line]
    assert len({event["uuid"] for event in events}) == len(events)


CORE = tuple(int(part) for part in importlib.metadata.version("ansible-core").split(".")[:2])


def events_of_play(make_dir: DirFactory, playbook: str, **parameters: Any) -> list[dict[str, Any]]:
    hosts = "".join(f"h{number} ansible_connection=local\n" for number in range(1, 5))
    python = 'ansible_python_interpreter="{{ ansible_playbook_python }}"\n'
    directory = make_dir(playbook, inventory=f"{hosts}[all:vars]\n{python}")
    done = work(job(directory, **parameters))
    assert done.returncode == 0, done.stdout
    return [line for line in stream_lines(done.stdout) if "counter" in line]


@pytest.mark.parametrize("how", ["serial: 2", "strategy: free", "gather_facts: true"])
def test_an_events_parent_is_the_start_of_its_own_task(how: str, make_dir: DirFactory) -> None:
    """Ansible repeats the identifier of a task for each batch, and for each host of the free strategy."""
    tasks_of_play = "[{name: one, command: echo, loop: [1, 2]}, {name: two, debug: }]"
    head = "" if "gather" in how else "\n  gather_facts: false"
    events = events_of_play(make_dir, f"- hosts: all\n  {how}{head}\n  tasks: {tasks_of_play}\n")
    starts = {e["uuid"]: e for e in of(events, "playbook_on_task_start")}
    parents: dict[str, set[str]] = {}
    for e in events:
        if e["event"].startswith("runner_"):
            start = starts[e["parent_uuid"]]
            assert start["event_data"]["name"] in (e["event_data"]["task"], e["event_data"]["task_action"])
            assert start["counter"] < e["counter"]
            parents.setdefault(e["parent_uuid"], set()).add(e["event_data"]["host"])
    assert set(parents) == set(starts)
    sizes = {"serial: 2": {2}, "strategy: free": {1}, "gather_facts: true": {4}}[how]
    assert {len(hosts) for hosts in parents.values()} == sizes


def test_what_is_left_of_an_asynchronous_task_belongs_to_it(make_dir: DirFactory) -> None:
    events = events_of_play(make_dir, tasks("{command: sleep 4, async: 30, poll: 1}", hosts="h1"))
    starts = {e["uuid"] for e in of(events, "playbook_on_task_start")}
    polls = of(events, "runner_on_async_poll")
    assert polls
    assert {e["parent_uuid"] for e in [*polls, *of(events, "runner_on_async_ok")]} == starts


def test_no_event_has_the_environment_of_a_host(make_dir: DirFactory) -> None:
    play = tasks("{setup: {gather_subset: ['!all', env]}, loop: [1, 2]}", "{action: ansible.legacy.setup}", hosts="h1")
    events = events_of_play(make_dir, play, envvars={"DB_PASSWORD": "geheim"}, verbosity=3)
    assert of(events, "runner_item_on_ok")
    assert "geheim" not in json.dumps(events)


@pytest.mark.parametrize("value", ["700k", "", "0x10", "1e6"])
def test_a_limit_that_is_no_number_costs_no_event(value: str, make_dir: DirFactory) -> None:
    assert of(events_of_play(make_dir, tasks("debug: ", hosts="h1"), envvars={"MAX_EVENT_RES": value}), "runner_on_ok")


@pytest.mark.parametrize("action", ["debug", "ansible.builtin.debug", "'{{ word }}'"])
def test_the_resolved_action_is_named_without_a_warning(action: str, make_dir: DirFactory) -> None:
    play = f"- hosts: h1\n  gather_facts: false\n  vars: {{word: debug}}\n  tasks: [{{action: {action}}}]\n"
    events = events_of_play(make_dir, play)
    (ok,) = of(events, "runner_on_ok")
    assert not of(events, "warning")
    if "{{" not in action:
        assert ok["event_data"]["resolved_action"] == "ansible.builtin.debug"


def test_a_module_that_does_not_exist_is_told_by_ansible_alone(make_dir: DirFactory) -> None:
    done = work(job(make_dir(), playbook=None, module="nosuchmodule", host_pattern="all"))
    assert done.returncode != 0
    assert b"nosuchmodule" in done.stdout
    assert b"resolved_action when it is not resolved" not in done.stdout


@pytest.mark.skipif(CORE < (2, 22), reason="ansible-core masks no secrets before 2.22")
def test_what_ansible_masks_is_masked_in_every_field_of_events(make_dir: DirFactory) -> None:
    vault = [str(BIN / "ansible-vault"), "encrypt_string", "--vault-password-file", "pw", "--name", "word", "geheimnis"]
    directory = make_dir(project__pw="x\n")
    shown = subprocess.run(vault, cwd=directory / "project", capture_output=True, check=True, text=True).stdout
    variable = shown.replace("\n", "\n    ")
    (directory / "project" / "test.yml").write_text(
        f"- hosts: all\n  gather_facts: false\n  vars:\n    {variable.strip()}\n  name: play\n  tasks:\n"
        "    - set_fact: {first: '{{ word }}'}\n"
        "    - {name: 'the {{ word }}', debug: {msg: '{{ word }}'}}\n"
        "    - {set_stats: {data: {told: '{{ word }}'}}}\n"
    )
    done = work(job(directory, cmdline="--vault-password-file pw"))
    assert done.returncode == 0, done.stdout
    events = [line for line in stream_lines(done.stdout) if "counter" in line]
    assert "$REDACTED$" in json.dumps(events)
    assert "geheimnis" not in json.dumps(events)
