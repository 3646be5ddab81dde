"""Archives that were made to harm whoever extracts them: every bound speaks before memory or time is spent."""

from __future__ import annotations

import io
import os
import stat
import struct
import tempfile
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from receptor_runner.archive.collect import collect
from receptor_runner.archive.pack import ZipPacker
from receptor_runner.archive.unpack import unpack_zip, zip_member
from receptor_runner.errors import ArchiveError, LimitError
from receptor_runner.limits import MAX_DEPTH, MAX_HOLES, StreamLimits
from tests.support.archives import DIRECTORY, FILE, LINK, headers_only, zip_of
from tests.support.permissions import NOBODY, as_nobody


def extract(data: bytes, target: Path, *, artifacts: bool = False, members: int = 1000) -> None:
    for _ in unpack_zip(io.BytesIO(data), str(target), StreamLimits(members=members), artifacts=artifacts):
        pass


def packed(top: Path) -> tuple[bytes, list[str]]:
    """The archive of a directory, and what was told about it."""
    told: list[str] = []
    file = io.BytesIO()
    packer = ZipPacker(file, lambda path, reason, _: told.append(f"{path} {reason}"))
    for _ in packer.pack(collect(str(top), lambda path, reason, _: told.append(f"{path} {reason}"))):
        pass
    return file.getvalue(), told


@pytest.mark.parametrize("comment", [b"", b"PK\5\6" + bytes(40), b"x" * 65_000], ids=["none", "an end mark", "long"])
def test_members_are_counted_and_not_what_the_end_record_counts(comment: bytes, tmp_path: Path) -> None:
    data = headers_only(300_000, told=1, comment=comment)
    tracemalloc.start()
    try:
        with pytest.raises(LimitError, match="more than 1000 members"):
            extract(data, tmp_path)
        with pytest.raises(LimitError, match="more than 1000 members"):
            zip_member(io.BytesIO(data), "rc", 32, StreamLimits(members=1000))
        assert tracemalloc.get_traced_memory()[1] < 4 * 1024 * 1024
    finally:
        tracemalloc.stop()
    assert not list(tmp_path.iterdir())


def test_members_that_share_their_data_are_refused(tmp_path: Path) -> None:
    """316 kB of such members unpack to 292 GiB."""
    data = bytearray(zip_of(("a", FILE, b"x" * 5000), ("b", FILE, b"x" * 5000)))
    second = data.rindex(b"PK\1\2")
    data[second + 42 : second + 46] = bytes(4)
    with pytest.raises(ArchiveError, match="share their data"):
        extract(bytes(data), tmp_path)
    assert not list(tmp_path.iterdir())


def test_an_archive_that_grows_too_much_is_refused_before_it_is_written(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="more than 100 times"):
        extract(headers_only(3, size=0xFFFFFFFE), tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_member_does_not_grow_beyond_what_it_says(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("f", b"0" * 1_000_000)
    data = bytearray(buffer.getvalue())
    header = data.rindex(b"PK\1\2")
    data[header + 24 : header + 28] = struct.pack("<L", 10)
    with pytest.raises(ArchiveError, match="not what its directory says"):
        extract(bytes(data), tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "member",
    [("n" * 300, FILE, b"x"), ("d" * 300 + "/f", FILE, b"x"), ("l", LINK, b"t" * 4096), ("l" * 300, LINK, b"t")],
    ids=["a file's name", "a directory's name", "a link's target", "a link's name"],
)
def test_what_no_file_system_takes_is_the_fault_of_the_archive(member: tuple[str, int, bytes], tmp_path: Path) -> None:
    """It would fail in the same way for ever: it is no full disk that can be emptied."""
    with pytest.raises(ArchiveError):
        extract(zip_of(member), tmp_path)


def test_a_directory_that_its_owner_may_not_write_is_extracted_twice() -> None:
    """As an ordinary user: a follower may extract the same artifacts again after a crash."""
    data = zip_of(
        ("closed/", stat.S_IFDIR | 0o555, b""), ("closed/below/", stat.S_IFDIR | 0o555, b""),
        ("closed/below/f", FILE, b"x"), ("closed/l", LINK, b"below"), ("none/", stat.S_IFDIR, b""), ("none/f", FILE, b""),
    )  # fmt: skip
    with tempfile.TemporaryDirectory(dir="/var/tmp") as top:
        if os.geteuid() == 0:
            os.chown(top, NOBODY, -1)

        def extract_twice() -> None:
            extract(data, Path(top))
            extract(data, Path(top))

        as_nobody(extract_twice)
        assert stat.S_IMODE(os.stat(f"{top}/closed").st_mode) == 0o555
        assert Path(top, "closed", "below", "f").read_text() == "x"


def test_artifacts_bring_no_event_files(tmp_path: Path) -> None:
    """Only ``process`` makes event files: a job could forge one."""
    data = zip_of(("job_events/", DIRECTORY, b""), ("job_events/999-forged.json", FILE, b"{}"), ("rc", FILE, b"0"))
    extract(data, tmp_path, artifacts=True)
    assert [path.name for path in tmp_path.rglob("*")] == ["rc"]


def test_links_in_artifacts_do_not_lead_out_of_them(tmp_path: Path) -> None:
    """Not even by way of each other."""
    (tmp_path / "secret").write_text("secret")
    target = tmp_path / "artifacts"
    target.mkdir()
    data = zip_of(
        ("absolute", LINK, b"/etc/passwd"),
        ("up", LINK, b"../secret"),
        ("fact_cache/host", LINK, b"../../secret"),
        ("d/e/", DIRECTORY, b""),
        ("d/e/top", LINK, b"../.."),
        ("by-way-of", LINK, b"d/e/top/../secret"),
        ("fine", LINK, b"d/e"),
        ("d/e/back", LINK, b"../../rc"),
        ("rc", FILE, b"0"),
    )
    extract(data, target, artifacts=True)
    links = {str(path.relative_to(target)) for path in target.rglob("*") if path.is_symlink()}
    assert links == {"fine", "d/e/back", "d/e/top"}
    assert (target / "d/e/back").read_text() == "0"
    extract(data, tmp_path)
    assert (tmp_path / "absolute").is_symlink(), "a project may have such links"


def test_the_sender_knows_the_bounds_of_the_receiver(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    deep = source
    source.mkdir()
    target.mkdir()
    for _ in range(MAX_DEPTH + 50):
        deep /= "d"
        deep.mkdir()
    (deep / "file").write_text("x")
    (source / "rc").write_text("0")
    data, told = packed(source)
    assert len(told) == 1
    assert f"deeper than {MAX_DEPTH}" in told[0]
    extract(data, target)
    assert (target / "rc").read_text() == "0"


def test_holes_do_not_travel_as_zeros(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    with open(source / "sparse", "wb") as file:
        file.truncate(MAX_HOLES * 2)
        file.write(b"x")
    (source / "rc").write_text("0")
    data, told = packed(source)
    assert zipfile.ZipFile(io.BytesIO(data)).namelist() == ["rc"]
    assert "holes" in told[0]


def test_directories_that_only_names_imply_are_counted(tmp_path: Path) -> None:
    data = zip_of(*((f"{number}/" + "d/" * 150 + "f", FILE, b"") for number in range(10)))
    with pytest.raises(LimitError, match="more directories"):
        extract(data, tmp_path, members=1000)
    assert sum(1 for _ in tmp_path.rglob("*")) <= 1010
