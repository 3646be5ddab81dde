"""What the store of a node takes of its disk."""

from __future__ import annotations

from pathlib import Path

from receptor_runner.delta.content_store import ContentStore
from receptor_runner.delta.references import Digester
from tests.support.deltas import OWNER

DIGESTER = Digester(b"k" * 32)


def test_many_small_contents_take_no_more_of_the_disk_than_the_store_may(tmp_path: Path) -> None:
    for first in range(0, 900, 300):
        with ContentStore(tmp_path, 1_000_000) as store:
            owned = store.owned(OWNER)
            for number in range(first, first + 300):
                data = b"%d" % number
                owned.put(DIGESTER.reference(data), data)
    taken = sum(path.stat().st_blocks * 512 for path in tmp_path.glob(f"v1/{OWNER}/*/*"))
    assert 500_000 < taken <= 1_000_000
