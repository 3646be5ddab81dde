"""Cleanup removes what is old and nobody's, and nothing else."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import receptor_runner
from receptor_runner.errors import UsageError
from receptor_runner.place import lock


def cleanup(**options: Any) -> str:
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        receptor_runner.cleanup.run_cleanup(options)
    return output.getvalue()


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """Three directories as jobs leave them, two hours old."""
    for number in (1, 2, 3):
        directory = tmp_path / f"awx_{number}_x"
        (directory / "artifacts").mkdir(parents=True)
        (directory / "artifacts" / "file").write_text("x")
        os.utime(directory, (time.time() - 7200,) * 2)
    return tmp_path


def left(top: Path) -> list[str]:
    return sorted(path.name for path in top.iterdir())


def test_old_directories_go(old: Path) -> None:
    (old / "awx_4_new").mkdir()
    (old / "other").mkdir()
    assert (
        cleanup(file_pattern=f"{old}/awx_*_*")
        == f"Removed 3 private data dir(s) in pattern {old}/awx_*_*\n(changed: True)\n"
    )
    assert left(old) == ["awx_4_new", "other"]
    assert cleanup(file_pattern=f"{old}/awx_*_*") == "(changed: False)\n"
    assert cleanup(file_pattern=f"{old}/awx_*_*", grace_period=0) != "(changed: False)\n"
    assert left(old) == ["other"]


@pytest.mark.parametrize(
    "words",
    [
        ["awx_1_", "awx_3_"],
        ["awx_1_ awx_3_"],
        "awx_1_ awx_3_",
        '"awx_1_ awx_3_"',
        "awx_1_,awx_3_",
        ['"awx_1_"', "'awx_3_'"],
    ],
)
def test_every_form_of_excluding_is_understood(words: Any, old: Path) -> None:
    cleanup(file_pattern=f"{old}/awx_*_*", exclude_strings=words)
    assert left(old) == ["awx_1_x", "awx_3_x"]


def test_a_dry_run_only_lists(old: Path) -> None:
    said = cleanup(file_pattern=f"{old}/awx_*_*", dry_run=True)
    assert f"Would remove {old}/awx_1_x" in said
    assert said.endswith("(changed: False)\n")
    assert len(left(old)) == 3


def test_what_a_worker_or_any_process_uses_stays(old: Path) -> None:
    held = lock(str(old / "awx_1_x"), exclusive=False)
    waiting = subprocess.Popen(
        [sys.executable, "-c", "input()", f"--private-data-dir={old}/awx_2_x"], stdin=subprocess.PIPE
    )
    try:
        cleanup(file_pattern=f"{old}/awx_*_*")
        assert left(old) == ["awx_1_x", "awx_2_x"]
    finally:
        os.close(held)
        waiting.communicate(b"\n")
    cleanup(file_pattern=f"{old}/awx_*_*")
    assert left(old) == []


def test_links_are_not_followed(old: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (old / "awx_5_x").symlink_to(precious)
    (old / "awx_1_x" / "link").symlink_to(precious)
    (precious / "file").write_text("x")
    cleanup(file_pattern=f"{old}/awx_*_*", grace_period=0)
    assert (precious / "file").exists()
    assert left(old) == ["awx_5_x", "precious"]


@pytest.mark.parametrize(
    "pattern",
    [
        "/*",
        "/home/*",
        "/etc/*",
        "/root",
        "/lib*",
        "/srv",
        "/var/*",
        "/usr/*",
        "/opt/*",
        "relative/*",
        "/tmp/../etc/*",
        "/tm?",
    ],
)
def test_patterns_that_could_match_a_system_directory_are_refused(pattern: str) -> None:
    with pytest.raises(UsageError, match="pattern"):
        cleanup(file_pattern=pattern, grace_period=10**9)


def test_without_an_engine_images_are_no_error() -> None:
    assert (
        cleanup(remove_images=["a"], image_prune=True, process_isolation_executable="/nowhere/podman")
        == "(changed: False)\n"
    )
