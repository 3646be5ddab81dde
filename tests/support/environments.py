"""Virtual environments of the test's own."""

from __future__ import annotations

import sys
import venv
from pathlib import Path

from tests.support.commands import ROOT

__all__ = ["bare_environment"]


def bare_environment(directory: Path) -> Path:
    """Makes one that has this package and what it needs, and no ansible-core beside it; returns its Python."""
    venv.create(directory, with_pip=False, symlinks=True)
    (packages,) = directory.glob("lib/python*/site-packages")
    known = [path for path in sys.path if path.endswith("site-packages")]
    (packages / "shared.pth").write_text("\n".join([str(ROOT), *known]) + "\n")
    return directory / "bin" / "python"
