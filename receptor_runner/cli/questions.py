"""Passwords that are asked on this terminal, or read from where Ansible would read them.

Rules: a question goes to the terminal itself, so that standard input and output may be pipes. A question that nobody
can answer is a usage error, and never waits."""

from __future__ import annotations

import getpass
import os
import subprocess

import click

from ..errors import InputError
from ..limits import MAX_INPUT_FILE
from ..system.below import read_regular

__all__ = ["ask", "vault_password"]

#: How long a program that knows a vault password may take: it may ask somebody for a key that must be touched.
_PROGRAM_SECONDS = 300
_VAULTED = b"$ANSIBLE_VAULT"


def ask(question: str, option: str) -> str:
    """:raises click.UsageError: there is no terminal."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError as exc:
        raise click.UsageError(
            f"{option} asks on a terminal, and there is none; put the answer into DIR/env/passwords instead"
        ) from exc
    try:
        return getpass.getpass(question)
    except EOFError as exc:
        raise click.UsageError(f"{option} asked, and got no answer") from exc


def vault_password(path: str, label: str) -> str:
    """What the file says, or what it prints if it is a program, as ``ansible-playbook`` finds it.

    :raises InputError: it cannot be read, or the program fails.
    :raises click.UsageError: it is nothing that can be answered to a question.
    """
    path = os.path.abspath(os.path.expanduser(path))
    if os.path.isfile(path) and os.access(path, os.X_OK):
        content = _printed_by(path, label)
    else:
        try:
            content = read_regular(path, MAX_INPUT_FILE)
        except OSError as exc:
            raise InputError(f"cannot read the vault password file {path}: {exc.strerror}") from exc
    try:
        text = content.strip().decode()
    except UnicodeDecodeError as exc:
        raise InputError(f"the vault password file {path} is not UTF-8") from exc
    if not text:
        raise InputError(f"the vault password file {path} is empty")
    if content.startswith(_VAULTED) or "\n" in text:
        raise click.UsageError(
            f"the vault password in {path} has several lines and cannot be given as an answer; put the file below "
            "DIR/project and name it as the node sees it: --cmdline '--vault-password-file NAME'"
        )
    return text


def _printed_by(path: str, label: str) -> bytes:
    """A program whose name ends in ``-client`` is told the label, as Ansible does."""
    stem = os.path.splitext(os.path.basename(path))[0]
    words = [path, "--vault-id", label] if stem.endswith("-client") else [path]
    try:
        done = subprocess.run(words, stdout=subprocess.PIPE, timeout=_PROGRAM_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else f"it took more than {_PROGRAM_SECONDS} s"
        raise InputError(f"cannot ask {path} for the vault password: {reason}") from exc
    if done.returncode:
        raise InputError(f"{path} was asked for the vault password and ended with {done.returncode}")
    return done.stdout
