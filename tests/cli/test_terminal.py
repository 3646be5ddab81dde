"""What a person at a terminal sees, and what a pipe never gets."""

from __future__ import annotations

import re
from pathlib import Path

import pexpect
import pytest

from tests.support.commands import ours
from tests.support.private_data import DirFactory, encrypt, local, tasks
from tests.support.streams import stream_lines
from tests.support.terminal import CONTROLS, on_terminal

HELLO = tasks("debug: {msg: hello}")


def ended(child: pexpect.spawn[str]) -> tuple[int, str]:
    """The exit status, and what the terminal got since the last expectation."""
    child.expect(pexpect.EOF)
    child.close()
    return int(child.exitstatus if child.exitstatus is not None else -1), str(child.before)


@pytest.mark.slow
def test_the_status_line_ticks_by_itself_and_fits_a_narrow_terminal(make_dir: DirFactory, tmp_path: Path) -> None:
    until = tmp_path / "until"
    directory = make_dir(tasks(f"wait_for: {{path: {until}, sleep: 1}}"))
    child = on_terminal("run", directory, "-p", "test.yml", columns=40)
    child.expect(r"this machine: running 0:\d\d, 1 task")
    child.expect("quiet 0:0[5-9]\r")
    until.touch()
    code, text = ended(child)
    assert code == 0
    assert re.search(r"receptor-runner: successful after 0:\d\d; artifacts: ", text)
    whole = [piece for piece in text.split("\r\x1b[K") if piece.startswith("this machine")]
    assert all(len(piece) < 40 for piece in whole)


@pytest.mark.slow
def test_a_job_that_asks_is_told_with_what_answers_it(make_dir: DirFactory) -> None:
    question = (
        "- hosts: all\n  gather_facts: no\n  vars_prompt: [{name: word, prompt: Which word}]\n  tasks: [debug: ]\n"
    )
    directory = make_dir(question)
    child = on_terminal("run", directory, "-p", "test.yml")
    child.expect("looks like a question: Which word")
    child.expect("env/passwords answers it, with a line like '(.*)': ANSWER")
    pattern = child.match.group(1)  # type: ignore[union-attr]
    child.expect("this machine: asks")
    child.sendintr()
    assert ended(child)[0] == 130
    (directory / "env").mkdir()
    (directory / "env" / "passwords").write_text(f"'{pattern}': hello\n")
    assert ours("run", directory, "-p", "test.yml", "-q").returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("env", "options", "colours"),
    [
        ({}, [], True),
        ({"NO_COLOR": "1"}, [], False),
        ({}, ["--color", "never"], False),
    ],
)
def test_colours_on_a_terminal(env: dict[str, str], options: list[str], colours: bool, make_dir: DirFactory) -> None:
    child = on_terminal("run", make_dir(HELLO), "-p", "test.yml", *options, env=env)
    code, text = ended(child)
    assert code == 0
    assert ("\x1b[0;32m" in text) is colours


@pytest.mark.slow
def test_a_terminal_that_cannot_wipe_a_line_gets_none(make_dir: DirFactory) -> None:
    code, text = ended(on_terminal("run", make_dir(HELLO), "-p", "test.yml", env={"TERM": "dumb"}))
    assert code == 0
    assert not CONTROLS.search(text)


@pytest.mark.slow
@pytest.mark.parametrize("options", [[], ["--color", "always"]])
def test_colours_and_returns_are_in_a_pipe_only_if_asked(options: list[str], make_dir: DirFactory) -> None:
    done = ours("run", make_dir(HELLO), "-p", "test.yml", *options)
    assert done.returncode == 0
    assert bool(CONTROLS.search(done.stdout.decode())) is bool(options)
    assert done.stderr == b""


def test_the_help_is_what_a_bare_call_shows() -> None:
    bare = ours()
    assert bare.returncode == 0
    assert bare.stdout == ours("--help").stdout
    assert b"Look after jobs:" in bare.stdout


@pytest.mark.slow
def test_a_vault_password_is_asked_here(make_dir: DirFactory, tmp_path: Path) -> None:
    directory = make_dir(tasks('debug: {msg: "{{ hidden }}"}'))
    (tmp_path / "pw").write_text("geheim\n")
    (directory / "env").mkdir()
    (directory / "env" / "extravars").write_text("hidden: found it\n")
    encrypt(directory / "env" / "extravars", tmp_path / "pw")
    child = on_terminal("run", directory, "-p", "test.yml", "-J")
    child.expect("Vault password: ")
    child.sendline("geheim")
    code, text = ended(child)
    assert code == 0
    assert "found it" in text
    assert "geheim" not in text
    for options in (["--vault-password-file", tmp_path / "pw"], ["--vault-id", f"dev@{tmp_path}/pw"]):
        done = ours("run", directory, "-p", "test.yml", *options)
        assert b"found it" in done.stdout, done.stderr


