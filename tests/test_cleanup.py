"""Cleanup removes what is old and nobody's, and nothing else."""

from __future__ import annotations

import contextlib
import io
import os
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

import receptor_runner
from receptor_runner.errors import UsageError
from receptor_runner.system.directories import lock
from tests.support.commands import OURS, ours
from tests.support.processes import wait_for


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


def test_cleanup_removes_old_directories(old: Path) -> None:
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


@pytest.mark.parametrize(
    "form",
    [
        "--exclude-strings=awx_1_ awx_3_",
        '--exclude-strings="awx_1_ awx_3_"',
        '--exclude-strings "awx_1_" "awx_3_"',
        "--exclude-strings awx_1_,awx_3_",
        "--exclude-strings=awx_1_ --exclude-strings=awx_3_",
    ],
)
def test_the_text_that_a_controller_puts_into_params(form: str, old: Path) -> None:
    """Three generations of AWX, each with another form; Receptor splits it as a shell does."""
    text = f"cleanup --file-pattern={old}/awx_*_* {form} --grace-period=60 --process-isolation-executable=podman"
    done = ours("worker", *shlex.split(text))
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.splitlines()[-1] == b"(changed: True)"
    assert left(old) == ["awx_1_x", "awx_3_x"]


def test_options_behind_several_values_are_options(old: Path) -> None:
    done = ours("worker", "cleanup", "--remove-images", "a", "b", "--file-pattern", f"{old}/awx_*_*", "--dry-run")
    assert b"Would remove 2 image(s)" in done.stdout
    assert done.stdout.endswith(b"(changed: False)\n")
    assert len(left(old)) == 3


def test_a_refused_pattern_is_one_line() -> None:
    done = ours("worker", "cleanup", "--file-pattern", "/etc/*")
    assert done.returncode == 64
    assert done.stdout == b""
    assert done.stderr.count(b"\n") == 1
    assert b"/etc" in done.stderr


def test_a_part_of_a_minute_of_grace(old: Path) -> None:
    young = old / "awx_1_x"
    os.utime(young, (time.time() - 20,) * 2)
    cleanup(file_pattern=f"{old}/awx_*_*", grace_period=0.5)
    assert left(old) == ["awx_1_x"]
    cleanup(file_pattern=f"{old}/awx_*_*", grace_period=0.25)
    assert left(old) == []


def test_a_dry_run_of_cleanup_only_lists(old: Path) -> None:
    said = cleanup(file_pattern=f"{old}/awx_*_*", dry_run=True)
    assert f"Would remove {old}/awx_1_x" in said
    assert said.endswith("(changed: False)\n")
    assert len(left(old)) == 3


USES = {
    "lock": "",
    "open directory": "import os, sys; fd = os.open(sys.argv.pop(), os.O_RDONLY); input()",
    "argument": "input()",
    "working directory": "import os, sys; os.chdir(sys.argv.pop()); input()",
    "open file": "import sys; file = open(sys.argv.pop() + '/artifacts/file'); input()",
}


@pytest.mark.parametrize("use", USES)
def test_what_a_worker_or_any_process_uses_stays(use: str, old: Path) -> None:
    """Of several uses each alone is enough: ansible-runner's worker holds no lock, and a container only a file."""
    used = old / "awx_2_x"
    with contextlib.ExitStack() as ends:
        if use == "lock":
            ends.callback(os.close, lock(str(used), exclusive=False))
        else:
            words = [sys.executable, "-c", USES[use], f"--private-data-dir={used}" if use == "argument" else str(used)]
            process = subprocess.Popen(words, stdin=subprocess.PIPE)
            ends.callback(process.communicate, b"\n")
            wait_for(lambda: process.poll() is None and psutil.Process(process.pid).cmdline() == words, "it runs")
            wait_for(lambda: not use.startswith("open") or opened(process.pid, used), "it has it open")
            wait_for(lambda: use != "working directory" or os.readlink(f"/proc/{process.pid}/cwd") == str(used), "cwd")
        cleanup(file_pattern=f"{old}/awx_*_*")
        assert left(old) == ["awx_2_x"]
    cleanup(file_pattern=f"{old}/awx_*_*")
    assert left(old) == []


