"""Ansible's own options, as ``ansible-playbook`` has them, and what becomes of them.

Rules: a short option means what it means for ``ansible-playbook``. Words go behind the job's other options for
Ansible. What is secret is never a word: it travels as the answer to the question that Ansible asks."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import Any, NamedTuple

import click

from .options import option, sections

__all__ = ["AnsibleOptions", "ansible_option_list"]

_ASKED = "prompt"
#: A comment that keeps an expression apart from the same one in ``env/passwords``: what was typed comes first.
_MARK = "(?#asked)"
_DEFAULT_VAULT = "default"


class AnsibleOptions(NamedTuple):
    """What Ansible is told."""

    check: bool
    diff: bool
    become: bool
    become_user: str | None
    become_method: str | None
    user: str | None
    start_at_task: str | None
    ask_become_pass: bool
    ask_pass: bool
    ask_vault_pass: bool
    vault_password_file: str | None
    vault_id: tuple[str, ...]

    def _words(self) -> Iterator[str]:
        for name, value in self._asdict().items():
            word = f"--{name.replace('_', '-')}"
            if isinstance(value, bool) and value:
                yield word
            elif isinstance(value, str) and name != "vault_password_file":
                yield from (word, value)
        for label, _ in self._vaults():
            yield from ("--vault-id", f"{label}@{_ASKED}")

    def _vaults(self) -> list[tuple[str, str]]:
        """Labels, each with the file that has its password, or ``prompt``."""
        found = [(_DEFAULT_VAULT, self.vault_password_file)] if self.vault_password_file else []
        for text in self.vault_id:
            label, at, source = text.rpartition("@")
            found.append((label if at and label else _DEFAULT_VAULT, source))
        return found

    def passwords(self) -> dict[str, str]:
        """Ansible's questions, as regular expressions, with their answers. Those that nobody knows are asked here.

        :raises click.UsageError: a password cannot be asked, or cannot be given as an answer.
        :raises InputError: a file of a password cannot be read.
        """
        from .questions import ask, vault_password

        answers: dict[str, str] = {}
        if self.ask_pass:
            answers[rf"^SSH password:\s*?${_MARK}"] = ask("SSH password: ", "-k")
        if self.ask_become_pass:
            method = re.escape((self.become_method or "become").upper())
            question = rf"^(?:BECOME|{method}) password(?:\[defaults to SSH password\])?:\s*?${_MARK}"
            suffix = "[defaults to SSH password]" if self.ask_pass else ""
            answers[question] = ask(f"BECOME password{suffix}: ", "-K")
        if self.ask_vault_pass:
            answers[rf"^Vault password:\s*?${_MARK}"] = ask("Vault password: ", "-J")
        for label, source in self._vaults():
            question = f"Vault password ({label}): "
            known = ask(question, "--vault-id") if source == _ASKED else vault_password(source, label)
            answers[rf"^Vault password \({re.escape(label)}\):\s*?${_MARK}"] = known
        return answers

    def check_together(self) -> None:
        """:raises click.UsageError: the options contradict each other."""
        if self.ask_vault_pass and self.vault_password_file:
            raise click.UsageError("give -J or --vault-password-file, not both")
        labels = [label for label, _ in self._vaults()]
        for label in labels:
            if labels.count(label) > 1:
                raise click.UsageError(
                    f"two vault passwords have the label {label}; give each its own: --vault-id LABEL@FILE"
                )

    def apply(self, parameters: dict[str, Any], directory: str) -> None:
        """Adds all of it to the parameters of a job, behind the options that it has anyway.

        :param directory: its private data dir.
        """
        words = shlex.join(self._words())
        if words:
            from ..job.private_data import PrivateDataDir

            before = PrivateDataDir(directory).cmdline(parameters.get("cmdline"))
            parameters["cmdline"] = f"{before} {words}".strip()
        passwords = self.passwords()
        if passwords:
            parameters["passwords"] = passwords


ansible_option_list = sections(
    "Ansible",
    option("-C", "--check", is_flag=True, help="Change nothing; tell what would change."),
    option("-D", "--diff", is_flag=True, help="Show the differences in files."),
    option("--become", is_flag=True, help="Run tasks as another user."),
    option("--become-user", metavar="USER", help="Which user that is. [default: root]"),
    option("--become-method", metavar="METHOD", help="How to become that user. [default: sudo]"),
    option("-u", "--user", metavar="USER", help="Connect as this user."),
    option("--start-at-task", metavar="NAME", help="Begin with the task of this name."),
    option("-K", "--ask-become-pass", is_flag=True, help="Ask for the password of --become on this terminal."),
    option("-k", "--ask-pass", is_flag=True, help="Ask for the password of the connection on this terminal."),
    option(
        "-J",
        "--ask-vault-pass",
        "--ask-vault-password",
        is_flag=True,
        help="Ask for the vault password on this terminal.",
    ),
    option(
        "--vault-password-file",
        "--vault-pass-file",
        metavar="FILE",
        help="A file with the vault password, or a program that prints it.",
    ),
    option(
        "--vault-id", multiple=True, metavar="LABEL@FILE", help="The same with a label, or LABEL@prompt. They add up."
    ),
)