def test_passwords_that_were_asked_travel_as_answers(make_dir: DirFactory, tmp_path: Path) -> None:
    out = tmp_path / "stream"
    directory = make_dir(HELLO, env__cmdline="--diff")
    child = on_terminal("transmit", directory, "-p", "test.yml", "-K", "-k", "--become", "-C", shell=f"> {out}")
    child.expect("SSH password: ")
    child.sendline("one")
    child.expect(re.escape("BECOME password[defaults to SSH password]: "))
    child.sendline("two")
    assert ended(child)[0] == 0
    kwargs = stream_lines(out.read_bytes())[0]["kwargs"]
    assert sorted(kwargs["passwords"].values()) == ["one", "two"]
    assert kwargs["cmdline"] == "--diff --check --become --ask-become-pass --ask-pass"


def test_without_a_terminal_a_question_is_refused(make_dir: DirFactory) -> None:
    done = ours("transmit", make_dir(HELLO), "-p", "test.yml", "-K", start_new_session=True)
    assert done.returncode == 64
    assert b"-K asks on a terminal, and there is none; put the answer into DIR/env/passwords" in done.stderr


@pytest.mark.slow
def test_a_log_beside_the_status_line_stays_readable(make_dir: DirFactory) -> None:
    """Each of its lines begins at the left edge."""
    child = on_terminal("run", make_dir(tasks("command: sleep 2")), "-p", "test.yml", "--debug", "-q")
    code, text = ended(child)
    assert code == 0
    assert text.count("DEBUG: ") > 3
    assert re.search(r"this machine: running", text)
    assert not re.search(r"[^\n\rK]receptor-runner: DEBUG", text)


@pytest.mark.slow
def test_what_was_typed_wins_over_a_file(make_dir: DirFactory, tmp_path: Path) -> None:
    directory = make_dir(tasks('debug: {msg: "{{ hidden }}"}'), env__passwords="'^Vault password:\\s*?$': wrong\n")
    (tmp_path / "pw").write_text("geheim")
    (directory / "env" / "extravars").write_text("hidden: found it\n")
    encrypt(directory / "env" / "extravars", tmp_path / "pw")
    child = on_terminal("run", directory, "-p", "test.yml", "--ask-vault-password")
    child.expect("Vault password: ")
    child.sendline("geheim")
    assert ended(child)[0] == 0


@pytest.mark.parametrize(
    ("content", "words"), [(b"p\xe4ss", "is not UTF-8"), (b" \n", "is empty"), (None, "cannot read")]
)
def test_a_vault_password_that_cannot_be_used(
    content: bytes | None, words: str, make_dir: DirFactory, tmp_path: Path
) -> None:
    file = tmp_path / "pw"
    if content is not None:
        file.write_bytes(content)
    done = ours("transmit", make_dir(HELLO), "-p", "test.yml", "--vault-password-file", file)
    assert (done.returncode, done.stdout) == (66, b"")
    assert words in done.stderr.decode()
    file.write_text("two\nlines\n")
    assert ours("transmit", make_dir(HELLO), "-p", "test.yml", "--vault-password-file", file).returncode == 64


def test_a_program_says_the_vault_password(make_dir: DirFactory, tmp_path: Path) -> None:
    """And one whose name ends in -client is told the label."""
    program = tmp_path / "keyring-client.sh"
    program.write_text('#!/bin/sh\necho "secret of $2"\n')
    program.chmod(0o755)
    done = ours("transmit", make_dir(HELLO), "-p", "test.yml", "--vault-id", f"dev@{program}")
    kwargs = stream_lines(done.stdout)[0]["kwargs"]
    assert kwargs["cmdline"] == "--vault-id dev@prompt"
    assert list(kwargs["passwords"].values()) == ["secret of dev"]


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["--syntax-check"], "it is one of ansible-playbook's: --cmdline '--syntax-check'"),
        (["-b", "-p", "test.yml"], "--become is Ansible's -b"),
        (["test.yml"], "-p names the playbook"),
        (["-i", "web,"], "did you mean --inventory?"),
        (["-f", "many"], "'many' is not a valid integer"),
    ],
)
def test_habits_from_ansible_playbook_are_understood(words: list[str], hint: str, make_dir: DirFactory) -> None:
    done = ours(
        "run",
        make_dir(HELLO),
        "-p" if "-p" not in words else "-q",
        *(["test.yml"] if "-p" not in words else []),
        *words,
    )
    assert done.returncode == 64
    assert hint in done.stderr.decode()
    assert done.stderr.count(b"\n") == 1


