"""What somebody may have meant who types what ``ansible-playbook`` takes.

Rules: a guess is added to the error of what was typed, and changes nothing else."""

from __future__ import annotations

from collections.abc import Sequence

import click

__all__ = ["ansible_hint"]

#: Options of ansible-playbook and ansible that have no place of their own here.
_ANSIBLES = (
    "--syntax-check", "--list-hosts", "--list-tasks", "--list-tags", "--step", "--flush-cache", "--force-handlers",
    "--private-key", "--key-file", "-T", "--timeout", "-M", "--module-path", "--connection",
    "--connection-password-file", "--become-password-file", "--ssh-common-args", "--ssh-extra-args",
    "--scp-extra-args", "--sftp-extra-args",
    "-B", "--background", "-P", "--poll", "-o", "--one-line", "--task-timeout",
)  # fmt: skip


def ansible_hint(exc: click.UsageError, args: Sequence[str]) -> str:
    """What somebody may have meant who types what ``ansible-playbook`` takes; empty if that is not known."""
    name = str(getattr(exc, "option_name", "") or "")
    if isinstance(exc, click.NoSuchOption) and name in _ANSIBLES:
        return f"it is one of ansible-playbook's: --cmdline '{name}'"
    if "-b" in args and (name == "-b" or "unexpected extra argument" in exc.message):
        return "-b is the path of a command to run instead of Ansible's; --become is Ansible's -b"
    if "unexpected extra argument" in exc.message:
        return "-p names the playbook, and DIR is the private data dir that it is in"
    return ""
