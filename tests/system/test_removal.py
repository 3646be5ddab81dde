"""A tree goes, whatever a job made of it, and nothing outside of it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from receptor_runner.system.removal import remove_tree
from tests.support.disks import bind_mount


def test_a_tree_without_permissions_goes(tmp_path: Path) -> None:
    inner = tmp_path / "tree" / "closed"
    inner.mkdir(parents=True)
    (inner / "file").write_text("x")
    inner.chmod(0)
    remove_tree(str(tmp_path / "tree"))
    assert os.listdir(tmp_path) == []


def test_a_link_goes_and_its_target_stays(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").write_text("x")
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "link").symlink_to("../outside")
    remove_tree(str(tmp_path / "tree"))
    assert (tmp_path / "outside" / "file").read_text() == "x"
    assert os.listdir(tmp_path) == ["outside"]


def test_a_tree_that_is_deeper_than_a_path_can_be_goes(tmp_path: Path) -> None:
    here = os.open(tmp_path, os.O_RDONLY)
    try:
        for _ in range(3000):
            os.mkdir("d" * 20, dir_fd=here)
            below = os.open("d" * 20, os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = below
    finally:
        os.close(here)
    remove_tree(str(tmp_path / ("d" * 20)))
    assert os.listdir(tmp_path) == []


def test_a_tree_that_is_not_there_is_no_error(tmp_path: Path) -> None:
    remove_tree(str(tmp_path / "nothing"))


def test_what_is_mounted_on_a_tree_is_not_looked_into(tmp_path: Path) -> None:
    tree, theirs = tmp_path / "tree", tmp_path / "theirs"
    tree.mkdir()
    theirs.mkdir(mode=0o555)
    (theirs / "one").touch()
    with bind_mount(theirs, tree):
        remove_tree(str(tree))
        assert (theirs / "one").exists()
        assert stat.S_IMODE(theirs.stat().st_mode) == 0o555
    remove_tree(str(tree))
    assert not tree.exists()


@pytest.mark.parametrize("where", ["", "d", "d/e"])
def test_what_is_mounted_in_a_tree_is_not_looked_into(tmp_path: Path, where: str) -> None:
    """Not even what is of the same file system."""
    tree, theirs = tmp_path / "tree", tmp_path / "theirs"
    mounted = tree / where / "mounted"
    mounted.mkdir(parents=True)
    (tree / "file").touch()
    (theirs / "d").mkdir(parents=True)
    for name in ("one", "d/two"):
        (theirs / name).touch()
    with bind_mount(theirs, mounted):
        remove_tree(str(tree))
        assert (theirs / "one").exists()
        assert (theirs / "d" / "two").exists()
        assert not (tree / "file").exists()
