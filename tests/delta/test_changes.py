"""Whatever changes between two jobs, and whatever happens to the store: the node has what a full transmit brings."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from receptor_runner.archive.collect import collect
from receptor_runner.archive.entry import Entry
from receptor_runner.delta import manifest
from receptor_runner.delta.content_store import ContentStore
from receptor_runner.delta.cutting import CUT_FROM
from receptor_runner.delta.digest_index import DigestIndex
from receptor_runner.delta.packer import DeltaPacker
from receptor_runner.delta.references import Digester
from receptor_runner.delta.sender import DeltaSender
from receptor_runner.delta.shared import SharedArchives
from receptor_runner.delta.stretch import KnownFile
from tests.support.deltas import Client, contents, refuse, seen, send_whole, unpack

NAMES = st.sampled_from(
    ["project/a", "project/b", "project/d/c", "roles/r/x", "roles/z", "inventory/hosts", "env/e", "other"]
)
SMALL = st.binary(max_size=40)
LARGE = st.integers(0, 3).map(lambda seed: random.Random(seed).randbytes(5_000_000))
MOMENT = st.integers(0, 4_000_000_000_000_000_000)
PLACE = "fedcba9876543210" * 2
CHANGE_OF_FILE = st.one_of(
    st.tuples(st.just("write"), NAMES, st.one_of(SMALL, LARGE)),
    st.tuples(st.just("insert"), NAMES, st.tuples(st.integers(0, 6_000_000), SMALL)),
    st.tuples(st.just("rename"), NAMES, NAMES),
    st.tuples(st.just("chmod"), NAMES, st.integers(0o400, 0o777).map(lambda mode: mode | 0o600)),
    st.tuples(st.just("link"), NAMES, NAMES),
    st.tuples(st.just("hardlink"), NAMES, NAMES),
    st.tuples(st.just("delete"), NAMES, st.none()),
    st.tuples(st.just("directory"), NAMES, st.none()),
    st.tuples(st.just("touch"), NAMES, MOMENT),
    st.tuples(st.just("same-size"), NAMES, MOMENT),
)
CHANGE = st.one_of(
    CHANGE_OF_FILE,
    st.tuples(st.just("at the node"), CHANGE_OF_FILE, st.none()),
    st.tuples(st.just("vanish"), st.integers(0, 1000), st.none()),
    st.tuples(st.just("damage"), st.integers(0, 1000), st.none()),
    st.tuples(st.just("send"), st.none(), st.none()),
)


class World:
    """A private data dir and a node's store.

    :param patient: whether its client believes the times of all files.
    """

    def __init__(self, top: Path, *, patient: bool) -> None:
        self.top = top
        self.job = top / "job"
        self.node = top / "node"
        self.store = top / "store"
        for name in ("project/d", "roles/r", "inventory", "env"):
            (self.job / name).mkdir(parents=True)
        for name in ("project/a", "project/d/c", "roles/r/x", "inventory/hosts"):
            (self.job / name).write_text(f"the first {name}")
        self.client = Client(self.job, top / "memory", patient=patient)

    def change(self, what: str, one: object, two: object) -> None:
        if what == "send":
            self.check()
        elif what in ("vanish", "damage"):
            assert isinstance(one, int)
            self._harm(what, one)
        elif what == "at the node":
            self._change(self.node, *one)  # type: ignore[misc]
        else:
            self._change(self.job, what, one, two)

    def _change(self, top: Path, what: str, name: object, how: object) -> None:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            self.directory = top
            getattr(self, "_" + what.replace("-", "_"))(top / str(name), how)

    def check(self) -> None:
        self._check_archive()
        self.client.send(self.node, self.store, PLACE)
        send_whole(self.job, self.top / "whole")
        assert seen(self.node) == seen(self.top / "whole")

    def _check_archive(self) -> None:
        """What is remembered of the files makes no other archive than a look at them. Large ones may be cut in other
        places.
        """
        index = DigestIndex(self.top / "nothing", self.client.digester)
        archives = [self._archive(self.client.index()), self._archive(index)]
        assert archives[0][0] == archives[1][0]
        if all(path.lstat().st_size <= CUT_FROM for path in self.job.rglob("*")):
            assert archives[0] == archives[1]
        (self.top / "nothing").unlink(missing_ok=True)

    def _archive(self, index: DigestIndex) -> tuple[list[object], set[bytes], bytes]:
        told: list[object] = []
        with tempfile.TemporaryFile() as file:
            packer = self.client.pack(file, index, lambda *member: told.append(member))
            file.seek(0)
            return told, packer.named, file.read()

    def _harm(self, what: str, number: int) -> None:
        found = contents(self.store) if self.store.exists() else []
        if not found:
            return
        path = found[number % len(found)]
        if what == "vanish":
            path.unlink()
        elif path.stat().st_size:
            data = bytearray(path.read_bytes())
            data[number % len(data)] ^= 1
            path.write_bytes(data)

    def _gone(self, path: Path) -> None:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)

    def _write(self, path: Path, data: bytes) -> None:
        self._gone(path)
        path.write_bytes(data)

    def _insert(self, path: Path, what: tuple[int, bytes]) -> None:
        if path.is_file() and not path.is_symlink():
            data = path.read_bytes()
            path.write_bytes(data[: what[0]] + what[1] + data[what[0] :])

    def _rename(self, path: Path, other: str) -> None:
        if os.path.lexists(path) and path != self.directory / other:
            self._gone(self.directory / other)
            path.rename(self.directory / other)

    def _chmod(self, path: Path, mode: int) -> None:
        if path.exists() and not path.is_symlink():
            path.chmod(mode | (0o100 if path.is_dir() else 0))

    def _link(self, path: Path, other: str) -> None:
        self._gone(path)
        path.symlink_to(other)

    def _hardlink(self, path: Path, other: str) -> None:
        source = self.directory / other
        if source.is_file() and not source.is_symlink() and path != source:
            self._gone(path)
            os.link(source, path)

    def _delete(self, path: Path, _: None) -> None:
        self._gone(path)

    def _directory(self, path: Path, _: None) -> None:
        self._gone(path)
        path.mkdir()

    def _touch(self, path: Path, moment: int) -> None:
        if os.path.lexists(path):
            os.utime(path, ns=(moment, moment), follow_symlinks=False)

    def _same_size(self, path: Path, moment: int) -> None:
        """The content changes; size and time of modification do not."""
        if path.is_file() and not path.is_symlink() and path.stat().st_size:
            before = path.stat().st_mtime_ns
            with path.open("r+b") as file:
                file.seek(moment % path.stat().st_size)
                file.write(b"!")
            os.utime(path, ns=(before, before))


@pytest.fixture(scope="module")
def new_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[bool], World]]:
    """Worlds in which each third name ends a piece of the list of files."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(manifest, "_NAMES_A_PIECE", 3)
        yield lambda patient: World(tmp_path_factory.mktemp("world"), patient=patient)


