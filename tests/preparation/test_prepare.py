"""The command of a job, without running it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from receptor_runner.errors import ConfigurationError, InputError
from receptor_runner.job.parameters import Parameters
from receptor_runner.job.private_data import PrivateDataDir
from receptor_runner.preparation.prepare import PreparationContext, prepare
from receptor_runner.preparation.run_spec import RunSpec
from tests.support.private_data import DirFactory, tasks

PLAY = tasks("debug: {msg: hello}")


def prepared(directory: Path, **parameters: Any) -> RunSpec:
    parameters.setdefault("ident", "j")
    scratch = directory / "scratch"
    scratch.mkdir(exist_ok=True)
    context = PreparationContext(PrivateDataDir(directory), str(scratch), lambda _: None)
    return prepare(Parameters.from_wire(parameters), context)


def argv(directory: Path, **parameters: Any) -> list[str]:
    """The command's words, with the directory's name taken out."""
    return [word.replace(str(directory), "DIR") for word in prepared(directory, **parameters).argv]


def test_a_playbook_is_run_with_what_was_asked_for_in_ansible_runners_order(make_dir: DirFactory) -> None:
    directory = make_dir(PLAY, env__extravars="a: 1", env__cmdline="--diff --flush-cache")
    words = argv(directory, playbook="test.yml", limit="web", tags="t", skip_tags="s", forks=7, verbosity=3)
    assert words == [
        "ansible-playbook", "--diff", "--flush-cache", "-i", "DIR/inventory", "--limit", "web", "-e", "@DIR/env/extravars",
        "-vvv", "--tags", "t", "--skip-tags", "s", "--forks", "7", "test.yml",
    ]  # fmt: skip


def test_a_module_is_run_as_an_ad_hoc_command(make_dir: DirFactory) -> None:
    words = argv(make_dir(), module="command", module_args="echo hi", host_pattern="all", inventory="one,two")
    assert words == ["ansible", "-i", "one,two", "-m", "command", "-a", "echo hi", "all"]


def test_a_role_becomes_a_playbook_of_its_own(make_dir: DirFactory) -> None:
    directory = make_dir()
    spec = prepared(directory, role="greet", role_vars={"a": 1}, hosts="web", role_skip_facts=True)
    play = json.loads((directory / "project" / spec.argv[-1]).read_text())
    assert play == [{"hosts": "web", "roles": [{"name": "greet", "vars": {"a": 1}}], "gather_facts": False}]
    assert str(directory / "project" / spec.argv[-1]) in spec.made


def test_variables_given_as_data_are_in_a_private_file_and_not_in_the_words(make_dir: DirFactory) -> None:
    spec = prepared(make_dir(PLAY), playbook="test.yml", extravars={"word": "geheim"})
    file = Path(spec.argv[spec.argv.index("-e") + 1].removeprefix("@"))
    assert json.loads(file.read_text()) == {"word": "geheim"}
    assert file.stat().st_mode & 0o777 == 0o600
    assert "geheim" not in " ".join(spec.argv)


def test_an_args_file_is_the_whole_command(make_dir: DirFactory) -> None:
    assert argv(make_dir(args="ansible-inventory --list 'two words'"), playbook="ignored.yml") == [
        "ansible-inventory", "--list", "two words",
    ]  # fmt: skip


def test_a_job_finds_our_plugin_and_a_home_and_a_locale(make_dir: DirFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "LC_ALL", "LANG"):
        monkeypatch.delenv(name, raising=False)
    spec = prepared(make_dir(PLAY), playbook="test.yml", envvars={"MINE": "1"})
    assert spec.env["MINE"] == "1"
    assert spec.env["LC_ALL"] == "C.UTF-8"
    assert spec.env["HOME"]
    plugin = Path(spec.env["ANSIBLE_CALLBACK_PLUGINS"].rpartition(":")[2], "receptor_runner.py")
    assert plugin.is_file()


@pytest.mark.parametrize(
    ("parameters", "error", "text"),
    [
        ({}, ConfigurationError, "Runner playbook required"),
        ({"playbook": "test.yml", "module": "ping"}, ConfigurationError, "Only one of playbook and module"),
        ({"playbook": "test.yml", "inventory": "/nowhere"}, InputError, "/nowhere does not exist"),
        ({"playbook": "test.yml", "extravars": "nowhere.yml"}, InputError, "nowhere.yml does not exist"),
        ({"playbook": "test.yml", "cmdline": "'open"}, ConfigurationError, "cannot be split into words"),
        ({"playbook": "test.yml", "envvars": {"A=B": "x"}}, ConfigurationError, "cannot be passed to a program"),
        ({"playbook": "test.yml", "envvars": {"A": "x" * 200_000}}, ConfigurationError, "is longer than"),
        ({"playbook": "test.yml", "passwords": {"(": "x"}}, ConfigurationError, "is not a regular expression"),
    ],
)
def test_what_makes_no_command_is_said_by_its_name(
    make_dir: DirFactory, parameters: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        prepared(make_dir(PLAY), **parameters)
