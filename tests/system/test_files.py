"""A file is there whole, or not at all."""

from __future__ import annotations

import ast
import os
import stat
from pathlib import Path

import pytest

import receptor_runner
from receptor_runner.system.files import create_file, make_private, replace_file


def test_a_new_file_is_private_and_a_replaced_one_keeps_its_mode(tmp_path: Path) -> None:
    new, old = tmp_path / "new", tmp_path / "old"
    old.write_bytes(b"before")
    old.chmod(0o640)
    for path in (new, old):
        replace_file(path, b"after")
        assert path.read_bytes() == b"after"
    assert [stat.S_IMODE(path.stat().st_mode) for path in (new, old)] == [0o600, 0o640]


def test_a_file_that_cannot_be_replaced_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(IsADirectoryError):
        replace_file(tmp_path / "taken", b"content")
    assert os.listdir(tmp_path) == ["taken"]


def test_a_reader_of_a_file_that_is_replaced_keeps_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with path.open("rb") as reader:
        replace_file(path, b"new content")
        assert reader.read() == b"old"


def test_the_first_file_of_a_name_stays(tmp_path: Path) -> None:
    for content in (b"first", b"second"):
        create_file(tmp_path / "file", content)
    assert (tmp_path / "file").read_bytes() == b"first"
    assert os.listdir(tmp_path) == ["file"]


def test_only_missing_directories_are_made_private(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir(mode=0o755)
    make_private(tmp_path / "there" / "a" / "b")
    modes = [stat.S_IMODE((tmp_path / part).stat().st_mode) for part in ("there", "there/a", "there/a/b")]
    assert modes == [0o755, 0o700, 0o700]


def test_nothing_of_ours_asks_a_path_in_a_way_that_fails_for_what_is_closed_to_us() -> None:
    """``Path.exists`` and its like raise for a closed directory and for a name that is too long; ``os.path`` says no."""
    package = Path(receptor_runner.__file__).parent
    asking = {"is_file", "is_dir", "exists", "is_symlink", "is_socket", "is_mount"}
    found = [
        f"{path.relative_to(package)}:{node.lineno}"
        for path in package.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in asking
        and not node.args
        and not node.keywords
    ]
    assert found == []
