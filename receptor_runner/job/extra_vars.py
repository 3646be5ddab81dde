"""Extra variables as ``-e`` takes them: ``name=value``, JSON, YAML, or ``@FILE``.

Rules: Ansible parses them, and nobody else. What means the same as the content of a file becomes one, because a
process list shows arguments. That is JSON and YAML, and pairs of a plain name and a plain value. Files that travel are
in a directory of the private data dir, and a worker of ours gives their whole path, wherever the command runs."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from ..archive.entry import Entry
from ..errors import InputError
from ..limits import MAX_INPUT_FILE
from ..system.below import read_regular

__all__ = ["content_of", "found_word", "travelling"]

_DIRECTORY = "extra-vars"
#: No quote, escape, template or anything else that a parser could take for more than itself.
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=[A-Za-z0-9_.:/@%+,-]+(?: [A-Za-z_][A-Za-z0-9_]*=[A-Za-z0-9_.:/@%+,-]+)*")


def content_of(text: str) -> bytes | None:
    """What a file would hold that means the same as ``-e text``; None if there is none."""
    if text[:1] in ("{", "["):
        return text.encode("utf-8", "surrogateescape")
    if _PLAIN.fullmatch(text):
        return json.dumps(dict(pair.split("=", 1) for pair in text.split(" "))).encode()
    return None


def travelling(texts: Sequence[str], below: str) -> tuple[list[str], list[Entry]]:
    """The words for a command line, and the members of an archive that they name.

    :param below: the private data dir as the command sees it, with its ``/``; empty where it runs there.
    :raises InputError: a file cannot be read.
    """
    words: list[str] = []
    entries: list[Entry] = []
    for number, text in enumerate(texts):
        content = _file_content(text[1:]) if text.startswith("@") else content_of(text)
        if content is None:
            words += ["-e", text]
            continue
        # Ansible tells files by their content, and vaulted ones, too
        name = f"{_DIRECTORY}/{number:03d}"
        entries.append(Entry.of_bytes(name, content))
        words += ["-e", f"@{below}{name}"]
    return words, entries


def _file_content(path: str) -> bytes:
    try:
        return read_regular(Path(os.path.expanduser(path)), MAX_INPUT_FILE)
    except OSError as exc:
        raise InputError(f"cannot read the file {path}: {exc.strerror}") from exc


def found_word(word: str, private_data_dir: Path, inside: Callable[[Path], str]) -> str:
    """A word of the command line with the whole path, if it names a file of variables that has travelled.

    :param inside: what the job calls a path of this machine.
    """
    name = word.removeprefix("@").removeprefix("../")
    path = private_data_dir / name
    if not word.startswith("@") or os.path.dirname(name) != _DIRECTORY or not os.path.isfile(path):
        return word
    return f"@{inside(path)}"
