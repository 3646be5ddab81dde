"""A sealed job opens on its node, once, and nowhere else; sealed results come whole, or not at all."""

from __future__ import annotations

import io
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from receptor_runner.archive.collect import collect
from receptor_runner.archive.entry import Entry
from receptor_runner.delta.digest_index import DigestIndex
from receptor_runner.delta.references import Digester
from receptor_runner.delta.sender import DeltaSender
from receptor_runner.delta.shared import SharedArchives
from receptor_runner.errors import ConfigurationError, ReceptorRunnerError, RefusedError
from receptor_runner.limits import DEFAULT_LIMITS
from receptor_runner.sealing import node_key
from receptor_runner.sealing.envelope import BLOCK, TAG, BlockCipher, fingerprint
from receptor_runner.sealing.format import SealedReceiver, SealedSender
from receptor_runner.sealing.node_key import NodeKey
from receptor_runner.sealing.results import SealingOutput, Unsealer
from receptor_runner.sealing.sealed_file import SealedReader, SealingWriter
from receptor_runner.sealing.spool import sealed_spool
from receptor_runner.stages.interrupts import MeshInterrupts
from receptor_runner.stages.process import Processor, ProcessorOptions
from receptor_runner.stream.archive_receiver import ArchiveReceiver
from receptor_runner.stream.codec import END_OF_STREAM, encode, encode_archive
from receptor_runner.stream.endpoints import FileOutput
from receptor_runner.stream.messages import Extension, JobEvent, Status
from receptor_runner.stream.reader import StreamReader
from receptor_runner.system.signals import StopFlag
from tests.support.deltas import OWNER, refuse

LINE = Extension(job="j", owner="o")
KEY = b"r" * 32


class Sealed:
    """A job that is sealed for the node whose key is in ``directory``."""

    def __init__(self, directory: Path, content: bytes = b"the playbook") -> None:
        self.key = NodeKey(str(directory / "key"))
        sender = SealedSender(None, self.key.make(), KEY)
        self.line = sender.dressed(LINE, {"playbook": "secret.yml"})
        with tempfile.TemporaryFile() as file:
            packer = sender.packer(file, refuse)
            for _ in packer.pack([Entry.of_bytes("project/secret.yml", content)]):
                pass
            self.archive = b"".join(packer.chunks())
            assert packer.size == len(self.archive)

    def open(self, target: Path, line: Extension | None = None, key: NodeKey | None = None) -> SealedReceiver:
        target.mkdir(exist_ok=True)
        receiver = SealedReceiver(line or self.line, key or self.key, lambda: None, "job")
        for _ in receiver.unpack(io.BytesIO(self.archive), str(target), DEFAULT_LIMITS, artifacts=False):
            pass
        return receiver


def test_a_job_opens_on_its_node_and_says_nothing_on_its_way(tmp_path: Path) -> None:
    job = Sealed(tmp_path, b"S3CRET" * 100_000)
    travels = json.dumps(job.line.to_json()).encode() + job.archive
    assert b"secret" not in travels.lower()
    opened = job.open(tmp_path / "job")
    assert (tmp_path / "job" / "project" / "secret.yml").read_bytes() == b"S3CRET" * 100_000
    assert opened.extension.parameters == {"playbook": "secret.yml"}
    assert opened.results_key == KEY


def test_a_job_opens_once(tmp_path: Path) -> None:
    job = Sealed(tmp_path)
    job.open(tmp_path / "one")
    (tmp_path / "two").mkdir()
    again = SealedReceiver(job.line, job.key, lambda: None, "job")
    with pytest.raises(RefusedError, match="before"):
        list(again.unpack(io.BytesIO(job.archive), str(tmp_path / "two"), DEFAULT_LIMITS, artifacts=False))
    assert not list((tmp_path / "two").iterdir())
    assert again.results_key is None, "no key encrypts two things"