def test_a_slip_is_remarked_upon(make_dir: DirFactory, tmp_path: Path) -> None:
    directory = make_dir(HELLO, env__settings="job_timeuot: 3")
    done = ours("transmit", directory, "-p", "test.yml", "-i", "hosts")
    assert b"job_timeuot is not known; did you mean job_timeout?" in done.stderr
    assert b"hosts looks like an inventory" in done.stderr
    wrong = ours("transmit", directory, "-p", "project/test.yml")
    assert (wrong.returncode, b"did you mean -p test.yml?" in wrong.stderr) == (66, True)
    inside = ours("transmit", directory / "project", "-p", "test.yml")
    assert b"neither project/ nor inventory/; is it a private data dir?" in inside.stderr


@pytest.mark.slow
def test_hosts_and_tasks_are_shown_live_instead_of_the_output(make_dir: DirFactory, tmp_path: Path) -> None:
    """What failed stays, and so does nothing else."""
    until = tmp_path / "until"
    book = tasks(
        "name: greet\ndebug: {msg: NOT-SHOWN}",
        "name: break\ncommand: 'false'\nwhen: inventory_hostname == 'red'",
        f"name: hang\nwait_for: {{path: {until}, sleep: 1}}",
    )
    inventory = local("red", "blue")
    child = on_terminal("run", make_dir(book, inventory=inventory), "-p", "test.yml", "-i", "j", "--view", columns=100)
    child.expect(r"test\.yml on this machine: running")
    child.expect("hosts: 1 ok, 1 failed")
    child.expect("red .*blue .*hang 0:0")
    child.expect("failed:")
    until.touch()
    child.expect("red: break, .*non-zero return code")
    child.expect(r"failed \(rc 2\) after")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 2
    assert "NOT-SHOWN" not in (child.before or "")


@pytest.mark.slow
def test_a_view_that_has_no_terminal_is_the_output(make_dir: DirFactory) -> None:
    done = ours("run", make_dir(tasks("debug: {msg: shown}")), "-p", "test.yml", "-i", "j", "--view")
    assert done.returncode == 0
    assert b"shown" in done.stdout


@pytest.mark.slow
def test_the_output_of_a_job_without_tasks_stays_after_the_view(make_dir: DirFactory) -> None:
    child = on_terminal("run", make_dir("- hosts: [\n"), "-p", "test.yml", "--view")
    child.expect("YAML parsing failed|Syntax Error")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 4


@pytest.mark.slow
def test_a_task_that_takes_too_long_fails_by_ansibles_own_limit(make_dir: DirFactory) -> None:
    directory = make_dir(tasks("command: sleep 60"))
    done = ours("run", directory, "-p", "test.yml", "--task-timeout", "1")
    assert done.returncode == 2
    assert b"Timed out after 1 second" in done.stdout or b"was terminated" in done.stdout
    (directory / "env").mkdir()
    (directory / "env" / "envvars").write_text("ANSIBLE_TASK_TIMEOUT: 7\n")
    contradicted = ours("run", directory, "-p", "test.yml", "--task-timeout", "1")
    assert contradicted.returncode == 64
    assert b"env/envvars has ANSIBLE_TASK_TIMEOUT: 7" in contradicted.stderr


@pytest.mark.slow
def test_a_view_without_what_it_needs_is_refused_before_the_job_starts(make_dir: DirFactory, tmp_path: Path) -> None:
    """What looks for packages does not find it."""
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "sitecustomize.py").write_text(
        "import importlib.util\nfind = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *more: None if name == 'rich' else find(name, *more)\n"
    )
    directory = make_dir(HELLO)
    child = on_terminal("run", directory, "-p", "test.yml", "--view", env={"PYTHONPATH": str(hidden)})
    code, text = ended(child)
    assert code == 78
    assert "pip install 'receptor-runner[view]'" in text
    assert not (directory / "artifacts").exists()
