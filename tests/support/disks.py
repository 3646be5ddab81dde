"""A disk that is soon full, for tests of what a job says about it.

Rules: whoever opens it gets an empty file system of his own; it is gone at the end, also of a test that fails."""

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
