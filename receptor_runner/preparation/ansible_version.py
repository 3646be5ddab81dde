"""Finds out which ansible-core a program belongs to, without asking the program: that takes most of a second.

Rules: only the names in directories are read."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

__all__ = ["core_version"]

_PLACES = ("lib/python3*/site-packages", "lib/python3*/dist-packages", "lib64/python3*/site-packages")
_DISTRIBUTION = re.compile(r"ansible_core-(\d[^-]*)(?:\.dist-info|(?:-py[\d.]+)?\.egg-info)")


def core_version(program: str, path: str) -> str | None:
    """:param program: ``ansible-playbook`` or another, a name or a path.
    :param path: where a name is looked for, as in ``PATH``.
    :returns: None if there is no such program, or nothing installed beside it tells.
    """
    found = shutil.which(program, path=path)
    if found is None:
        return None
    for top in dict.fromkeys((Path(found).parent.parent, Path(os.path.realpath(found)).parent.parent)):
        for place in _PLACES:
            for directory in sorted(top.glob(place)):
                version = _version_in(directory)
                if version is not None:
                    return version
    return None


def _version_in(directory: Path) -> str | None:
    try:
        names = os.listdir(directory)
    except OSError:
        return None
    found = (_DISTRIBUTION.fullmatch(name) for name in names)
    return next((match[1] for match in found if match), None)
