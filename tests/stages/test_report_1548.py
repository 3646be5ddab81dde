"""The open report 1548 of ansible-runner (September 2026), tried on both stages that extract: members that leave the
target, members that go through a link, and existing files outside whose mode and times change.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from receptor_runner.stream.codec import END_OF_STREAM, encode
from tests.support.archives import DIRECTORY, FILE, LINK
from tests.support.commands import ours
from tests.support.jobs import statuses
from tests.support.streams import RUNNING, STARTING, archive, final

Members = list[tuple[str, int, bytes]]

OPEN_FILE = stat.S_IFREG | 0o777
CASES: dict[str, Members] = {
    "a file outside": [("../../escaped", FILE, b"x")],
    "an existing file outside": [("../../victim/secret", OPEN_FILE, b"x")],
    "a directory outside": [("../../victim/", stat.S_IFDIR | 0o777, b"")],
    "an absolute name": [("{victim}/secret", OPEN_FILE, b"x")],
    "through a link": [("out", LINK, b"{victim}"), ("out/secret", OPEN_FILE, b"x")],
    "through a link as a directory": [("out", LINK, b"{victim}"), ("out/", DIRECTORY, b""), ("out/new", FILE, b"x")],
    "through two links": [("a", LINK, b".."), ("a/b", LINK, b".."), ("a/b/victim/secret", OPEN_FILE, b"x")],
    "the mode behind a link": [("secret", LINK, b"{victim}/secret"), ("secret", OPEN_FILE, b"x")],
}


def sent(members: Members, victim: Path) -> bytes:
    text = str(victim)
    return archive(
        *(
            (name.replace("{victim}", text), mode, data.replace(b"{victim}", text.encode()))
            for name, mode, data in members
        )
    )


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    directory = tmp_path / "victim"
    directory.mkdir(mode=0o700)
    (directory / "secret").write_text("secret")
    (directory / "secret").chmod(0o600)
    os.utime(directory / "secret", (1, 1))
    os.utime(directory, (1, 1))
    return directory


def seen(top: Path) -> list[tuple[str, int, float]]:
    """Names, modes and times of what is outside of the place of the stage."""
    found = [top / "victim", *(top / "victim").rglob("*"), *top.glob("escaped*")]
    return [(str(path), path.lstat().st_mode, path.lstat().st_mtime) for path in sorted(found)]


@pytest.mark.parametrize("case", CASES)
def test_process_touches_nothing_outside(case: str, victim: Path, tmp_path: Path) -> None:
    """A link that leads out is left out, so what was to go through it stays inside."""
    before = seen(tmp_path)
    stream = STARTING + RUNNING + final("successful", events=0) + sent(CASES[case], victim) + END_OF_STREAM
    done = ours("process", tmp_path / "place", "-q", "-i", "j", input=stream)
    assert seen(tmp_path) == before
    assert done.returncode == (0 if "a link" in case else 76)
    place = tmp_path / "place"
    assert all(path.resolve().is_relative_to(place.resolve()) for path in place.rglob("*"))


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_worker_touches_nothing_outside(case: str, victim: Path, tmp_path: Path) -> None:
    before = seen(tmp_path)
    kwargs = encode({"kwargs": {"module": "ping", "host_pattern": "localhost", "ident": "j"}})
    stream = kwargs + sent(CASES[case], victim) + END_OF_STREAM
    done = ours("worker", "--private-data-dir", tmp_path / "place" / "deep", input=stream)
    assert seen(tmp_path) == before
    if case != "the mode behind a link":
        assert done.returncode == 76
        assert statuses(done.stdout)[-1]["status"] == "error"
