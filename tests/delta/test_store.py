"""What the store of a node takes of its disk."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from receptor_runner.delta.content_store import ContentStore
from receptor_runner.delta.references import Digester
from tests.support.deltas import OWNER

DIGESTER = Digester(b"k" * 32)


def test_many_small_contents_take_no_more_of_the_disk_than_the_store_may(tmp_path: Path) -> None:
    for first in range(0, 900, 300):
        with ContentStore(tmp_path, 3_000_000) as store:
            owned = store.owned(OWNER)
            for number in range(first, first + 300):
                data = b"%d" % number
                owned.put(DIGESTER.reference(data), data)
    assert 1_500_000 < taken(tmp_path) <= 3_000_000


def test_controllers_that_come_once_leave_no_directories(tmp_path: Path) -> None:
    for number in range(200):
        with ContentStore(tmp_path, 1_000_000) as store:
            owned = store.owned(f"{number:032x}")
            for data in (b"%d" % number, b"-%d" % number):
                owned.put(DIGESTER.reference(data), data)
    assert 500_000 < taken(tmp_path) <= 1_000_000


def taken(top: Path) -> int:
    """What the contents take of the disk, in bytes, and their directories."""
    return sum(path.stat().st_blocks * 512 for path in (top / "v1").rglob("*"))


def test_workers_that_count_at_once_lose_nothing(tmp_path: Path) -> None:
    def keep(first: int) -> None:
        for number in range(first, first + 50):
            data = b"%d" % number
            with ContentStore(tmp_path) as store:
                store.owned(OWNER).put(DIGESTER.reference(data), data)

    threads = [threading.Thread(target=keep, args=(first,)) for first in range(0, 400, 50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with ContentStore(tmp_path) as store:
        assert store.use().used == 4096 * len(list(tmp_path.glob(f"v1/{OWNER}/**/*")))


@pytest.mark.parametrize("count", [b"", b"no number", b"\xff" * 10_000_000, b"\n+4096" * 20_000])
def test_a_store_whose_count_is_damaged_counts_on(tmp_path: Path, count: bytes) -> None:
    ContentStore(tmp_path).close()
    (tmp_path / "v1" / "count").write_bytes(count)
    with ContentStore(tmp_path) as store:
        store.owned(OWNER).put(DIGESTER.reference(b"data"), b"data")
        before = store.use().used
    with ContentStore(tmp_path) as store:
        assert store.use().used == before + 2 * 4096, "a file and its directory"
    assert (tmp_path / "v1" / "count").stat().st_size < 100_000
