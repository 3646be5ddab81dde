"""Makes jobs that are sealed for a node."""

from __future__ import annotations

from pathlib import Path

from receptor_runner.records.trusted_keys import TrustedKeys
from receptor_runner.sealing.node_key import NodeKey
from tests.support.commands import ours


def trusted_key(directory: Path) -> Path:
    """The key of the node ``node``, in ``directory``, which this controller trusts."""
    path = directory / "key"
    TrustedKeys().trust("node", NodeKey(str(path)).make(), None)
    return path


def sealed(directory: Path, *options: str) -> bytes:
    """The stream of a job for that node."""
    done = ours("transmit", directory, *options, "-i", "job", "--seal-for", "node")
    assert done.returncode == 0, done.stderr
    return done.stdout
