"""What a user names is what the job gets: variables as Ansible reads them, links, playbooks that are not there."""

from __future__ import annotations

import json
import shlex
import subprocess
from pathlib import Path

import pytest

import receptor_runner
from tests.stages.test_transmit import PLAY, api, transmitted
from tests.support.commands import BIN, ours
from tests.support.jobs import job, processed, statuses, work
from tests.support.private_data import DirFactory, encrypt, tasks

#: Two words of a shell's command line for each.
VARIABLES = (
    r"v=D:\docs\share", r"v=^a\d+$", "v={{ 1 + 1 }}", "v='two words' w=x", '{"v": [1, "{{ 2 * 3 }}"]}', "{v: 2020-01-02}",
    "v=plain", "v=a=b", 'v="it\'s"', "v=True", "{v: !unsafe '{{ raw }}'}", "v=ünïcode", "v=",
)  # fmt: skip
OVER_EACH_OTHER = ("v=first", '{"v": "second"}', r"v=\third")


def shown(output: bytes) -> list[str]:
    return [line.strip() for line in output.decode().splitlines() if '"msg"' in line]


@pytest.mark.slow
@pytest.mark.parametrize("variables", [*((text,) for text in VARIABLES), ("@file.yml",), OVER_EACH_OTHER], ids=str)
def test_variables_mean_what_they_mean_for_ansible(
    variables: tuple[str, ...], make_dir: DirFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANSIBLE_NOCOLOR", "1")
    monkeypatch.chdir(tmp_path)
    Path("file.yml").write_text("v: from the file\n")
    play = tasks("debug: {msg: \"{{ v | to_json }} {{ v | type_debug }} {{ only | default('') }}\"}")
    directory = make_dir(play, env__extravars="v: lower\nonly: here\n")
    words = [word for text in variables for word in ("-e", text)]
    bare = [str(BIN / "ansible-playbook"), "-i", str(directory / "inventory"), "-e", f"@{directory}/env/extravars"]
    said = subprocess.run([*bare, *words, directory / "project" / "test.yml"], capture_output=True, check=True).stdout
    assert shown(said)
    assert shown(ours("run", directory, "-p", "test.yml", *words).stdout) == shown(said)
    stream = ours("transmit", directory, "-p", "test.yml", *words).stdout
    assert shown(ours("process", tmp_path / "out", input=work(stream).stdout).stdout) == shown(said)


@pytest.mark.slow
def test_vaulted_variables_travel_as_they_are(make_dir: DirFactory, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("geheim\n")
    (tmp_path / "vars.yml").write_text("v: hidden\n")
    encrypt(tmp_path / "vars.yml", tmp_path / "password")
    directory = make_dir(tasks('debug: {msg: "{{ v | length }}"}'))
    (directory / "project" / "pw").write_text("geheim\n")
    options = ["-e", f"@{tmp_path}/vars.yml", "--cmdline", "--vault-password-file pw"]
    stream = ours("transmit", directory, "-p", "test.yml", *options).stdout
    assert transmitted(stream)[1]["extra-vars/000"].startswith(b"$ANSIBLE_VAULT")
    done = work(stream)
    assert done.returncode == 0
    assert b'"6"' in done.stdout.replace(b"\\", b"") or b"6" in done.stdout


def test_plain_variables_are_no_arguments(make_dir: DirFactory) -> None:
    """They would be seen in the list of processes."""
    directory = make_dir(PLAY, env__cmdline="--diff", env__extravars="a: 1")
    kwargs, files = transmitted(
        ours("transmit", directory, "-p", "test.yml", "-e", "word=geheim", "-e", r"x=\d").stdout
    )
    assert shlex.split(kwargs["cmdline"]) == [
        "--diff", "-e", "@../extra-vars/000", "-e", "@../extra-vars/001", "-e", r"x=\d",
    ]  # fmt: skip
    assert json.loads(files["extra-vars/001"]) == {"word": "geheim"}
    assert files["extra-vars/000"] == b"a: 1"
    assert "env/extravars" not in files


@pytest.mark.slow
@pytest.mark.parametrize("what", [["-p", "test.yml"], ["-m", "debug", "-a", "msg={{ v }}", "--hosts", "all"]])
def test_relative_paths_of_the_command_line_begin_in_the_project(what: list[str], make_dir: DirFactory) -> None:
    directory = make_dir(tasks('debug: {msg: "{{ v }}"}'))
    (directory / "project" / "vars.yml").write_text("v: found\n")
    stream = ours("transmit", directory, *what, "--cmdline", "-e @vars.yml", "-e", "w=1").stdout
    done = work(stream)
    assert statuses(done.stdout)[-1]["status"] == "successful"
    assert b"found" in done.stdout


def test_what_a_link_out_of_the_directory_points_to_travels(make_dir: DirFactory, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "project" / "deep").mkdir(parents=True)
    (elsewhere / "project" / "test.yml").write_text(PLAY)
    (elsewhere / "project" / "deep" / "file").write_text("x")
    (elsewhere / "vars").write_text("a: 1")
    (elsewhere / "key").write_text("PRIVATE KEY")
    (elsewhere / "hosts").write_text("web\n")
    directory = tmp_path / "linked"
    (directory / "env").mkdir(parents=True)
    (directory / "project").symlink_to(elsewhere / "project")
    (directory / "inventory").symlink_to("../elsewhere/hosts")
    (directory / "env" / "extravars").symlink_to(elsewhere / "vars")
    (directory / "env" / "ssh_key").symlink_to(elsewhere / "key")
    done = ours("transmit", directory, "-p", "test.yml")
    files = transmitted(done.stdout)[1]
    assert done.stderr == b""
    assert files["project/deep/file"] == b"x"
    assert (files["inventory"], files["env/extravars"], files["env/ssh_key"]) == (b"web\n", b"a: 1", b"PRIVATE KEY")


def test_other_links_out_of_the_directory_are_named(make_dir: DirFactory, tmp_path: Path) -> None:
    directory = make_dir(PLAY)
    (directory / "project" / "here").symlink_to("test.yml")
    (directory / "project" / "there").symlink_to(tmp_path)
    (directory / "inventory" / "up").symlink_to("../../x")
    done = ours("transmit", directory, "-p", "test.yml")
    assert done.stderr.count(b"\n") == 1
    assert f"2 links lead out of {directory}" in done.stderr.decode()


@pytest.mark.slow
def test_a_playbook_that_is_not_there_is_told_by_ansible(make_dir: DirFactory) -> None:
    directory = make_dir(PLAY)
    done = work(job(directory, playbook="missing.yml"))
    assert (statuses(done.stdout)[-1]["status"], done.returncode) == ("failed", 1)
    assert "could not be found" in (processed(done.stdout, directory) / "stdout").read_text()
    runner = receptor_runner.run(private_data_dir=directory, playbook="missing.yml", quiet=True)
    assert (runner.status, runner.rc) == ("failed", 1)
    with runner.stdout as output:
        assert "missing.yml could not be found" in output.read()


@pytest.mark.parametrize("mount", ["/x:/runner/project:ro", "/x:/runner/project/", "/x:/runner"])
def test_a_playbook_may_be_what_is_mounted_over_the_project(mount: str, make_dir: DirFactory) -> None:
    words = ["-p", "mounted.yml", "--container-image", "i", "--container-volume-mount"]
    assert ours("transmit", make_dir(PLAY), *words, mount).returncode == 0
    assert ours("transmit", make_dir(PLAY), *words, "/x:/y").returncode == 66


def test_byte_order_marks_are_no_part_of_the_text(make_dir: DirFactory, tmp_path: Path) -> None:
    directory = make_dir(PLAY)
    mark = "\N{BYTE ORDER MARK}"
    (directory / "env").mkdir()
    for name, text in (("settings", "job_timeout: 1000"), ("cmdline", "--diff"), ("envvars", '{"A": "1"}')):
        (directory / "env" / name).write_text(mark + text, encoding="utf-8")
    spec = receptor_runner.interface.run(
        private_data_dir=directory, playbook="test.yml", quiet=True, ident="j", artifact_dir=tmp_path / "a"
    )
    assert (spec.status, spec.config.settings) == ("successful", {"job_timeout": 1000})
    command = json.loads((tmp_path / "a" / "j" / "command").read_text())
    assert command["command"][1] == "--diff"
    assert command["env"]["A"] == "1"


def test_the_home_directory_may_be_written_as_tilde(make_dir: DirFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(make_dir(PLAY).parent))
    assert api(private_data_dir="~/demo", playbook="test.yml")[0] == {"playbook": "test.yml"}
