"""A directory that somebody works in is locked, and one that must stay is never deleted."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from receptor_runner.errors import OutputError, ReceptorRunnerError
from receptor_runner.system.deletable import check_deletable
from receptor_runner.system.directories import clear, lock
from tests.support.disks import bind_mount


def test_a_directory_that_will_be_deleted_is_for_one_alone(tmp_path: Path) -> None:
    held = lock(str(tmp_path), exclusive=True)
    with pytest.raises(OutputError):
        lock(str(tmp_path), exclusive=False)
    os.close(held)
    for fd in [lock(str(tmp_path), exclusive=False) for _ in range(2)]:
        os.close(fd)
    assert os.listdir(tmp_path) == [], "a lock leaves nothing"


def test_a_directory_is_emptied_and_stays(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "c").write_text("x")
    clear(str(tmp_path))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("path", ["/", "/usr", "/usr/lib", "/etc/ansible", "/tmp", "/proc", os.path.expanduser("~")])
def test_a_directory_of_the_system_is_never_deleted(path: str) -> None:
    with pytest.raises(ReceptorRunnerError):
        check_deletable(path)


def test_the_working_directory_and_a_link_are_never_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "link").symlink_to("work")
    check_deletable(str(tmp_path / "work"))
    with pytest.raises(ReceptorRunnerError):
        check_deletable(str(tmp_path / "link"))
    monkeypatch.chdir(tmp_path / "work")
    with pytest.raises(ReceptorRunnerError):
        check_deletable(str(tmp_path / "work"))
    with pytest.raises(ReceptorRunnerError):
        check_deletable(str(tmp_path))


def test_where_something_is_mounted_is_found_by_any_name(tmp_path: Path) -> None:
    top, theirs = tmp_path / "a b\tc\nd\\e", tmp_path / "theirs"
    (top / "mounted").mkdir(parents=True)
    theirs.mkdir()
    with bind_mount(theirs, top / "mounted"), pytest.raises(ReceptorRunnerError, match="a file system is mounted"):
        check_deletable(str(top))