def test_a_job_opens_once_by_whatever_name_its_key_has(tmp_path: Path) -> None:
    job = Sealed(tmp_path)
    job.open(tmp_path / "one")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "link").symlink_to(tmp_path / "key")
    with pytest.raises(RefusedError, match="before"):
        job.open(tmp_path / "two", key=NodeKey(str(tmp_path / "elsewhere" / "link")))


def test_what_is_sealed_for_two_nodes_is_packed_once(tmp_path: Path) -> None:
    file = tmp_path / "job" / "project" / "file"
    file.parent.mkdir(parents=True)
    file.write_text("as it was")
    digester = Digester(b"k" * 32)
    reference = {"owner": OWNER, "key": "6b" * 32, "cipher": "6c" * 32}
    with SharedArchives() as shared:
        for number in range(2):
            index = DigestIndex(tmp_path / f"index{number}", digester)
            packed = DeltaSender(digester, index, frozenset(), reference, shared.apart(sealed_spool))
            key = NodeKey(str(tmp_path / f"key{number}"))
            sender = SealedSender(packed, key.make())
            line = sender.dressed(LINE, {})
            with tempfile.TemporaryFile() as archive:
                packer = sender.packer(archive, refuse)
                for _ in packer.pack(collect(str(tmp_path / "job"), refuse)):
                    pass
                received = b"".join(packer.chunks())
            target = tmp_path / f"node{number}"
            target.mkdir()
            for _ in SealedReceiver(line, key, lambda: None, "job").unpack(
                io.BytesIO(received), str(target), DEFAULT_LIMITS, artifacts=False
            ):
                pass
            assert (target / "project" / "file").read_text() == "as it was"
            file.write_text("as it is now")


def test_what_is_sealed_to_prepare_a_node_is_not_run(tmp_path: Path) -> None:
    job = Sealed(tmp_path)
    (tmp_path / "job").mkdir()
    receiver = SealedReceiver(job.line, job.key, lambda: None, "prepare")
    with pytest.raises(RefusedError):
        list(receiver.unpack(io.BytesIO(job.archive), str(tmp_path / "job"), DEFAULT_LIMITS, artifacts=False))


def test_a_job_does_not_open_elsewhere(tmp_path: Path) -> None:
    job = Sealed(tmp_path)
    (tmp_path / "other").mkdir()
    other = NodeKey(str(tmp_path / "other" / "key"))
    own = fingerprint(other.make())
    with pytest.raises(RefusedError) as caught:
        job.open(tmp_path / "job", key=other)
    assert own in str(caught.value)
    assert str((job.line.sealed or {})["recipient"]) in str(caught.value)
    with pytest.raises(RefusedError, match="no key"):
        job.open(tmp_path / "job", key=NodeKey(str(tmp_path / "none")))
    assert not list((tmp_path / "job").iterdir())


@pytest.mark.parametrize("name", ["job", "owner"])
def test_a_job_does_not_open_under_another_name(tmp_path: Path, name: str) -> None:
    job = Sealed(tmp_path)
    line = Extension.of({"receptor_runner": {**job.line.to_json(), name: "another"}})
    with pytest.raises(RefusedError):
        job.open(tmp_path / "job", line)


def test_parts_of_two_jobs_do_not_make_one(tmp_path: Path) -> None:
    one, two = Sealed(tmp_path), Sealed(tmp_path)
    one.archive = two.archive
    with pytest.raises(RefusedError):
        one.open(tmp_path / "job")


@given(data=st.data())
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_nothing_that_was_changed_runs(tmp_path: Path, data: st.DataObject) -> None:
    job = Sealed(tmp_path, os.urandom(200_000))
    whole = job.archive
    kind = data.draw(st.sampled_from(["flip", "cut", "more", "swap"]))
    place = data.draw(st.integers(0, 199_999))
    block = BLOCK + TAG
    job.archive = {
        "flip": whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :],
        "cut": whole[:place],
        "more": whole + whole[-place - 1 :],
        "swap": whole[block : 2 * block] + whole[:block] + whole[2 * block :],
    }[kind]
    target = tmp_path / "job"
    with pytest.raises(ReceptorRunnerError) as caught:
        job.open(target)
    assert caught.value.exit_code in (76, 77)
    shutil.rmtree(target)