@given(patient=st.booleans(), changes=st.lists(CHANGE, max_size=12), done=st.lists(CHANGE_OF_FILE, max_size=6))
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_the_directory_at_the_node_is_that_of_a_full_transmit(
    new_world: Callable[[bool], World],
    patient: bool,
    changes: list[tuple[str, object, object]],
    done: list[tuple[str, object, object]],
) -> None:
    """:param done: what the last job but one does to its files."""
    world = new_world(patient)
    try:
        world.check()
        for change in changes:
            world.change(*change)
        world.check()
        for change in done:
            world.change("at the node", change, None)
        world.check()
    finally:
        shutil.rmtree(world.top)


@pytest.fixture
def large(tmp_path: Path) -> Client:
    """A client with a file of 40 MB that a node has."""
    job = tmp_path / "job"
    (job / "project").mkdir(parents=True)
    (job / "project" / "large").write_bytes(random.Random(1).randbytes(40_000_000))
    client = Client(job, tmp_path / "memory")
    assert client.send(tmp_path / "node", tmp_path / "store") == 1
    assert client.sent > 40_000_000
    return client


@pytest.mark.parametrize("inserted", [b"", b"one more line\n"])
def test_a_changed_line_in_a_large_file_sends_little(large: Client, tmp_path: Path, inserted: bytes) -> None:
    path = large.directory / "project" / "large"
    data = path.read_bytes()
    path.write_bytes(data[:17_000_000] + inserted + b"changed" + data[17_000_007:])
    assert large.send(tmp_path / "node", tmp_path / "store") == 1
    assert large.sent < 600_000
    assert (tmp_path / "node" / "project" / "large").read_bytes() == path.read_bytes()
    path.write_bytes(data[:100] + data[2_000_000:])
    assert large.send(tmp_path / "node", tmp_path / "store") == 1
    assert large.sent < 600_000


def test_a_renamed_file_sends_next_to_nothing(large: Client, tmp_path: Path) -> None:
    project = large.directory / "project"
    (project / "large").rename(project / "other")
    assert large.send(tmp_path / "node", tmp_path / "store") == 1
    assert large.sent < 20_000


def test_what_has_not_changed_is_not_read_again(large: Client, tmp_path: Path) -> None:
    path = large.directory / "project" / "large"
    index = DigestIndex(tmp_path / "memory", large.digester)
    entry = next(one for one in collect(str(large.directory), refuse) if one.name == "project/large")
    assert index.known(entry) is None, "it was too young to be believed"
    assert index.earlier_cuts(entry)
    later = DigestIndex(tmp_path / "memory", large.digester, begun_ns=time.time_ns() + 10**10)
    later.note(entry, KnownFile(0, index.earlier_cuts(entry)))
    later.end_stretch([])
    later.save()
    known = DigestIndex(tmp_path / "memory", large.digester).known(entry)
    assert known is not None
    os.utime(path, ns=(entry.mtime_ns, entry.mtime_ns))
    changed = next(one for one in collect(str(large.directory), refuse) if one.name == "project/large")
    assert DigestIndex(tmp_path / "memory", large.digester).known(changed) is None, "its time of change tells"


