"""Archives: packing and unpacking is the identity; unpacking never leaves its target."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import socket
import stat
import subprocess
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from receptor_runner.archive.collect import collect
from receptor_runner.archive.entry import Entry
from receptor_runner.archive.pack import ZipPacker as Packer
from receptor_runner.archive.unpack import unpack_zip as unpack
from receptor_runner.errors import ArchiveError, LimitError, OutputError
from receptor_runner.limits import StreamLimits
from tests.support.archives import DIRECTORY, FILE, LINK, zip_of
from tests.support.strategies import build, describe, hostile_archives, trees

Reports = list[tuple[str, str, bool]]


def pack(top: Path, **options: Any) -> tuple[bytes, Reports]:
    reports: Reports = []
    buffer = io.BytesIO()
    packer = Packer(buffer, lambda *report: reports.append(report))
    for _ in packer.pack(collect(str(top), lambda *report: reports.append(report), **options)):
        pass
    assert packer.size == len(buffer.getvalue())
    return buffer.getvalue(), reports


def extract(data: bytes, target: Path, **options: Any) -> None:
    for _ in unpack(io.BytesIO(data), str(target), StreamLimits(**options.pop("limits", {})), **options):
        pass


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@example({"0": ("file", b"PK\6\6", 0o600, 0), "1": ("file", b"PK\5\6" + bytes(18), 0o600, 0)})
@given(trees)
def test_pack_and_unpack_is_the_identity(tree: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as top:
        source, target = Path(top, "source"), Path(top, "target")
        source.mkdir()
        target.mkdir()
        try:
            build(tree, source)
            data, reports = pack(source)
            extract(data, target)
            assert not reports
            assert describe(target) == describe(source)
        finally:
            for directory, below, _ in os.walk(top):
                for name in below:
                    if not os.path.islink(os.path.join(directory, name)):
                        os.chmod(os.path.join(directory, name), 0o700)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_no_archive_leaves_its_target(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as top:
        victim, target = Path(top, "victim"), Path(top, "target")
        victim.mkdir(mode=0o700)
        (victim / "secret").write_text("secret")
        (victim / "secret").chmod(0o600)
        target.mkdir()
        before = describe(victim)
        with contextlib.suppress(ArchiveError, LimitError, OutputError):
            extract(data.draw(hostile_archives(str(victim))), target)
        assert describe(victim) == before
        assert sorted(os.listdir(top)) == ["target", "victim"]
        for directory, _, files in os.walk(target):
            for name in files:
                mode = Path(directory, name).lstat().st_mode
                assert stat.S_ISREG(mode) or stat.S_ISLNK(mode)
                assert not mode & (stat.S_ISUID | stat.S_ISGID)


@pytest.mark.parametrize(
    "members",
    [
        [("esc", LINK, b"{victim}"), ("esc/pwned", FILE, b"x")],
        [("a/esc", LINK, b"../../victim"), ("a/esc/pwned", FILE, b"x")],
        [("{victim}/secret", LINK, b"nowhere")],
        [("{victim}/secret", FILE, b"x")],
        [("../victim/secret", FILE, b"x")],
        [("a/../../victim/secret", FILE, b"x")],
        [("esc", LINK, b"{victim}"), ("esc/", DIRECTORY, b""), ("esc/secret", FILE, b"x")],
        [("dev", stat.S_IFCHR | 0o666, b"")],
        [("pipe", stat.S_IFIFO | 0o666, b"")],
    ],
)
def test_the_holes_of_ansible_runner_are_closed(members: list[tuple[str, int, bytes]], tmp_path: Path) -> None:
    """Writing through links, absolute names, devices: one clear error, and the victim is as it was."""
    victim, target = tmp_path / "victim", tmp_path / "target"
    victim.mkdir()
    target.mkdir()
    (victim / "secret").write_text("secret")
    before = describe(victim)
    filled = [
        (name.format(victim=victim), mode, body.replace(b"{victim}", bytes(victim))) for name, mode, body in members
    ]
    with pytest.raises(ArchiveError):
        extract(zip_of(*filled), target)
    assert describe(victim) == before


def test_a_link_in_the_place_of_a_file_is_replaced_and_not_followed(tmp_path: Path) -> None:
    victim, target = tmp_path / "victim", tmp_path / "target"
    victim.write_text("secret")
    target.mkdir()
    (target / "rc").symlink_to(victim)
    extract(zip_of(("rc", FILE, b"0")), target)
    assert victim.read_text() == "secret"
    assert (target / "rc").read_text() == "0"
    assert not (target / "rc").is_symlink()


def test_special_bits_are_dropped_and_private_means_private(tmp_path: Path) -> None:
    extract(
        zip_of(("tool", stat.S_IFREG | 0o6777, b"x"), ("d/", DIRECTORY, b""), ("d/f", FILE, b"")),
        tmp_path,
        artifacts=True,
    )
    assert stat.S_IMODE((tmp_path / "tool").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "d").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "d" / "f").stat().st_mode) == 0o600


@pytest.mark.parametrize("limits", [{"members": 2}, {"unpacked": 1000}])
def test_limits_of_an_archive_hold(limits: dict[str, int], tmp_path: Path) -> None:
    bomb = zip_of(*((f"f{n}", FILE, b"0" * 500) for n in range(3)))
    with pytest.raises(LimitError, match="limit"):
        extract(bomb, tmp_path, limits=limits)


@pytest.mark.parametrize("data", [b"", b"no zip", zip_of(("a", FILE, b"x" * 1000))[:-30]])
def test_a_damaged_archive_is_called_damaged(data: bytes, tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="damaged"):
        extract(data, tmp_path)


def test_what_cannot_travel_is_named(tmp_path: Path) -> None:
    top = tmp_path / "top"
    top.mkdir()
    (top / "fine").write_text("x")
    os.mkfifo(top / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(top / "socket"))
        Path(os.fsdecode(bytes(top) + b"/\xff\xfe")).write_text("x")
        data, reports = pack(top)
    assert zipfile.ZipFile(io.BytesIO(data)).namelist() == ["fine"]
    assert {(Path(path).name, fatal) for path, _, fatal in reports} == {
        ("socket", False),
        ("\udcff\udcfe", False),
        ("pipe", False),
    }


def test_a_file_that_shrinks_grows_or_vanishes_does_not_break_the_archive(tmp_path: Path) -> None:
    """The size was seen before the content is read."""
    reports: Reports = []
    entries = []
    for name, seen, now in (("grown", 10, 20), ("shrunk", 20, 10), ("large", 2_000_000, 1_000_000), ("gone", 5, None)):
        path = tmp_path / name
        if now is not None:
            path.write_bytes(b"x" * now)
        entries.append(Entry(name, FILE, 0, seen, str(path)))
    buffer = io.BytesIO()
    for _ in Packer(buffer, lambda *report: reports.append(report)).pack(entries):
        pass
    with zipfile.ZipFile(buffer) as archive:
        assert archive.testzip() is None
        assert {info.filename: info.file_size for info in archive.infolist()} == {
            "grown": 10,
            "shrunk": 10,
            "large": 1_000_000,
        }
    assert sorted(Path(path).name for path, _, fatal in reports if not fatal) == ["gone", "grown", "large", "shrunk"]


def test_other_tools_read_what_is_written(tmp_path: Path) -> None:
    """Large and small, stored and deflated, more members than a classic zip can count."""
    top = tmp_path / "top"
    top.mkdir()
    (top / "random").write_bytes(os.urandom(3_000_000))
    (top / "text").write_bytes(b"some text, over and over\n" * 200_000)
    many = top / "many"
    many.mkdir()
    for number in range(66_000):
        os.close(os.open(many / str(number), os.O_CREAT | os.O_WRONLY))
    data, _ = pack(top)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        sizes = {info.filename: (info.file_size, info.compress_size) for info in archive.infolist()}
    assert len(sizes) == 66_003
    assert sizes["random"] == (3_000_000, 3_000_000)
    assert sizes["text"][1] < sizes["text"][0] / 20
    unzip = shutil.which("unzip")
    if unzip:
        (tmp_path / "file.zip").write_bytes(data)
        assert subprocess.run([unzip, "-tqq", tmp_path / "file.zip"], check=False).returncode == 0


def test_exclude_matches_paths_and_names(tmp_path: Path) -> None:
    for name in (".git/config", "project/.git/config", "project/a.pyc", "project/a.py", "artifacts/old/stdout"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    data, _ = pack(tmp_path, exclude=(".git", "*.pyc", "artifacts/old"))
    assert zipfile.ZipFile(io.BytesIO(data)).namelist() == ["artifacts/", "project/", "project/a.py"]


def test_times_survive_another_time_zone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    top, target = tmp_path / "top", tmp_path / "target"
    top.mkdir()
    target.mkdir()
    (top / "fact").write_text("x")
    os.utime(top / "fact", ns=(1767323045678912345, 1767323045678912345))
    data, _ = pack(top)
    monkeypatch.setenv("TZ", "America/Los_Angeles")
    extract(data, target)
    assert (target / "fact").stat().st_mtime_ns == 1767323045678912300