@pytest.mark.parametrize("hours", [-30, 24 * 8])
def test_a_job_that_is_too_old_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hours: float) -> None:
    job = Sealed(tmp_path)
    now = time.time() + hours * 3600
    monkeypatch.setattr("receptor_runner.sealing.format.time.time", lambda: now)
    with pytest.raises(RefusedError, match="hours"):
        job.open(tmp_path / "job")


def test_a_key_that_others_can_read_is_none(tmp_path: Path) -> None:
    job = Sealed(tmp_path)
    (tmp_path / "key").chmod(0o644)
    with pytest.raises(ConfigurationError, match="others"):
        job.open(tmp_path / "job")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_key_of_somebody_else_is_none(tmp_path: Path) -> None:
    job = Sealed(tmp_path)
    os.chown(tmp_path / "key", 12345, 12345)
    with pytest.raises(ConfigurationError, match="somebody else"):
        job.open(tmp_path / "job")


def test_a_key_is_made_once(tmp_path: Path) -> None:
    key = NodeKey(str(tmp_path / "deep" / "key"))
    assert key.make() == key.make()
    assert (tmp_path / "deep" / "key").stat().st_mode & 0o777 == 0o600
    (tmp_path / "deep" / "key").write_bytes(b"short")
    with pytest.raises(ConfigurationError):
        key.make()


def test_what_came_long_ago_is_not_remembered_for_ever(tmp_path: Path) -> None:
    key = NodeKey(str(tmp_path / "key"))
    key.make()
    key.note_opened(b"old")
    old = next((tmp_path / "key.opened").iterdir())
    long_ago = time.time() - 3 * node_key.ON_ITS_WAY_SECONDS
    os.utime(old, (long_ago, long_ago))
    key.note_opened(b"new")
    assert len(list((tmp_path / "key.opened").iterdir())) == 1


@given(
    content=st.binary(max_size=3 * BLOCK + 7),
    places=st.lists(st.tuples(st.integers(0, 4 * BLOCK), st.integers(0, 3 * BLOCK)), max_size=5),
)
@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.data_too_large, HealthCheck.too_slow])
def test_a_sealed_file_is_read_as_any_other(content: bytes, places: list[tuple[int, int]]) -> None:
    file = io.BytesIO()
    writer = SealingWriter(file, BlockCipher(KEY, "x"))
    for place in range(0, len(content), 50_000):
        writer.write(content[place : place + 50_000])
    writer.finish()
    reader, plain = SealedReader(file, BlockCipher(KEY, "x")), io.BytesIO(content)
    for place, size in places:
        reader.seek(place)
        plain.seek(place)
        assert reader.read(size) == plain.read(size)
    reader.seek(0)
    assert reader.read() == content


def sealed_results() -> tuple[list[bytes], list[object]]:
    """The writes of a worker, sealed, and what a reader is to find."""
    written: list[bytes] = []

    class Sink(io.RawIOBase):
        def write(self, data: bytes) -> int:  # type: ignore[override]
            written.append(bytes(data))
            return len(data)

    output = SealingOutput(FileOutput(Sink()), KEY)
    output.write(encode({"status": "starting"}))
    for counter in range(1, 6):
        output.write(encode({"event": "verbose", "counter": counter, "uuid": f"u{counter}", "stdout": "S3CRET"}))
    line = encode({"event": "verbose", "counter": 6, "uuid": "u6", "stdout": "x" * 200_000})
    output.write(line[:70_000])
    output.write(line[70_000:])
    for piece in encode_archive(5, "", [b"12345"]):
        output.write(piece)
    output.write(encode({"status": "successful"}))
    output.write(END_OF_STREAM)
    return written, ["starting", 1, 2, 3, 4, 5, 6, "archive", "successful"]