def opened(pid: int, directory: Path) -> bool:
    return any(os.path.realpath(link).startswith(str(directory)) for link in Path(f"/proc/{pid}/fd").iterdir())


def test_a_used_directory_is_recognized_by_any_of_its_names(old: Path, tmp_path: Path) -> None:
    """The pattern leads through a link, and the process names a longer path first."""
    link = tmp_path / "link"
    link.symlink_to(old)
    words = [sys.executable, "-c", "input()", f"{old}/awx_2_xyz", f"{old}/awx_2_x"]
    process = subprocess.Popen(words, stdin=subprocess.PIPE)
    wait_for(lambda: psutil.Process(process.pid).cmdline() == words, "it runs")
    cleanup(file_pattern=f"{link}/awx_*_*")
    process.communicate(b"\n")
    assert [name for name in left(old) if name.startswith("awx")] == ["awx_2_x"]


def test_several_cleanups_at_once_all_come_to_their_end(tmp_path: Path) -> None:
    for number in range(200):
        (tmp_path / f"awx_{number}_x" / "a" / "b").mkdir(parents=True)
    words = [*OURS, "worker", "cleanup", f"--file-pattern={tmp_path}/awx_*_*", "--grace-period=0"]
    several = [subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(4)]
    for one in several:
        output, errors = one.communicate(timeout=60)
        assert (one.returncode, errors) == (0, b"")
        assert output.splitlines()[-1] in (b"(changed: True)", b"(changed: False)")
    assert left(tmp_path) == []


def test_a_directory_that_cannot_be_removed_is_named_and_stops_no_other(old: Path) -> None:
    held = lock(str(old / "awx_1_x"), exclusive=False)
    said = cleanup(file_pattern=f"{old}/awx_*_*")
    os.close(held)
    assert f"Kept {old}/awx_1_x: " in said
    assert left(old) == ["awx_1_x"]


def test_what_an_interrupted_cleanup_left_goes_with_the_next(old: Path) -> None:
    (old / ".receptor-runner-removing-0123456789abcdef" / "file").mkdir(parents=True)
    cleanup(file_pattern=f"{old}/awx_*_*")
    assert left(old) == []


def test_a_wildcard_never_goes_through_a_link(old: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Who may write where a pattern looks could lead it anywhere."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "awx_9_x").mkdir()
    (old / "link").symlink_to(elsewhere)
    cleanup(file_pattern=f"{old}/*/awx_*_*", grace_period=0)
    assert left(elsewhere) == ["awx_9_x"]


def test_credentials_of_ansible_runners_jobs_go_too(old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (old / "awx_1_x" / "artifacts" / "1").mkdir()
    registries = [tmp_path / f"ansible_runner_registry_{ident}_abc" for ident in ("1", "11")]
    for registry in registries:
        registry.mkdir()
    os.utime(old / "awx_1_x", (time.time() - 7200,) * 2)
    cleanup(file_pattern=f"{old}/awx_*_*")
    assert [registry.exists() for registry in registries] == [False, True]


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


def test_cleanup_without_an_engine_is_no_error() -> None:
    assert (
        cleanup(remove_images=["a"], image_prune=True, process_isolation_executable="/nowhere/podman")
        == "(changed: False)\n"
    )


@pytest.mark.parametrize(("content", "stays"), [("own", True), ("999999999", False), ("x", False), ("", False)])
def test_a_directory_whose_pid_file_names_a_living_process_is_in_use(content: str, stays: bool, old: Path) -> None:
    """ansible-runner start leaves one in the private data dir of a job that runs in the background."""
    (old / "awx_2_x" / "pid").write_text(str(os.getpid()) if content == "own" else content)
    os.utime(old / "awx_2_x", (time.time() - 7200,) * 2)
    cleanup(file_pattern=f"{old}/awx_*_*")
    assert left(old) == (["awx_2_x"] if stays else [])
