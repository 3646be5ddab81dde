"""What strangers send: an archive that is not what it says, and somebody who wants what is another's."""

from __future__ import annotations

from pathlib import Path

import pytest

from receptor_runner.delta.lacking import LackingError
from receptor_runner.delta.manifest import write_root
from receptor_runner.delta.references import Digester, Reference
from receptor_runner.errors import ArchiveError, LimitError, ReceptorRunnerError
from tests.support.deltas import (
    DIGESTER,
    OWNER,
    Client,
    archive,
    contents,
    one_file,
    seen,
    unpack,
    zipped,
)


@pytest.mark.parametrize(
    "name",
    [
        "project/../../x",
        "/project/x",
        "env/x",
        "x",
        "../project/x",
        "project/" + "d/" * 300,
        "project//x",
        "project/./x",
        "project/x/",
    ],
)
def test_no_name_of_a_manifest_leads_elsewhere(tmp_path: Path, name: str) -> None:
    (tmp_path / "job").mkdir()
    data = b"content"
    file = archive(one_file(name, data), more={f"/{DIGESTER.digest(data).hex()}": data})
    with file, pytest.raises(ArchiveError):
        unpack(file, tmp_path / "job", tmp_path / "store", DIGESTER)
    assert not [path for path in tmp_path.rglob("x") if path.is_file()]


def test_a_content_under_a_wrong_name_is_refused_and_not_kept(tmp_path: Path) -> None:
    (tmp_path / "job").mkdir()
    wanted = one_file("project/x", b"what it should be")
    file = archive(wanted, more={f"/{wanted.references[0].digest.hex()}": b"something else!!!"})
    with file, pytest.raises(ArchiveError, match="digest"):
        unpack(file, tmp_path / "job", tmp_path / "store", DIGESTER)
    assert b"something else!!!" not in [path.read_bytes() for path in contents(tmp_path / "store")]


@pytest.mark.parametrize(
    "root",
    [
        b"",
        b"[]",
        b'{"version":1}',
        b'{"version":2,"pieces":[]}',
        b'{"version":1,"pieces":[["00",1,1]]}',
        b'{"version":1,"pieces":[["' + b"00" * 16 + b'",99999999999,1]]}',
        b'{"version":1,"pieces":7}',
        b"[" * 5000,
    ],
)
def test_a_manifest_that_is_none_is_told_in_one_line(tmp_path: Path, root: bytes) -> None:
    with zipped({"/manifest": root}) as file, pytest.raises(ReceptorRunnerError) as caught:
        unpack(file, tmp_path, tmp_path / "store", DIGESTER)
    assert isinstance(caught.value, (ArchiveError, LimitError))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "lines",
    [
        "[]",
        '[["project/x",33188,0,5,0]]',
        '[["project/x",8630,0,0,0]]',
        '[["project/x",41471,0]]',
        '[["project/x",41471,0,"a\\u0000b"]]',
        '[["project/x",33188,0,-1,0,["' + "00" * 16 + '",-1,0]]]',
        '[["project/x",33188,"0",0,0]]',
        "[7]",
        "{}",
        '[["project/x",33188,99999999999999999999999999,0,0]]',
    ],
)
def test_a_piece_that_is_none_harms_nobody(tmp_path: Path, lines: str) -> None:
    piece = lines.encode()
    reference = DIGESTER.reference(piece)
    with zipped({"/manifest": write_root([reference]), f"/{reference.digest.hex()}": piece}) as file:
        if lines == "[]":
            unpack(file, tmp_path, tmp_path / "store", DIGESTER)
            return
        with pytest.raises(ArchiveError) as caught:
            unpack(file, tmp_path, tmp_path / "store", DIGESTER)
    assert "\n" not in str(caught.value)


def test_nobody_gets_what_another_has_sent(tmp_path: Path) -> None:
    """Not even one who knows the file, the key of the digests and the store, but not the name of its owner."""
    secret = b"what the others have"
    job = tmp_path / "job"
    (job / "project").mkdir(parents=True)
    (job / "project" / "x").write_bytes(secret)
    Client(job, tmp_path / "memory").send(tmp_path / "node", tmp_path / "store")
    (tmp_path / "thief").mkdir()
    with archive(one_file("project/x", secret)) as file, pytest.raises(LackingError) as caught:
        unpack(file, tmp_path / "thief", tmp_path / "store", DIGESTER, "f" * 32)
    assert caught.value.digests == (DIGESTER.digest(secret),), "he hears what he hears of a file that nobody has"
    assert not (tmp_path / "thief" / "project" / "x").exists()
    with archive(one_file("project/x", secret + b"!")) as file, pytest.raises(LackingError):
        unpack(file, tmp_path / "thief", tmp_path / "store", DIGESTER, "f" * 32)


def test_three_controllers_share_a_store_and_none_hears_of_the_others(tmp_path: Path) -> None:
    clients = []
    for number in range(3):
        job = tmp_path / f"job{number}"
        (job / "project").mkdir(parents=True)
        (job / "project" / "same").write_bytes(b"everybody has it")
        (job / "project" / "own").write_bytes(b"only %d has it" % number)
        clients.append(Client(job, tmp_path / f"memory{number}", bytes([number]) * 32, f"{number:032x}"))
    for number, client in enumerate(clients):
        assert client.send(tmp_path / f"node{number}", tmp_path / "store") == 1
    evil = clients[2]
    evil.there = clients[0].there | clients[1].there
    assert evil.send(tmp_path / "node2", tmp_path / "store") == 1
    for number, client in enumerate(clients):
        assert client.send(tmp_path / f"node{number}", tmp_path / "store") == 1
        assert seen(tmp_path / f"node{number}").keys() == seen(tmp_path / f"job{number}").keys()
        assert (tmp_path / f"node{number}" / "project" / "own").read_bytes() == b"only %d has it" % number


def test_a_reference_is_what_its_content_is() -> None:
    reference = DIGESTER.reference(b"x")
    assert DIGESTER.agrees(reference, b"x")
    assert not DIGESTER.agrees(reference, b"y")
    assert not DIGESTER.agrees(Reference(reference.digest, 2, reference.crc), b"x")
    assert Digester(b"other").digest(b"x") != reference.digest
    assert len(OWNER) == 32
