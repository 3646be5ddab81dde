"""Makes an environment for each old version of ansible-runner that we compare with: ``python -m
tests.support.old_versions DIR``.

One more holds an ansible-core that they all can work with; every worker of the comparison runs that one.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

VERSIONS = ("2.0.4", "2.2.2", "2.3.1")
ANSIBLE = "ansible"


def main() -> None:
    top = Path(sys.argv[1])
    make(top / ANSIBLE, "ansible-core==2.16.*")
    for version in VERSIONS:
        make(top / version, f"ansible-runner=={version}", "setuptools<81")


def make(directory: Path, *requirements: str) -> None:
    """A virtual environment with ``requirements``, unless it is there already."""
    if (directory / "done").exists():
        return
    subprocess.run([sys.executable, "-m", "venv", "--clear", directory], check=True)
    subprocess.run([directory / "bin" / "pip", "install", "-q", *requirements], check=True)
    (directory / "done").touch()


if __name__ == "__main__":
    main()
