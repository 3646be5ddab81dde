"""Mappings as a user types them: ``name=value``, or a file of JSON or YAML.

Rules: what cannot be understood is a usage error that names the option."""

from __future__ import annotations

import ast
import datetime
import json
import shlex
from collections.abc import Iterator
from typing import Any

import click

from ..errors import InputError

__all__ = ["file_text", "load_mapping", "role_vars"]


def role_vars(text: str) -> dict[str, Any]:
    """The variables of a role: values are Python literals where they can be, else texts."""
    values: dict[str, Any] = {}
    for name, value in _pairs(text, "{word!r} is not name=value"):
        try:
            values[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            values[name] = value
    return values


def _pairs(text: str, complaint: str) -> Iterator[tuple[str, str]]:
    lexer = shlex.shlex(text, posix=True, punctuation_chars=False)
    lexer.whitespace_split, lexer.commenters, lexer.escape = True, "", ""  # no escapes: D:\x is a path, as for Ansible
    try:
        words = list(lexer)
    except ValueError as exc:
        raise click.UsageError(f"{text[:80]!r} cannot be split into words: {exc}") from exc
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise click.UsageError(complaint.format(word=word))
        yield name, value


def file_text(path: str) -> str:
    """:raises InputError: the file cannot be read as text."""
    try:
        with open(path, encoding="utf-8-sig") as file:
            return file.read()
    except (OSError, UnicodeDecodeError) as exc:
        raise InputError(f"cannot read the file {path}: {exc}") from exc


def load_mapping(text: str, where: str) -> dict[str, Any]:
    """The mapping in JSON or YAML.

    :param where: what the errors call it.
    :raises click.UsageError: it is none, or cannot travel as JSON.
    """
    import yaml

    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as exc:
        raise click.UsageError(f"{where} is neither JSON nor YAML: {str(exc).splitlines()[0]}") from exc
    if not isinstance(value, dict):
        raise click.UsageError(f"{where} is not a mapping of names to values")
    try:
        plain: dict[str, Any] = json.loads(json.dumps(value, default=_date))
    except TypeError as exc:
        raise click.UsageError(f"{where} cannot travel: {exc}") from exc
    return plain


def _date(value: object) -> str:
    """YAML's dates travel as text."""
    if isinstance(value, (datetime.date, datetime.datetime)):
        return value.isoformat()
    raise TypeError(f"JSON has no {type(value).__name__}")
