"""The environment of a job: what was configured stays in effect, and ours is added."""

from __future__ import annotations

import locale
from pathlib import Path

import pytest

from tests.preparation.test_prepare import PLAY, prepared
from tests.support.jobs import job, processed, statuses, work
from tests.support.private_data import DirFactory, tasks
from tests.support.streams import events_of

TOO_LONG = "/" + "x" * 300


def env_of(directory: Path, config: str, **parameters: object) -> dict[str, str]:
    (directory / "project" / "ansible.cfg").write_text(config)
    return prepared(directory, playbook="test.yml", **parameters).env


def test_roles_of_the_job_hide_no_configured_ones(make_dir: DirFactory) -> None:
    directory = make_dir(PLAY, roles__mine__tasks__main="")
    env = env_of(directory, "[defaults]\nroles_path = shared:/opt/roles\n", envvars={"ANSIBLE_ROLES_PATH": "."})
    assert env["ANSIBLE_ROLES_PATH"] == f"{directory}/roles:{directory}/project/shared:/opt/roles"
    env = env_of(directory, "", envvars={"ANSIBLE_ROLES_PATH": ".", "HOME": "/h"})
    assert (
        env["ANSIBLE_ROLES_PATH"] == f"{directory}/roles:/h/.ansible/roles:/usr/share/ansible/roles:/etc/ansible/roles"
    )
    env = env_of(directory, "[defaults]\nroles_path = /opt/roles\n", envvars={"ANSIBLE_ROLES_PATH": "/own"})
    assert env["ANSIBLE_ROLES_PATH"] == "/own"
    assert "ANSIBLE_ROLES_PATH" not in env_of(directory, "[defaults]\nroles_path = /opt/roles\n")


def test_no_variable_of_ours_hides_what_a_project_configured(make_dir: DirFactory) -> None:
    directory = make_dir(PLAY)
    config = "[defaults]\nhost_key_checking = true\nfact_caching = memory\nretry_files_enabled = true\n"
    env = env_of(directory, config)
    hidden = {"ANSIBLE_HOST_KEY_CHECKING", "ANSIBLE_CACHE_PLUGIN", "ANSIBLE_RETRY_FILES_ENABLED"} & set(env)
    assert not hidden
    env = env_of(directory, config, settings={"fact_cache_type": "jsonfile"})
    assert env["ANSIBLE_CACHE_PLUGIN"] == "jsonfile"
    env = env_of(directory, "")
    assert (env["ANSIBLE_HOST_KEY_CHECKING"], env["ANSIBLE_CACHE_PLUGIN"]) == ("False", "jsonfile")


@pytest.mark.parametrize("name", ["HOME", "ANSIBLE_CONFIG", "ANSIBLE_ROLES_PATH"])
def test_a_path_that_cannot_be_looked_at_is_as_if_it_were_not_there(name: str, make_dir: DirFactory) -> None:
    assert prepared(make_dir(PLAY), playbook="test.yml", envvars={name: TOO_LONG}).env[name].startswith(TOO_LONG)


@pytest.mark.parametrize("name", ["LANG", "LC_ALL", "LC_MESSAGES"])
def test_a_locale_that_the_node_lacks_is_replaced(
    name: str, make_dir: DirFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("LANG", "LC_ALL", "LC_CTYPE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("LANG", "C.UTF-8")
    with pytest.raises(locale.Error):
        locale.setlocale(locale.LC_ALL, "tlh_QO.UTF-8")
    env = prepared(make_dir(PLAY), playbook="test.yml", envvars={name: "tlh_QO.UTF-8"}).env
    assert env["LC_ALL"] == "C.UTF-8"
    assert "LC_ALL" not in prepared(make_dir(PLAY), playbook="test.yml", envvars={"LANG": "C.UTF-8"}).env


@pytest.mark.slow
@pytest.mark.parametrize("how", ["config", "variable", "module"])
def test_the_stdout_callback_of_ansible_runner_means_the_default(how: str, make_dir: DirFactory) -> None:
    directory = make_dir(tasks("debug: {msg: hello}"))
    if how == "config":
        (directory / "project" / "ansible.cfg").write_text("[defaults]\nstdout_callback = awx_display\n")
    else:
        directory = make_dir(env__envvars="ANSIBLE_STDOUT_CALLBACK: awx_display")
    what = {"module": "debug", "module_args": "msg=hello", "playbook": None, "host_pattern": "all"}
    done = work(job(directory, **(what if how == "module" else {})))
    assert statuses(done.stdout)[-1]["status"] == "successful", done.stdout
    events = events_of(processed(done.stdout, directory))
    kinds = [event["event"] for event in events]
    assert "runner_on_ok" in kinds
    shown = "".join(event["stdout"] for event in events)
    assert ("localhost | SUCCESS => {" if how == "module" else "PLAY RECAP") in shown
