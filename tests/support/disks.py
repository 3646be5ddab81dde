"""Disks that are soon full, and mounts: what jobs do with them.

Rules: whoever opens one has it for himself; it is gone at the end, also of a test that fails."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(directory: Path, size: str) -> Iterator[Path]:
    """A new ``directory`` with room for ``size`` ("64k", see mount(8)); without the right to mount, the test skips."""
    directory.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(directory)]
    if subprocess.run(words, check=False, capture_output=True).returncode:
        pytest.skip("needs to mount a file system of its own")
    try:
        yield directory
    finally:
        subprocess.run(["umount", str(directory)], check=True)


@contextmanager
def bind_mount(source: Path, directory: Path) -> Iterator[None]:
    """``source`` is at ``directory``, too, which may be moved meanwhile; without the right to mount, the test skips."""
    words = ["mount", "--bind", str(source), str(directory)]
    if subprocess.run(words, check=False, capture_output=True).returncode:
        pytest.skip("needs to mount a directory")
    try:
        yield
    finally:
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
        points = [line.split()[4] for line in lines if line.split()[3].endswith(str(source))]
        for point in points:
            # what is no letter is escaped there
            subprocess.run(["umount", point.encode().decode("unicode_escape")], check=True)
