"""The programs beside the tests work, and find nothing: a minute of fuzzing, and a few blows."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.commands import ROOT

pytestmark = pytest.mark.slow


def program(*words: str, seconds: float) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *words], capture_output=True, text=True, timeout=seconds, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.timeout(400)
def test_some_fuzzing_finds_nothing() -> None:
    assert "0 of 12 targets have a finding" in program("tests.fuzz", "24", "--seed", "12", seconds=380)


@pytest.mark.timeout(300)
def test_a_few_blows_lose_nothing() -> None:
    assert "0 of 7 jobs ended" in program("tests.crashes", "7", "--seed", "12", "--kind", "embedded-1.5", seconds=280)
