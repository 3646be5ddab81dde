"""The fact cache: what a controller sends is what a job knows, and what a job learns is what a controller finds.

All of it holds for every ansible-core, and for both ends in different time zones."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

import receptor_runner
from receptor_runner.preparation.fact_cache import FactCache
from tests.support.commands import OURS
from tests.support.private_data import DirFactory, tasks
from tests.support.processes import Stopwatch

HOSTS = "h1 ansible_connection=local\nh2 ansible_connection=local\n"
#: The moment of a file, an hour ago (Ansible forgets facts after a day), in the 100 ns steps that our stages keep.
STAMP = (int(time.time()) - 3600) * 10**9 + 678_912_300
ZONES = ("Asia/Tokyo", "America/Los_Angeles", "Europe/Berlin")


def piped(directory: Path, to: Path, zones: tuple[str, str, str] = ("UTC", "UTC", "UTC")) -> Path:
    """Runs the job of ``directory``, each stage in its time zone; the artifacts that a controller finds in ``to``."""
    words: list[list[str | Path]] = [
        [*OURS, "transmit", directory, "-p", "test.yml", "-i", "j"],
        [*OURS, "worker"],
        [*OURS, "process", to],
    ]
    data = b""
    for word, zone in zip(words, zones, strict=True):
        done = subprocess.run(
            word, input=data, stdout=subprocess.PIPE, env={**os.environ, "TZ": zone}, timeout=60, check=False
        )
        assert done.returncode == 0, done.stdout[-2000:].decode()
        data = done.stdout
    return to / "artifacts"


def known(directory: Path, host: str, facts: Any, *, name: str | None = None) -> Path:
    """What a controller writes for a job before it transmits it."""
    path = directory / "artifacts" / "j" / "fact_cache" / (name or host)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(facts))
    os.utime(path, ns=(STAMP, STAMP))
    return path


def opened(path: str) -> int:
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)


def modified(artifacts: Path) -> Any:
    return json.loads((artifacts / "fact_cache_modified.json").read_text())


@pytest.mark.slow
def test_the_fact_cache_crosses_time_zones_unchanged(make_dir: DirFactory, tmp_path: Path) -> None:
    """AWX: a stamp came back 28,801.678 s early, and ansible-core 2.19 neither read nor saved facts."""
    directory = make_dir(
        tasks(
            "assert: {that: \"mine.deep == [1, 'é']\"}\nwhen: inventory_hostname == 'h1'",
            "set_fact: {learnt: [{a: 'ü'}], cacheable: true}\nwhen: inventory_hostname == 'h2'",
        ),
        inventory=HOSTS,
    )
    sent = known(directory, "h1", {"mine": {"deep": [1, "é"]}})
    artifacts = piped(directory, tmp_path / "back", ZONES)
    cache = artifacts / "fact_cache"
    assert sorted(path.name for path in cache.iterdir()) == ["h1", "h2"]
    assert (cache / "h1").read_bytes() == sent.read_bytes()
    assert (cache / "h1").stat().st_mtime_ns == STAMP
    assert json.loads((cache / "h2").read_text()) == {"learnt": [{"a": "ü"}]}
    assert modified(artifacts) == {"modified_files": ["h2"], "cleared_files": []}


@pytest.mark.slow
def test_facts_that_change_are_told_and_newer(make_dir: DirFactory, tmp_path: Path) -> None:
    directory = make_dir(tasks("set_fact: {mine: 2, cacheable: true}"), inventory=HOSTS)
    known(directory, "h1", {"mine": 1, "other": "stays"})
    artifacts = piped(directory, tmp_path / "back", ZONES)
    assert json.loads((artifacts / "fact_cache" / "h1").read_text()) == {"mine": 2, "other": "stays"}
    assert (artifacts / "fact_cache" / "h1").stat().st_mtime_ns > STAMP
    assert modified(artifacts) == {"modified_files": ["h1", "h2"], "cleared_files": []}


@pytest.mark.slow
def test_a_controller_whose_clock_is_ahead_loses_no_facts(make_dir: DirFactory, tmp_path: Path) -> None:
    directory = make_dir(tasks("set_fact: {mine: 2, cacheable: true}"), inventory=HOSTS.splitlines()[0])
    sent = known(directory, "h1", {"mine": 1})
    os.utime(sent, (time.time() + 300,) * 2)
    artifacts = piped(directory, tmp_path / "back")
    assert json.loads((artifacts / "fact_cache" / "h1").read_text()) == {"mine": 2}
    assert modified(artifacts)["modified_files"] == ["h1"]


@pytest.mark.slow
def test_cleared_facts_are_missing(make_dir: DirFactory, tmp_path: Path) -> None:
    """A controller takes a missing file for cleared facts."""
    directory = make_dir(tasks("debug: {msg: '{{ mine }}'}", "meta: clear_facts"), inventory=HOSTS.splitlines()[0])
    known(directory, "h1", {"mine": 1})
    known(directory, "h2", {"mine": 1})
    artifacts = piped(directory, tmp_path / "back")
    assert [path.name for path in (artifacts / "fact_cache").iterdir()] == ["h2"]
    assert modified(artifacts) == {"modified_files": [], "cleared_files": ["h1"]}


@pytest.mark.slow
def test_files_of_a_new_ansible_core_are_known_to_every_one(make_dir: DirFactory, tmp_path: Path) -> None:
    """As a job that did not run with us left them."""
    text = {"__ansible_type": "_AnsibleTaggedStr", "value": "text", "tags": []}
    day = {"__ansible_type": "AnsibleSerializableDate", "iso8601": "2026-01-02"}
    directory = make_dir(tasks("assert: {that: [mine == 'text']}"), inventory=HOSTS.splitlines()[0])
    known(directory, "h1", {"__payload__": json.dumps({"mine": text, "day": day})}, name="s1_h1")
    artifacts = piped(directory, tmp_path / "back")
    assert [path.name for path in (artifacts / "fact_cache").iterdir()] == ["h1"]
    assert json.loads((artifacts / "fact_cache" / "h1").read_text()) == {"mine": "text", "day": "2026-01-02"}
    assert (artifacts / "fact_cache" / "h1").stat().st_mtime_ns == STAMP


@pytest.mark.slow
@pytest.mark.parametrize("key", ["__ansible_type", "__ansible\\u005ftype"])
def test_facts_of_a_host_cannot_become_trusted(key: str, make_dir: DirFactory, tmp_path: Path) -> None:
    """A managed host chooses what its facts say; ansible-core would run a template that is marked as trusted."""
    directory = make_dir(tasks("debug: {var: evil}"), inventory=HOSTS.splitlines()[0])
    evil = '{"KEY": "_AnsibleTaggedStr", "value": "{{ 40 + 2 }}", "tags": [{"KEY": "TrustedAsTemplate"}]}'
    path = known(directory, "h1", {})
    path.write_text(f'{{"evil": {evil.replace("KEY", key)}}}')
    artifacts = piped(directory, tmp_path / "back")
    assert "42" not in (artifacts / "stdout").read_text()
    assert "40 + 2" in (artifacts / "stdout").read_text()


@pytest.mark.slow
def test_damaged_facts_harm_only_themselves(make_dir: DirFactory, tmp_path: Path) -> None:
    directory = make_dir(tasks("set_fact: {mine: 1, cacheable: true}"), inventory=HOSTS)
    known(directory, "h3", {}, name="s1_h3").write_text('{"__payload__": "[[[')
    known(directory, "h4", {}).write_text('{"__ansible')
    known(directory, "h5", {}).write_bytes(b"\xff\xfe")
    artifacts = piped(directory, tmp_path / "back")
    assert modified(artifacts)["modified_files"] == ["h1", "h2"]


@pytest.mark.slow
def test_what_a_host_calls_encrypted_is_not_decrypted_and_harms_no_job(make_dir: DirFactory, tmp_path: Path) -> None:
    directory = make_dir(tasks("debug: {var: mine}"), inventory=HOSTS)
    for host, vaulted in (("h1", 5), ("h2", "$ANSIBLE_VAULT;1.1;AES256\n6132\n")):
        known(directory, host, {"mine": {"__ansible_vault": vaulted}})
    artifacts = piped(directory, tmp_path / "back")
    assert (artifacts / "rc").read_text() == "0"
    assert modified(artifacts)["modified_files"] == []


@pytest.mark.slow
def test_facts_that_say_nothing_new_are_not_modified(make_dir: DirFactory, tmp_path: Path) -> None:
    """ansible-core 2.21 writes those of every host again, and none for a host that has none: a controller would take
    them for fresh ones.
    """
    directory = make_dir(tasks("debug: {msg: '{{ mine | default(0) }}'}"), inventory=HOSTS)
    before = known(directory, "h1", {"mine": 1}).read_bytes()
    artifacts = piped(directory, tmp_path / "back")
    assert modified(artifacts) == {"modified_files": [], "cleared_files": []}
    assert [path.name for path in (artifacts / "fact_cache").iterdir()] == ["h1"]
    assert (artifacts / "fact_cache" / "h1").read_bytes() == before


def test_hosts_with_names_of_the_other_form_keep_their_facts(tmp_path: Path) -> None:
    for name in ("h1", "s1_h1", "x" * 253):
        (tmp_path / name).write_text(json.dumps({"name": name}))
    cache = FactCache(str(tmp_path), "2.19.0", opened)
    with cache:
        cache.translate()
        assert cache.translate_back() == ([], [])
    assert {path.name: json.loads(path.read_text())["name"] for path in tmp_path.iterdir()} == {
        name: name for name in ("h1", "s1_h1", "x" * 253)
    }


@pytest.mark.parametrize("kind", ["file", "link", "another job's"])
def test_a_cache_that_is_not_this_jobs_own_is_left_alone(kind: str, tmp_path: Path) -> None:
    cache, elsewhere = tmp_path / "cache", tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "h1").write_text("{}")
    if kind == "file":
        cache.write_text("")
    else:
        cache.symlink_to(elsewhere)
    one = str(elsewhere if kind == "another job's" else cache)
    with FactCache(str(elsewhere), None, opened), FactCache(one, None, opened) as mine:
        mine.translate()
        assert mine.translate_back() == ([], [])
    assert [path.name for path in elsewhere.iterdir()] == ["h1"]


@pytest.mark.slow
@pytest.mark.parametrize("cache", [".", "..", "{tmp_path}/shared"])
def test_only_a_directory_of_its_own_among_the_artifacts_is_translated(
    cache: str, make_dir: DirFactory, tmp_path: Path
) -> None:
    directory = make_dir(tasks("set_fact: {mine: 1, cacheable: true}"), inventory=HOSTS)
    result = receptor_runner.run(
        private_data_dir=directory,
        playbook="test.yml",
        ident="j",
        quiet=True,
        fact_cache=cache.format(tmp_path=tmp_path),
    )
    assert result.status == "successful"
    assert not (directory / "artifacts" / "j" / "fact_cache_modified.json").exists()


@pytest.mark.slow
def test_a_run_on_this_machine_has_the_same_cache(make_dir: DirFactory) -> None:
    directory = make_dir(
        tasks("assert: {that: mine | default(1) == 1}", "set_fact: {mine: 1, cacheable: true}"), inventory=HOSTS
    )
    for _ in range(2):
        result = receptor_runner.run(private_data_dir=directory, playbook="test.yml", ident="j", quiet=True)
        assert (result.status, result.get_fact_cache("h1")) == ("successful", {"mine": 1})
    assert sorted(path.name for path in (directory / "artifacts" / "j" / "fact_cache").iterdir()) == ["h1", "h2"]


@pytest.mark.slow
def test_a_cache_of_the_users_own_is_left_alone(make_dir: DirFactory, tmp_path: Path) -> None:
    own = tmp_path / "own"
    directory = make_dir(
        tasks("set_fact: {mine: 1, cacheable: true}"),
        inventory=HOSTS,
        env__settings="{fact_cache_type: ''}",
        env__envvars=f"{{ANSIBLE_CACHE_PLUGIN: jsonfile, ANSIBLE_CACHE_PLUGIN_CONNECTION: {own}}}",
    )
    artifacts = piped(directory, tmp_path / "back")
    assert len(list(own.iterdir())) == 2
    assert not (artifacts / "fact_cache_modified.json").exists()


def test_facts_that_are_too_large_or_no_file_cost_nothing(tmp_path: Path) -> None:
    """A job may leave anything there."""
    (tmp_path / "s1_large").write_bytes(b'{"__payload__": "' + bytes(64 * 1024 * 1024))
    for number in range(50):
        os.link(tmp_path / "s1_large", tmp_path / f"s1_large{number}")
    (tmp_path / "localhost").mkdir()
    (tmp_path / "s1_localhost").write_text('{"__payload__": "{}"}')
    (tmp_path / "s1_deep").write_text('{"__payload__": "' + "[" * 5000 + "]" * 5000 + '"}')
    (tmp_path / "s1_fine").write_text('{"__payload__": "{\\"a\\": 1}"}')
    cache = FactCache(str(tmp_path), "2.19.0", opened)
    began = Stopwatch()
    with cache:
        modified_hosts, _ = cache.translate_back()
    assert began.seconds() < 10
    assert json.loads((tmp_path / "fine").read_text()) == {"a": 1}
    assert "fine" in modified_hosts


def test_a_cache_of_a_job_in_a_hurry_is_left(tmp_path: Path) -> None:
    (tmp_path / "s1_h").write_text('{"__payload__": "{}"}')
    with FactCache(str(tmp_path), "2.19.0", opened, lambda: True) as cache:
        cache.translate_back()
    assert (tmp_path / "s1_h").exists()
