"""What a person did wrong is told in one clear line, with the names that he gave."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands import BIN, OURS, ours
from tests.support.disks import small_disk
from tests.support.jobs import job, processed, statuses, work
from tests.support.permissions import obey_permissions
from tests.support.private_data import DirFactory, tasks

PLAY = tasks("debug: {msg: hello}")


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["-p", "test.yml", "-p", "other.yml"], "--playbook is given 2 times"),
        (["-p", "test.yml", "--limit", "a", "--limit", "b"], "--limit is given 2 times"),
        (["-p", "test.yml", "-i", "a", "--ident", "b"], "--ident is given 2 times"),
        (["-p", "test.yml", "--cmdline=-C", "--cmdline=-D"], "--cmdline is given 2 times"),
    ],
)
@pytest.mark.parametrize("command", ["transmit", "run"])
def test_an_option_given_twice_is_a_usage_error(
    command: str, words: list[str], name: str, make_dir: DirFactory
) -> None:
    done = ours(command, make_dir(PLAY), *words)
    assert (done.returncode, done.stdout) == (64, b"")
    assert name in done.stderr.decode()


@pytest.mark.slow
def test_tags_and_inventories_add_up(make_dir: DirFactory, tmp_path: Path) -> None:
    play = tasks("debug: {msg: one}\ntags: [t1]", "debug: {msg: two}\ntags: [t2]", "debug: {msg: three}\ntags: [t3]")
    directory = make_dir(play)
    (tmp_path / "more").write_text("other ansible_connection=local\n")

    def shown(*words: str) -> list[str]:
        stream = ours("transmit", directory, "-p", "test.yml", *words).stdout
        done = work(stream)
        return sorted({word for word in ("one", "two", "three", "other") if f'"{word}"'.encode() in done.stdout})

    assert shown("--skip-tags", "t1", "--skip-tags", "t2") == ["three"]
    assert shown("--tags", "t1", "--tags", "t2,t3", "--skip-tags", "t3") == ["one", "two"]
    words = ["--inventory", str(directory / "inventory"), "--inventory", str(tmp_path / "more"), "--tags", "t1"]
    assert shown(*words) == ["one", "other"]


@pytest.mark.parametrize("command", ["transmit", "run"])
@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["demo/project/test.yml"], 66, "is a file, and a private data dir is wanted; -p test.yml runs that playbook of demo/"),
        (["", "-p", "test.yml"], 64, "name a private data dir"),
        (["demo", "-m", "ping"], 64, "-m needs --hosts"),
        (["bare", "-p", "test.yml"], 66, "does not exist in {}/bare, which has no project directory"),
        (["demo", "-p", "test.yml", "-i", "a/b"], 64, "cannot be the name of a directory"),
        (["list", "-p", "test.yml"], 78, "{}/list/env/envvars must contain a mapping, not list"),
        (["prompt", "-p", "test.yml"], 78, "the password prompt '(' is not a regular expression"),
        (["demo", "-p", "test.yml", "--inventory", "hosts", "--inventory", "nowhere"], 66, "the inventory nowhere does not"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_before_anything_is_started(
    command: str, words: list[str], code: int, said: str, make_dir: DirFactory, tmp_path: Path
) -> None:
    make_dir(PLAY)
    make_dir(PLAY, name="list", env__envvars="[1]")
    make_dir(PLAY, name="prompt", env__passwords='"(": x')
    (tmp_path / "bare").mkdir()
    (tmp_path / "hosts").write_text("web\n")
    done = ours(command, *words, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (code, b"")
    assert said.format(tmp_path) in done.stderr.decode()
    assert done.stderr.count(b"\n") == 1
    assert ".;" not in done.stderr.decode()
    nodes = Path(os.environ["XDG_STATE_HOME"]) / "receptor-runner" / "nodes"
    assert not nodes.exists() or not list(nodes.iterdir())


@pytest.mark.parametrize("closed", ["project", "env", "inventory", "roles", "."])
def test_a_directory_that_is_closed_to_us_is_named(closed: str, make_dir: DirFactory) -> None:
    directory = make_dir(PLAY, env__settings="{}", roles__one__x="")
    (directory / closed).chmod(0)
    try:
        words = ["-p", "test.yml", "--roles-path", str(directory.parent)]
        done = ours("transmit", directory, *words, preexec_fn=obey_permissions)
    finally:
        (directory / closed).chmod(0o700)
    assert (done.returncode, done.stdout) == (66, b"")
    assert str(directory) in done.stderr.decode()
    assert b"internal error" not in done.stderr
    assert done.stderr.count(b"\n") == 1


def test_a_home_that_is_closed_to_us_is_as_if_it_were_not_there(make_dir: DirFactory, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    (closed / "home" / "roles").mkdir(parents=True)
    closed.chmod(0)
    variables = {
        "HOME": f"{closed}/home",
        "ANSIBLE_CONFIG": f"{closed}/home/x.cfg",
        "ANSIBLE_ROLES_PATH": f"{closed}/r",
    }
    try:
        directory = make_dir(PLAY)
        options: dict[str, Any] = {"preexec_fn": obey_permissions, "env": {**os.environ, **variables}}
        done = ours("transmit", directory, "-p", "test.yml", "--roles-path", f"{closed}/home/roles", **options)
        assert done.returncode == 0, done.stderr
        results = work(done.stdout, **options)
        bare = [
            str(BIN / "ansible-playbook"),
            "-i",
            str(directory / "inventory"),
            str(directory / "project" / "test.yml"),
        ]
        options["env"]["ANSIBLE_LOCAL_TEMP"] = str(tmp_path)  # a worker's is not in the home either
        assert results.returncode == subprocess.run(bare, capture_output=True, check=False, **options).returncode
    finally:
        closed.chmod(0o700)


def test_a_working_directory_that_is_gone_is_told(make_dir: DirFactory, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    code = "import os, sys; os.mkdir(sys.argv[1]); os.chdir(sys.argv[1]); os.rmdir(sys.argv[1]); os.execv(sys.argv[2], sys.argv[2:])"
    words = [sys.executable, "-c", code, str(gone), *OURS, "transmit", "demo", "-p", "test.yml"]
    done = subprocess.run(words, capture_output=True, check=False, timeout=60)
    assert done.returncode == 66
    assert b"the working directory does not exist any more" in done.stderr


def test_prune_with_nothing_to_do_says_so() -> None:
    done = ours("prune")
    assert (done.returncode, done.stdout) == (0, b"")
    assert done.stderr == b"receptor-runner: nothing is left to delete\n"


@pytest.mark.slow
def test_an_error_of_the_worker_names_the_files_of_the_submitter(make_dir: DirFactory) -> None:
    directory = make_dir(PLAY, env__envvars="[1]", env__ssh_key="no key")
    said = statuses(work(job(directory)).stdout)[-1]["job_explanation"]
    assert said == "env/envvars must contain a mapping, not list"
    (directory / "env" / "envvars").unlink()
    done = ours("transmit", directory, "-p", "test.yml")
    assert f"{directory}/env/ssh_key does not look like a private key" in done.stderr.decode()
    output = (processed(work(done.stdout).stdout, directory) / "stdout").read_text()
    assert "ssh-add refuses the key of the job: env/ssh_key, or the parameter ssh_key" in output


@pytest.mark.slow
def test_a_full_temporary_directory_is_named_and_no_file_of_ours(
    make_dir: DirFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with small_disk(tmp_path / "small", "40k") as mount:
        monkeypatch.setenv("TMPDIR", str(mount))
        stream = b'{"kwargs": {"module": "ping", "host_pattern": "localhost"}}\n{"eof": true}\n'
        done = work(stream)
        said = statuses(done.stdout)[-1]["job_explanation"]
        assert done.returncode == 73
        assert str(mount) in said
        assert "No space left" in said
        assert ".pyc" not in said