def found(reader: StreamReader, data: bytes) -> list[object]:
    items: list[object] = []
    for item in reader.feed(data):
        if isinstance(item, JobEvent):
            items.append(item.data["counter"])
        elif isinstance(item, Status):
            items.append(item.data["status"])
        elif isinstance(item, ArchiveReceiver):
            items.append("archive")
    return items


def test_sealed_results_are_read_from_every_place_where_a_reader_stopped() -> None:
    written, wanted = sealed_results()
    whole = b"".join(written)
    assert b"S3CRET" not in whole
    assert whole.endswith(END_OF_STREAM)
    for cut in range(len(written)):
        reader = StreamReader(unseal=Unsealer(KEY))
        before = found(reader, b"".join(written[:cut])) if cut else []
        place, done, block = reader.boundary, reader.done, reader.block
        reader.close()
        again = StreamReader(start=place, skip=done, unseal=Unsealer(KEY, block))
        after = found(again, whole[place:])
        again.close()
        assert before + after == wanted
        assert again.finished


def test_sealed_results_need_their_key() -> None:
    whole = b"".join(sealed_results()[0])
    with pytest.raises(RefusedError, match="sealed"):
        found(StreamReader(), whole)
    with pytest.raises(RefusedError):
        found(StreamReader(unseal=Unsealer(b"x" * 32)), whole)


@pytest.mark.parametrize(
    "change",
    [
        lambda lines: [lines[1], lines[0], *lines[2:]],
        lambda lines: [*lines[:2], *lines[3:]],
        lambda lines: [*lines[:2], lines[1], *lines[2:]],
        lambda lines: [encode({"status": "successful"}), *lines],
        lambda lines: [encode({"event": "verbose", "counter": 1, "uuid": "u", "stdout": ""}), *lines],
    ],
)
def test_sealed_results_that_were_changed_are_refused(change: Callable[[list[bytes]], list[bytes]]) -> None:
    lines = sealed_results()[0]
    with pytest.raises(RefusedError):
        found(StreamReader(unseal=Unsealer(KEY)), b"".join(change(lines)))


def test_a_reader_that_goes_on_takes_no_block_twice_and_nothing_in_clear() -> None:
    lines = sealed_results()[0]
    for said in (lines[1], encode({"status": "canceled"}) + END_OF_STREAM):
        reader = StreamReader(start=1, unseal=Unsealer(KEY, 3))
        with pytest.raises(RefusedError):
            found(reader, said)


def test_an_end_that_was_not_sealed_is_none() -> None:
    lines = sealed_results()[0]
    reader = StreamReader(unseal=Unsealer(KEY))
    with pytest.raises(RefusedError, match="end"):
        found(reader, b"".join(lines[:3]) + encode({"status": "successful"}) + END_OF_STREAM)
    assert not reader.finished


def test_a_worker_may_say_in_clear_that_it_cannot_begin() -> None:
    reader = StreamReader(unseal=Unsealer(KEY))
    said = found(reader, encode({"status": "error", "job_explanation": "no key"}) + END_OF_STREAM)
    assert said[0] == "error"
    assert reader.finished
    doubt = reader.doubt("no key")
    assert doubt is not None
    assert str(doubt).startswith("no key (this came in clear")


def test_what_says_in_clear_that_it_was_cancelled_is_not_believed(tmp_path: Path) -> None:
    """Also if it was to be: whoever keeps the cancel back could say so."""
    options = ProcessorOptions(
        str(tmp_path), unseal=Unsealer(KEY), interrupts=MeshInterrupts(), cancel_callback=lambda: True
    )
    with StopFlag() as flag, Processor(flag, options) as processor:
        processor.check_stop()
        processor.feed(encode({"status": "canceled"}) + END_OF_STREAM)
        processor.conclude()
        assert processor.exit_code == 77
        assert processor.is_doubtful


def test_sealed_results_are_no_reason_to_doubt() -> None:
    reader = StreamReader(unseal=Unsealer(KEY))
    found(reader, b"".join(sealed_results()[0]))
    assert reader.doubt("anything") is None
