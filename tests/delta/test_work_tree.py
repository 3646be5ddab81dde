"""A job begins with what an earlier job of the same place has not touched, and with nothing else of it."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import stat
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from receptor_runner.delta.content_store import ContentStore
from receptor_runner.delta.lacking import LackingError
from receptor_runner.delta.unpacker import unpack_delta
from receptor_runner.delta.work_tree import WorkTree
from receptor_runner.errors import LimitError
from receptor_runner.limits import DEFAULT_LIMITS
from receptor_runner.system.mounts import file_system_of
from receptor_runner.system.removal import remove_tree, removing
from tests.support.deltas import DIGESTER, OWNER, Client, archive, contents, one_file, seen, send_whole
from tests.support.disks import bind_mount, small_disk

PLACE = "0" * 32


class Node:
    """A client, and jobs of his at a node."""

    def __init__(self, top: Path, client: Client) -> None:
        self.client = client
        self.store = top / "store"
        self.directory = top / "node"

    def job(self) -> Path:
        """Ends the job before, and begins one. Its project."""
        self.client.send(self.directory, self.store, PLACE)
        return self.directory / "project"

    def end(self, size: int = 10**9) -> None:
        assert self.client.made is not None
        self.client.made.give_back(lambda: ContentStore(self.store, size))
        self.client.made = None

    def trees(self) -> list[Path]:
        return list(self.store.glob("trees-v1/*/*"))


@pytest.fixture
def node(tmp_path: Path) -> Node:
    if file_system_of(str(tmp_path)) in ("tmpfs", "ramfs"):
        pytest.skip("a memory file system keeps no directories")
    project = tmp_path / "job" / "project"
    for name in ("one", "d/two", "d/e/three"):
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(name)
    (project / "link").symlink_to("one")
    return Node(tmp_path, Client(tmp_path / "job", tmp_path / "memory"))


def made(top: Path) -> dict[str, tuple[int, int]]:
    """Which files there are, and when each was changed last; of directories only which."""
    found = {}
    for path in top.rglob("*"):
        info = path.lstat()
        found[str(path.relative_to(top))] = info.st_ino, 0 if stat.S_ISDIR(info.st_mode) else info.st_ctime_ns
    return found


def test_what_a_job_has_not_touched_is_not_made_again(node: Node) -> None:
    before = made(node.job())
    assert made(node.job()) == before
    project = node.client.directory / "project"
    (project / "one").write_text("changed")
    (project / "d" / "two").unlink()
    (project / "d" / "four").write_text("new")
    after = made(node.job())
    assert {name for name in before if before[name] == after.get(name)} == {"link", "d", "d/e", "d/e/three"}
    assert (node.directory / "project" / "one").read_text() == "changed"


def test_all_is_made_anew_after_the_machine_was_started(node: Node) -> None:
    """What was written last before a crash may be empty on the disk."""
    before = made(node.job())
    node.end()
    (kept,) = node.trees()
    record = json.loads((kept / "record").read_bytes().partition(b"\n")[2])
    body = json.dumps({**record, "boot": "another"})
    (kept / "record").write_text(f"{zlib.crc32(body.encode()):08x}\n{body}")
    after = made(node.job())
    assert {name for name in before if before[name] == after[name]} <= {"d", "d/e"}


def test_what_a_job_writes_ends_with_it(node: Node) -> None:
    """It may be a secret: nobody finds it on the disk, and no other job does."""
    project = node.job()
    (project / "secret").write_text("PLANTED")
    (project / "more").mkdir()
    (project / "more" / "secret").write_text("PLANTED")
    (project / "d" / "password-hunter2" / "x").mkdir(parents=True)
    (project / "d").chmod(0o555)
    (project / "one").write_text("PLANTED")
    (project / "way").symlink_to("/etc")
    node.end()
    assert node.trees()
    assert not [path for path in node.store.rglob("*") if path.is_file() and b"PLANTED" in path.read_bytes()]
    assert not [path for path in node.store.rglob("*") if path.name in ("more", "password-hunter2")]
    node.job()
    send_whole(node.client.directory, node.directory.with_name("whole"))
    assert seen(node.directory) == seen(node.directory.with_name("whole"))


def test_jobs_at_once_have_a_directory_each(node: Node, tmp_path: Path) -> None:
    node.job()
    other = Node(tmp_path, Client(node.client.directory, tmp_path / "memory2"))
    other.directory = tmp_path / "other"
    other.job()
    third = Node(tmp_path, Client(node.client.directory, tmp_path / "memory3"))
    third.directory = tmp_path / "third"
    third.job()
    for one in (node, other, third):
        one.end()
    assert len(node.trees()) == 2, "no more are kept than are often needed"
    before = made(node.job())
    assert not before.items() & made(other.job()).items()
    assert seen(node.directory) == seen(other.directory)


def test_a_directory_is_kept_only_if_there_is_room(node: Node) -> None:
    node.job()
    node.end(size=100)
    assert node.trees() == []
    node.job()
    with ContentStore(node.store) as store:
        before = store.use().used
    node.end()
    with ContentStore(node.store) as store:
        assert store.use().used - before == 8 * 4096, "files, links and directories, and what is noted of them"
    with ContentStore(node.store, 10) as full:
        owned = full.owned(node.client.owner)
        owned.put(node.client.digester.reference(b"more"), b"more")
    assert node.trees() == [], "directories go before contents"


def test_places_that_nobody_comes_back_to_give_way(node: Node) -> None:
    places = [f"{number:032x}" for number in range(35)]
    for place in places:
        node.client.send(node.directory, node.store, place)
        node.end()
    kept = {tree.name[:32] for tree in node.trees()}
    assert kept == set(places[-32:])


def _of_another_user(project: Path) -> None:
    os.chown(project / "d", 12345, 12345)


def _with_attributes(project: Path) -> None:
    os.setxattr(project / "d", "user.x", b"y")


def _elsewhere(project: Path) -> None:
    shutil.rmtree(project)
    project.symlink_to("/etc")


@pytest.mark.parametrize(
    "harm",
    [
        pytest.param(
            _of_another_user, marks=pytest.mark.skipif(os.geteuid() != 0, reason="only root gives directories away")
        ),
        _with_attributes,
        lambda project: project.rename(project.with_name("elsewhere")),
        _elsewhere,
    ],
)
def test_a_strange_directory_is_not_used(node: Node, harm: Callable[[Path], object]) -> None:
    try:
        harm(node.job())
    except OSError as exc:
        pytest.skip(f"this file system does not have it: {exc}")
    node.job()
    send_whole(node.client.directory, node.directory.with_name("whole"))
    assert seen(node.directory) == seen(node.directory.with_name("whole"))
    assert not os.listxattr(node.directory / "project" / "d")
    assert (node.directory / "project" / "d").stat().st_uid == os.geteuid()


@pytest.mark.parametrize("record", [b"", b"[", b"[[1]]", b'{"boot": "another", "files": []}', b'{"files": [[1]]}'])
def test_a_damaged_record_costs_time_alone(node: Node, record: bytes) -> None:
    node.job()
    node.end()
    (kept,) = node.trees()
    (kept / "record").write_bytes(record)
    node.job()
    assert (node.directory / "project" / "one").read_text() == "one"
    assert list(node.directory.glob(".receptor*")) == []


def test_what_is_mounted_in_a_directory_is_nobodys_to_remove(node: Node, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "file").touch()
    (node.job() / "d" / "mounted").mkdir()
    with bind_mount(theirs, node.directory / "project" / "d" / "mounted"):
        node.end()
        assert (theirs / "file").exists()
        assert node.trees() == []


@contextlib.contextmanager
def unchangeable(path: Path) -> Iterator[None]:
    """``path`` cannot be changed by anybody, wherever it is moved."""
    if subprocess.run(["chattr", "+i", str(path)], check=False, capture_output=True).returncode:
        pytest.skip("needs root, and a file system that knows it")
    fd = os.open(path, os.O_RDONLY)
    try:
        yield
    finally:
        subprocess.run(["chattr", "-i", os.readlink(f"/proc/self/fd/{fd}")], check=True)
        os.close(fd)


def test_a_file_that_cannot_be_removed_is_no_part_of_the_next_job(node: Node) -> None:
    evil = node.job() / "d" / "evil"
    evil.write_text("PLANTED")
    with unchangeable(evil):
        node.end()
        assert node.trees() == []


def test_a_file_in_a_closed_directory_is_no_part_of_the_next_job(node: Node) -> None:
    """A worker that is not root cannot remove it at once."""
    closed = node.job() / "d"
    (closed / "evil").write_text("PLANTED")
    closed.chmod(0o555)
    node.end()
    assert not [path for path in node.store.rglob("evil")]
    assert not (node.job() / "d" / "evil").exists()


def test_a_directory_that_cannot_be_changed_is_not_kept(node: Node) -> None:
    with unchangeable(node.job() / "d"):
        node.end()
        assert node.trees() == []


def test_a_file_that_lacks_a_piece_is_no_part_of_any_job(node: Node) -> None:
    """Not even if nobody sends the rest."""
    large = node.client.directory / "project" / "large"
    large.write_bytes(os.urandom(6 * 1024 * 1024))
    node.job()
    node.end()
    largest = max(node.store.glob("v1/*/*/*"), key=lambda path: path.stat().st_size)
    largest.unlink()
    shutil.rmtree(node.trees()[0])
    file, _ = node.client.packed()
    remove_tree(str(node.directory))
    node.directory.mkdir()
    with file, pytest.raises(LackingError):
        node.client.unpack(file, node.directory, node.store, PLACE)
    assert not (node.directory / "project" / "large").exists()
    node.end()
    assert (node.job() / "large").read_bytes() == large.read_bytes()


def test_what_is_mounted_on_the_directory_of_a_job_is_nobodys_to_remove(node: Node, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    (theirs / "project").mkdir(parents=True)
    (theirs / "project" / "file").touch()
    node.job()
    with bind_mount(theirs, node.directory):
        node.end()
        remove_tree(str(node.directory))
        assert (theirs / "project" / "file").exists()
        assert node.trees() == []


def test_a_link_in_the_place_of_the_directory_of_a_job_is_not_followed(node: Node, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    (theirs / "project").mkdir(parents=True)
    (theirs / "project" / "file").touch()
    node.job()
    node.directory.rename(tmp_path / "elsewhere")
    node.directory.symlink_to(theirs)
    node.end()
    assert (theirs / "project" / "file").exists()
    assert node.trees() == []


def test_a_directory_in_which_a_process_works_is_not_kept(node: Node) -> None:
    process = subprocess.Popen(["sleep", "60"], cwd=node.job() / "d")
    try:
        node.end()
        assert node.trees() == []
    finally:
        process.kill()
        process.wait()


def test_a_directory_that_is_to_be_seen_elsewhere_too_is_not_kept(node: Node, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    with bind_mount(node.job() / "d", elsewhere):
        node.end()
        assert node.trees() == []
        assert (elsewhere / "two").exists()


def test_modes_are_those_that_travel(node: Node) -> None:
    directory = node.client.directory / "project" / "d"
    directory.chmod(0o2775)
    (node.job() / "d").chmod(0o2775)
    node.job()
    send_whole(node.client.directory, node.directory.with_name("whole"))
    assert seen(node.directory) == seen(node.directory.with_name("whole"))


def test_a_job_that_touches_all_leaves_nothing(node: Node) -> None:
    for path in node.job().rglob("*"):
        if not path.is_symlink():
            path.chmod(0o700)
    (node.directory / "project" / "link").unlink()
    node.end()
    assert node.trees() == []


def test_old_directories_give_way_to_new_ones(node: Node) -> None:
    (node.client.directory / "project" / "large").write_bytes(bytes(400_000))
    for number in range(3):
        node.client.send(node.directory, node.store, f"{number:032x}")
        node.end(size=1_500_000)
    assert {tree.name[:32] for tree in node.trees()} == {f"{1:032x}", f"{2:032x}"}


def test_an_empty_directory_does_not_drive_out_contents(node: Node) -> None:
    """Directories go before contents, whatever their size."""
    node.job()
    node.end()
    (kept,) = node.trees()
    kept.rename(kept.with_name(f"{'f' * 32}-0-{'0' * 16}"))
    node.job()
    node.end()
    before = list(node.store.glob("v1/*/*/*"))
    places = len(list(node.store.glob("v1/*/*"))) + len(before) + 3
    with ContentStore(node.store, int(4096 * places / 0.9) + 1) as full:
        full.owned(node.client.owner).put(node.client.digester.reference(b"more"), b"more")
    assert node.trees() == []
    assert len(list(node.store.glob("v1/*/*/*"))) == len(before) + 1


def test_removing_what_many_files_are_in_starves_nobody(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    for number in range(3_000):
        (tmp_path / "d" / str(number)).touch()
    assert len(list(removing(str(tmp_path / "d")))) >= 6
    assert not (tmp_path / "d").exists()


def test_a_memory_file_system_keeps_none(node: Node, tmp_path: Path) -> None:
    """A mapped file can be changed there without a trace."""
    with small_disk(tmp_path / "memory-disk", "10m") as disk:
        node.store, node.directory = disk / "store", disk / "node"
        node.job()
        node.end()
        assert node.trees() == []


def test_what_a_killed_worker_had_begun_to_remove_goes(node: Node) -> None:
    node.job()
    node.end()
    (kept,) = node.trees()
    kept.rename(kept.with_name(kept.name + ".removed"))
    with ContentStore(node.store, 10) as full:
        full.owned(node.client.owner).put(node.client.digester.reference(b"more"), b"more")
    assert node.trees() == []


def test_a_wrong_count_keeps_no_directory_away(node: Node) -> None:
    node.job()
    (node.store / "v1" / "count").write_text(str(10**18))
    node.end(size=10**9)
    assert len(node.trees()) == 1


def test_many_untouched_files_starve_nobody(node: Node) -> None:
    for number in range(3000):
        (node.client.directory / "project" / "d" / f"{number}").touch()
    node.job()
    node.end()
    shutil.rmtree(node.client.directory / "project" / "d")
    file, _ = node.client.packed()
    remove_tree(str(node.directory))
    node.directory.mkdir()
    with file, ContentStore(node.store) as store:
        tree = WorkTree(store, str(node.directory), node.client.owner, PLACE)
        owned = store.owned(node.client.owner)
        turns = sum(
            1 for _ in unpack_delta(file, str(node.directory), DEFAULT_LIMITS, node.client.digester, owned, tree)
        )
    assert turns > 6
    assert not (node.directory / "project" / "d").exists()


def test_directories_that_nobody_may_write_change_too(node: Node) -> None:
    project = node.client.directory / "project"
    (project / "d" / "e").chmod(0o555)
    (project / "d").chmod(0o555)
    node.job()
    node.end()
    (project / "d").chmod(0o755)
    (project / "d" / "two").unlink()
    shutil.copytree(project / "d" / "e", project / "d" / "f")
    (project / "d").chmod(0o555)
    node.job()
    send_whole(node.client.directory, node.directory.with_name("whole"))
    assert seen(node.directory) == seen(node.directory.with_name("whole"))


def test_a_file_may_become_a_directory_and_a_directory_a_file(node: Node) -> None:
    node.job()
    project = node.client.directory / "project"
    shutil.rmtree(project / "d")
    (project / "d").symlink_to("one")
    (project / "one").unlink()
    (project / "one" / "e").mkdir(parents=True)
    (project / "one" / "e" / "three").write_text("d/e/three")
    (project / "link").unlink()
    (project / "link").mkdir()
    for _ in range(2):
        node.job()
        send_whole(node.client.directory, node.directory.with_name("whole"))
        assert seen(node.directory) == seen(node.directory.with_name("whole"))


def test_a_second_round_begins_with_what_is_there(node: Node) -> None:
    """A node that lost a content is sent it; all the rest of its directory is as it was."""
    project = node.client.directory / "project"
    before = made(node.job())
    node.end()
    (project / "one").write_text("new here")
    reference = node.client.digester.reference(b"new here")
    node.client.there.add(reference.digest)
    assert node.client.send(node.directory, node.store, PLACE) == 2
    after = made(node.directory / "project")
    assert {name for name in before if before[name] != after[name]} == {"one"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives directories away")
def test_what_a_job_does_to_all_directories_is_handed_on_to_none(node: Node) -> None:
    """Also to the one above, in which what is kept is put aside."""
    project = node.job()
    for directory in (project.parent, project, project / "d", project / "d" / "e"):
        os.chown(directory, -1, os.getgid() + 1)
        directory.chmod(0o2755)
    node.end()
    assert node.trees() == []


def test_a_store_that_goes_meanwhile_costs_the_directory_and_no_job(node: Node) -> None:
    file, _ = node.client.packed()
    node.directory.mkdir()
    with file, ContentStore(node.store) as store:
        owned = store.owned(node.client.owner)
        shutil.rmtree(node.store)
        tree = WorkTree(store, str(node.directory), node.client.owner, PLACE)
        for _ in unpack_delta(file, str(node.directory), DEFAULT_LIMITS, node.client.digester, owned, tree):
            pass
        tree.give_back(lambda: store)
    assert (node.directory / "project" / "d" / "two").read_text() == "d/two"


def test_a_file_that_a_process_has_mapped_is_in_use(node: Node) -> None:
    """It could still be written, and no time would tell."""
    project = node.job()
    program = (
        "import mmap, sys; f = open(sys.stdin.readline().strip(), 'r+b'); m = mmap.mmap(f.fileno(), 0); f.close()\n"
    )
    program += "import os; [os.close(n) for n in range(3, 50) if os.path.exists(f'/proc/self/fd/{n}')]\n"
    program += "print(flush=True); sys.stdin.readline()"
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd="/", stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as user:
        assert user.stdin is not None
        assert user.stdout is not None
        user.stdin.write(f"{project / 'one'}\n")
        user.stdin.flush()
        user.stdout.readline()
        node.end()
    assert node.trees() == []


def the_list(node: Node) -> Path:
    """The only piece of the list of files, in the store."""
    (piece,) = [path for path in contents(node.store) if path.read_bytes().startswith(b"[[")]
    return piece


def test_a_list_of_what_is_there_is_not_read(node: Node) -> None:
    before = made(node.job())
    node.end()
    piece = the_list(node)
    piece.write_bytes(piece.read_bytes().replace(b"three", b"THREE"))
    assert node.client.send(node.directory, node.store, PLACE) == 1
    assert made(node.directory / "project") == before
    (node.client.directory / "project" / "one").write_text("changed")
    assert made(node.job()).keys() == before.keys()
    assert (node.directory / "project" / "one").read_text() == "changed"


def test_a_list_that_the_store_has_lost_comes_again(node: Node) -> None:
    """Another job of the same files may need it."""
    node.job()
    node.end()
    piece = the_list(node)
    piece.unlink()
    assert node.client.send(node.directory, node.store, PLACE) == 2
    assert piece.exists()


def test_a_content_that_is_sent_again_gets_into_the_store(node: Node) -> None:
    """Though the directory of an earlier job has it."""
    node.job()
    node.end()
    (content,) = [path for path in contents(node.store / "v1") if path.read_bytes() == b"d/two"]
    content.unlink()
    node.client.there.remove(node.client.digester.digest(b"d/two"))
    assert node.client.send(node.directory, node.store, PLACE) == 1
    assert content.read_bytes() == b"d/two"


def test_what_is_there_counts_as_what_comes(node: Node) -> None:
    node.job()
    node.end()
    file, _ = node.client.packed()
    remove_tree(str(node.directory))
    node.directory.mkdir()
    with file, ContentStore(node.store) as store:
        tree = WorkTree(store, str(node.directory), node.client.owner, PLACE)
        limits, owned = DEFAULT_LIMITS._replace(members=6), store.owned(node.client.owner)
        unpacking = unpack_delta(file, str(node.directory), limits, node.client.digester, owned, tree)
        with pytest.raises(LimitError, match="members"):
            list(unpacking)


def test_a_directory_whose_list_names_a_file_twice_is_not_kept(node: Node) -> None:
    node.directory.mkdir()
    files = {b"one": "project/x", b"two": "project/x"}
    more = {f"/{DIGESTER.digest(data).hex()}": data for data in files}
    with (
        archive(*(one_file(name, data) for data, name in files.items()), more=more) as file,
        ContentStore(node.store) as store,
    ):
        tree = WorkTree(store, str(node.directory), OWNER, PLACE)
        for _ in unpack_delta(file, str(node.directory), DEFAULT_LIMITS, DIGESTER, store.owned(OWNER), tree):
            pass
        tree.give_back(lambda: ContentStore(node.store))
    assert (node.directory / "project" / "x").read_bytes() == b"two"
    assert node.trees() == []


def test_a_record_that_is_damaged_anywhere_costs_time_alone(node: Node) -> None:
    node.job()
    node.end()
    (kept,) = node.trees()
    record = (kept / "record").read_bytes()
    saved = node.directory.with_name("saved")
    shutil.copytree(kept, saved, symlinks=True)
    send_whole(node.client.directory, node.directory.with_name("whole"))
    choose = random.Random(1)
    mode = b"%d" % (node.client.directory / "project").stat().st_mode
    assert mode in record
    modes = [mode[:-1] + (b"4" if mode[-1:] != b"4" else b"0"), mode[:1] + b"e" + mode[2:]]
    places = [(choose.randrange(len(record)), 1 << choose.randrange(7)) for _ in range(20)]
    bits = [record[:place] + bytes([record[place] ^ bit]) + record[place + 1 :] for place, bit in places]
    for damaged in [record.replace(mode, other, 1) for other in modes] + bits:
        (kept / "record").write_bytes(damaged)
        assert node.client.send(node.directory, node.store, PLACE) == 1
        assert seen(node.directory) == seen(node.directory.with_name("whole"))
        node.client.made = None
        shutil.copytree(saved, kept, symlinks=True)


def test_the_record_of_a_directory_takes_room_too(node: Node) -> None:
    node.job()
    node.end()
    (kept,) = node.trees()
    files = [path for path in kept.rglob("*") if not path.is_symlink()]
    assert int(kept.name.split("-")[1]) >= sum(max(path.stat().st_size, 4096) for path in files)


def test_a_directory_that_is_not_listed_gets_its_usual_mode(node: Node) -> None:
    """Another sender may list none; what an earlier job has done to them is undone."""
    data = b"content"
    more = {f"/{DIGESTER.digest(data).hex()}": data}
    modes = []
    for _ in range(2):
        remove_tree(str(node.directory))
        node.directory.mkdir()
        with archive(one_file("roles/r/x", data), more=more) as file, ContentStore(node.store) as store:
            tree = WorkTree(store, str(node.directory), OWNER, PLACE)
            for _ in unpack_delta(file, str(node.directory), DEFAULT_LIMITS, DIGESTER, store.owned(OWNER), tree):
                pass
            modes.append([path.stat().st_mode for path in (node.directory / "roles", node.directory / "roles" / "r")])
            (node.directory / "roles").chmod(0o700)
            (node.directory / "roles" / "r").chmod(0o777)
            tree.give_back(lambda: ContentStore(node.store))
    assert node.trees()
    assert modes[0] == modes[1]