def test_an_index_that_was_cut_costs_time_alone(large: Client, tmp_path: Path) -> None:
    data = (tmp_path / "memory").read_bytes()
    pieces = data.rstrip().split(b" ")
    for kept in (len(pieces) - 1, len(pieces) // 2):
        (tmp_path / "memory").write_bytes(b" ".join(pieces[:kept]))
        assert large.send(tmp_path / "node", tmp_path / "store") == 1
        large_file = (tmp_path / "node" / "project" / "large").read_bytes()
        assert large_file == (large.directory / "project" / "large").read_bytes()


def test_large_data_of_parameters_and_links_to_large_files_travel(tmp_path: Path) -> None:
    """What has no file of its own in the private data dir."""
    (tmp_path / "elsewhere").write_bytes(random.Random(2).randbytes(6_000_000))
    data = random.Random(3).randbytes(20_000_000)
    found = (tmp_path / "elsewhere").stat()
    entries = [
        Entry("inventory", found.st_mode, found.st_mtime_ns, found.st_size, path=str(tmp_path / "elsewhere")),
        Entry.of_bytes("project/given", data),
    ]
    client = Client(tmp_path, tmp_path / "memory")
    with tempfile.TemporaryFile() as file:
        packer = DeltaPacker(file, refuse, client.digester, DigestIndex(tmp_path / "memory", client.digester), ())
        for _ in packer.pack(entries):
            pass
        (tmp_path / "node").mkdir()
        unpack(file, tmp_path / "node", tmp_path / "store", client.digester)
    assert (tmp_path / "node" / "project" / "given").read_bytes() == data
    assert (tmp_path / "node" / "inventory").read_bytes() == (tmp_path / "elsewhere").read_bytes()


@pytest.mark.parametrize("problem", [False, True])
def test_an_archive_is_copied_for_others_only_if_nothing_is_missing_in_it(tmp_path: Path, problem: bool) -> None:
    job = tmp_path / "job"
    (job / "project").mkdir(parents=True)
    (job / "project" / "a").write_text("a")
    if problem:
        os.mkfifo(job / "project" / "pipe")
    client = Client(job, tmp_path / "memory")
    told: list[list[str]] = []
    with SharedArchives() as shared:
        for _ in range(2):
            said: list[str] = []
            index = DigestIndex(tmp_path / "memory", client.digester)
            sender = DeltaSender(client.digester, index, frozenset(), {}, shared)

            def report(path: str, reason: str, fatal: bool, said: list[str] = said) -> None:
                said.append(path)

            with tempfile.TemporaryFile() as file:
                packer = sender.packer(file, report)
                for _ in packer.pack(collect(str(job), report)):
                    pass
                assert packer.acceptable
            told.append(said)
            assert sender.named
    assert told[0] == told[1], "everybody hears what is missing"


def test_one_worker_does_not_fill_a_disk_with_its_store(tmp_path: Path) -> None:
    digester = Digester(b"k" * 32)
    with ContentStore(tmp_path / "store", 1_000_000) as store:
        owned = store.owned("0" * 32)
        for number in range(50):
            data = b"%d" % number + b"x" * 100_000
            owned.put(digester.reference(data), data)
        assert sum(path.stat().st_size for path in contents(tmp_path / "store")) <= 1_000_000


def test_whoever_compresses_makes_the_same_archive(tmp_path: Path) -> None:
    """Two threads share the work, and how much each of them does is never the same twice."""
    job = tmp_path / "job"
    (job / "project").mkdir(parents=True)
    noise = random.Random(0).randbytes(1 << 20)
    for number in range(40):
        content = (b"%d the same line again\n" % number) * 50_000 if number % 2 else b"%d" % number + noise
        (job / "project" / f"file{number}").write_bytes(content)
    client = Client(job, tmp_path / "memory")
    archives = set()
    for _ in range(3):
        file, _ = client.packed()
        with file:
            file.seek(0)
            archives.add(file.read())
    assert len(archives) == 1
    client.send(tmp_path / "node", tmp_path / "store")
    send_whole(job, tmp_path / "whole")
    assert seen(tmp_path / "node") == seen(tmp_path / "whole")


def test_whoever_packs_has_his_turn_while_a_large_file_is_read_and_nothing_is_sent(
    large: Client, tmp_path: Path
) -> None:
    """So Ctrl-C is heard, whatever the size of the file."""
    os.utime(large.directory / "project" / "large", (1, 1))
    (large.directory / "project" / "before").write_bytes(random.Random(2).randbytes(100_000))
    with tempfile.TemporaryFile() as file:
        packer = DeltaPacker(file, refuse, large.digester, large.index(), frozenset(large.there))
        turns = sum(1 for _ in packer.pack(collect(str(large.directory), refuse)))
    assert packer.size < 200_000
    assert turns > 40_000_000 // 262_144
