"""Records of jobs on disk: what an older version wrote is read, and damage is named."""

from __future__ import annotations

import json
import os
import resource
from pathlib import Path
from typing import Any

import pytest

from receptor_runner.errors import InputError, OutputError
from receptor_runner.receptor.address import Address
from receptor_runner.records.journal import Journal
from receptor_runner.records.record import Record, Route, UnitRef
from receptor_runner.records.store import NoJobError, Records
from receptor_runner.results.verdict import Verdict

#: As version 0.1.0 wrote it.
OLD: dict[str, Any] = {
    "id": "j", "private_data_dir": "/demo", "artifact_dir": "/demo/artifacts/j",
    "endpoint": {
        "socket": "/run/ctl.sock", "config": None, "tlsclient": "cli", "rootcas": None, "key": None, "cert": None,
        "insecureskipverify": False, "through": None, "through_tls": None, "signing_key": None, "signature_seconds": 0.0,
    },
    "node": "exec1", "worktype": "receptor-runner", "signwork": True, "tlsclient": "cli", "ttl": "10m",
    "adopted": False, "private_node": None, "settings": {"job_timeout": 5}, "created": 1700000000.5,
    "units": [{"unit": "AbCd1234", "node": "exec1", "local": False, "remote_unit": "far.1"}],
    "state": "running", "status": None, "rc": None, "exit_code": None, "explanation": None, "ended": None,
    "delivered": False, "released": False,
}  # fmt: skip
ENDED = {
    **OLD, "state": "failed", "status": "failed", "rc": 2, "exit_code": 2, "ended": 1700000009.0, "delivered": True,
}  # fmt: skip


@pytest.fixture
def records(tmp_path: Path) -> Records:
    return Records(tmp_path)


def written(top: Path, data: Any) -> None:
    (top / "j").mkdir(exist_ok=True)
    (top / "j" / "job.json").write_text(data if isinstance(data, str) else json.dumps(data))


def test_a_record_of_the_version_before_is_read(records: Records, tmp_path: Path) -> None:
    written(tmp_path, OLD)
    record = records.load("j")
    assert record.route == Route("exec1", "receptor-runner", False, "10m", True, "cli")
    assert not record.route.direct
    assert record.units == [UnitRef("AbCd1234", "exec1", False, "far.1")]
    assert record.units[0].far_unit == "far.1"
    assert record.address == Address("/run/ctl.sock", tlsclient="cli")
    assert (record.state, record.verdict, record.settings) == ("running", None, {"job_timeout": 5})


def test_the_end_of_a_job_of_the_version_before_is_read(records: Records, tmp_path: Path) -> None:
    written(tmp_path, ENDED)
    record = records.load("j")
    assert record.verdict == Verdict("failed", "failed", 2, 2)
    assert (record.state, record.delivered, record.ended) == ("failed", True, 1700000009.0)


@pytest.mark.parametrize("data", [OLD, ENDED])
def test_what_is_written_is_what_the_version_before_reads(data: dict[str, Any]) -> None:
    """What was added since is passed over by it."""
    written = Record.from_json(data, "j").to_json()
    endpoint = {name: written["endpoint"][name] for name in data["endpoint"]}
    assert {**{name: written[name] for name in data}, "endpoint": endpoint} == data


def test_what_a_later_version_adds_is_no_damage(records: Records, tmp_path: Path) -> None:
    written(tmp_path, {**OLD, "colour": "red", "endpoint": {**OLD["endpoint"], "proxy": "x"}})
    assert records.load("j").id == "j"


@pytest.mark.parametrize(
    "data",
    [
        "", "[]", "{}", "null",
        {**OLD, "id": "k"}, {**OLD, "endpoint": {}}, {**OLD, "endpoint": {"socket": 5}}, {**OLD, "units": {}},
        {**OLD, "units": [{}]}, {**OLD, "units": [{"unit": "a b", "local": True}]}, {**OLD, "node": 5},
    ],
)  # fmt: skip
def test_a_damaged_record_says_which_and_how_to_get_rid_of_it(records: Records, tmp_path: Path, data: Any) -> None:
    written(tmp_path, data)
    with pytest.raises(InputError, match="is damaged") as raised:
        records.load("j")
    assert not isinstance(raised.value, NoJobError)
    assert raised.value.hint == "receptor-runner release --force j removes it"
    assert records.remove_damaged("j")
    with pytest.raises(NoJobError):
        records.load("j")


