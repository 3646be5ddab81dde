"""The format of an archive is one that the other end reads."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path

import pytest

from receptor_runner.archive.collect import collect
from receptor_runner.archive.format import FORMATS, ZIP, best_format, format_named
from receptor_runner.limits import DEFAULT_LIMITS
from tests.support.private_data import DirFactory


@pytest.mark.parametrize("readable", [(), ("zip",), ("a format of the future",), ("tar", "zip")])
def test_an_end_that_names_nothing_better_gets_zip(readable: Iterable[str]) -> None:
    assert best_format(readable) is ZIP


@pytest.mark.parametrize("name", FORMATS)
def test_a_directory_comes_back_in_every_format(name: str, make_dir: DirFactory, tmp_path: Path) -> None:
    directory = make_dir("a playbook", project__deep__down__file="text")
    file = io.BytesIO()
    archive_format = format_named(name)
    packer = archive_format.packer(file, lambda *_: None)
    for _ in packer.pack(collect(str(directory), lambda *_: None)):
        pass
    assert b"".join(packer.chunks()) == file.getvalue()
    assert packer.size == len(file.getvalue())
    target = tmp_path / "target"
    target.mkdir()
    for _ in archive_format.unpack(file, str(target), DEFAULT_LIMITS, artifacts=True):
        pass
    assert (target / "project" / "deep" / "down" / "file").read_text() == "text"
