"""Makes private data dirs and playbooks."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.support.commands import BIN

INVENTORY = 'localhost ansible_connection=local ansible_python_interpreter="{{ ansible_playbook_python }}"\n'


class DirFactory:
    """Makes private data dirs."""

    def __init__(self, top: Path) -> None:
        self._top = top

    def __call__(
        self, playbook: str | None = None, *, inventory: str = INVENTORY, name: str = "demo", **files: str
    ) -> Path:
        """``files`` are named by their path, with ``__`` for ``/``: ``env__settings="…"``."""
        directory = self._top / name
        (directory / "project").mkdir(parents=True, exist_ok=True)
        (directory / "inventory").mkdir(exist_ok=True)
        (directory / "inventory" / "hosts").write_text(inventory)
        if playbook is not None:
            (directory / "project" / "test.yml").write_text(playbook)
        for path, content in files.items():
            target = directory / path.replace("__", "/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(content)
        return directory


def tasks(*lines: str, hosts: str = "all", facts: bool = False) -> str:
    """A playbook of one play; each line is one task in YAML's flow style or several lines of block style."""
    head = f"- hosts: {hosts}\n  gather_facts: {str(facts).lower()}\n  tasks:\n"
    return head + "".join("    - " + line.replace("\n", "\n      ") + "\n" for line in lines)


def local(*names: str) -> str:
    """Lines of an inventory: hosts that are this machine."""
    return "".join(INVENTORY.replace("localhost", name, 1) for name in names)


def encrypt(file: Path, password: Path) -> None:
    """Has ``file`` encrypted by ansible-vault with what is in the file ``password``."""
    vault = [str(BIN / "ansible-vault"), "encrypt", "--vault-password-file", str(password), str(file)]
    subprocess.run(vault, check=True, capture_output=True)