def test_a_damaged_record_does_not_hide_the_others(
    records: Records, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    written(tmp_path, "{")
    records.save(Record("good", "/demo", "/demo/a", Address("/s"), Route("n", "w")))
    assert [record.id for record in records.all()] == ["good"]
    assert "is damaged" in caplog.text


def test_a_job_has_one_follower_at_a_time(records: Records) -> None:
    with records.followed("j"), pytest.raises(OutputError, match="another process"), records.followed("j"):
        pass
    with records.followed("j"):
        pass


def test_a_journal_goes_on_where_it_was(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    assert (journal.offset, journal.skip, journal.events, journal.memory) == (0, 0, 0, {})
    journal.passed(1234567, 3, 42)
    journal.remember({"status": {"status": "running"}})
    journal.passed(5, 0, 1)
    journal.close()
    again = Journal(tmp_path)
    assert (again.offset, again.skip, again.events) == (5, 0, 1), "a shorter checkpoint leaves nothing of a longer one"
    assert again.memory == {"status": {"status": "running"}}
    again.close()


@pytest.mark.parametrize("text", [b"", b"1 2", b"x y z", b"-1 0 0", b"\0" * 128])
def test_a_torn_checkpoint_begins_anew(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "checkpoint").write_bytes(text)
    (tmp_path / "progress.json").write_bytes(b"{")
    journal = Journal(tmp_path)
    assert (journal.offset, journal.skip, journal.events, journal.memory) == (0, 0, 0, {})
    journal.close()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("private_node", ["x"]),
        ("private_node", 7),
        ("artifact_dir", "/a\0b"),
        ("settings", [1]),
        ("ended", "x"),
        ("rc", "x"),
    ],
)
def test_a_value_of_another_kind_is_damage(name: str, value: Any, records: Records, tmp_path: Path) -> None:
    written(tmp_path, {**OLD, name: value})
    with pytest.raises(InputError, match="damaged"):
        records.load("j")
    assert records.unreadable() == ["j"]


@pytest.mark.parametrize("kind", ["fifo", "device", "directory"])
def test_a_record_that_is_no_file_is_damage_and_can_be_removed(kind: str, records: Records, tmp_path: Path) -> None:
    (tmp_path / "j").mkdir()
    path = tmp_path / "j" / "job.json"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()
    with pytest.raises(InputError, match="damaged"):
        records.load("j")
    assert list(records.all()) == []
    assert records.remove_damaged("j")
    assert records.ids() == []


def test_what_is_no_name_of_a_job_is_passed_over(records: Records, tmp_path: Path) -> None:
    for name in (b"a\xffb", b"line\nend"):
        directory = os.fsencode(tmp_path) + b"/" + name
        os.mkdir(directory)
        os.close(os.open(directory + b"/job.json", os.O_CREAT | os.O_WRONLY))
    written(tmp_path, OLD)
    assert [record.id for record in records.all()] == ["j"]


def test_a_record_that_cannot_be_read_now_is_not_damaged(records: Records, tmp_path: Path) -> None:
    """The advice for a damaged one is to remove it."""
    written(tmp_path, OLD)
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = [os.open("/dev/null", os.O_RDONLY)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (taken[0] + 1, limit[1]))
    try:
        with pytest.raises(OutputError, match="Too many open files"):
            records.load("j")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limit)
        os.close(taken[0])


@pytest.mark.parametrize(
    ("checkpoint", "memory"),
    [
        ("500 0 3", {"status": "running"}), ("500 0 3", [1]), ("500 0 3", {}), (f"{10**30} 0 0", {"status": {}}),
        ("0 99 0", {"status": {"status": "running"}}), ("0 0 99", {"status": {"status": "running"}}),
    ],
)  # fmt: skip
def test_what_an_older_version_left_is_believed_only_as_a_whole(checkpoint: str, memory: Any, tmp_path: Path) -> None:
    (tmp_path / "checkpoint").write_text(checkpoint)
    (tmp_path / "progress.json").write_text(json.dumps(memory))
    journal = Journal(tmp_path)
    journal.close()
    assert (journal.offset, journal.skip, journal.events, journal.memory) == (0, 0, 0, {})
