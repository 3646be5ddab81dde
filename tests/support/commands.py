"""Runs our commands."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

OURS = [sys.executable, "-m", "receptor_runner"]


#: Where the project is.
ROOT = Path(__file__).parents[2]


BIN = Path(sys.executable).parent


CHILDREN = Path(__file__).parent / "children"


def ours(*arguments: str | bytes | Path, **options: Any) -> subprocess.CompletedProcess[bytes]:
    """Runs one of our commands to its end."""
    return subprocess.run(
        [*OURS, *(a if isinstance(a, bytes) else str(a) for a in arguments)],
        capture_output=True,
        timeout=options.pop("timeout", 120),
        check=False,
        **options,
    )
