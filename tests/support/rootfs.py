"""An execution environment made of what this machine has: a root file system with Python, ansible-core, an ssh agent
and a few programs, as a tar file for ``podman import``.

Rules: nothing of this package is in it. No network, unless another ansible-core is asked for."""

from __future__ import annotations

import importlib.util
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterable
from pathlib import Path

#: Of the programs of any machine, those that a job or a test needs.
_PROGRAMS = (
    "sh", "bash", "cat", "chmod", "cp", "echo", "env", "false", "id", "kill", "ls", "mkdir", "mv", "ps", "rm", "sleep",
    "ssh-add", "ssh-agent", "stat", "stty", "touch", "true", "tty", "uname",
)  # fmt: skip
_LEFT_OUT = {"test", "tests", "idlelib", "lib2to3", "ensurepip", "tkinter", "turtledemo", "site-packages"}
_LEFT_OUT |= {"dist-packages"}
_ANSIBLE = ("ansible", "jinja2", "markupsafe", "yaml", "packaging", "resolvelib", "cryptography", "cffi", "pycparser")
_COMMANDS = {"ansible-playbook": "playbook", "ansible": "adhoc"}
#: Where the C library has no UTF-8 locale of its own.
_LOCALE = "/usr/lib/locale/C.utf8"
#: Where ansible-core is, inside.
PACKAGES = "/opt/ee"


def build(target: Path, packages: Path) -> None:
    """:param packages: a directory with ansible-core and what it needs, as ``pip install --target`` makes it."""
    python = os.path.realpath(sys.executable)
    stdlib = os.path.dirname(os.__file__)
    programs = [path for path in map(shutil.which, _PROGRAMS) if path]
    extensions = [*Path(stdlib).rglob("*.so"), *packages.rglob("*.so")]
    with tarfile.open(target, "w") as tar:
        files = {*programs, *_libraries([*programs, python, *map(str, extensions)])}
        for name, path in {_usual(path): path for path in sorted(files)}.items():
            tar.add(os.path.realpath(path), name)
        tar.add(python, python)
        tar.add(stdlib, stdlib, filter=_needed)
        tar.add(packages, PACKAGES)
        if os.path.isdir(_LOCALE):
            tar.add(_LOCALE, _LOCALE)
        for name, module in _COMMANDS.items():
            _add_file(tar, f"/usr/bin/{name}", f"#!{python}\nfrom ansible.cli.{module} import main\nmain()\n", 0o755)
        _add_file(tar, "/etc/passwd", "root:x:0:0:root:/root:/bin/sh\nrunner:x:1000:0:runner:/home/runner:/bin/sh\n")
        _add_file(tar, "/etc/group", "root:x:0:\n")
        for name, mode in (("/tmp", 0o1777), ("/root", 0o700), ("/home/runner", 0o770), ("/var/tmp", 0o1777)):
            _add(tar, name, tarfile.DIRTYPE, mode)
        for link in ("/bin", "/lib", "/lib64", "/sbin"):
            if os.path.islink(link):
                _add(tar, link, tarfile.SYMTYPE, 0o777, os.readlink(link))


def installed_packages(target: Path) -> None:
    """Copies ansible-core and what it needs from where this interpreter has it."""
    target.mkdir()
    spec = importlib.util.find_spec("ansible")
    assert spec is not None
    assert spec.origin is not None
    site = Path(spec.origin).parent.parent
    for name in _ANSIBLE:
        shutil.copytree(site / name, target / name)
    for path in (*site.glob("_cffi_backend*"), *site.glob("*.libs"), *site.glob("*.dist-info")):
        copy = shutil.copytree if path.is_dir() else shutil.copy2
        copy(path, target / path.name)


def _usual(path: str) -> str:
    """Without the links that a file system begins with: ``/lib`` may be one."""
    head, _, rest = path.lstrip("/").partition("/")
    return f"/{os.readlink('/' + head)}/{rest}" if os.path.islink("/" + head) else path


def _libraries(files: Iterable[str]) -> set[str]:
    """What the dynamic loader needs for ``files``, and the loader (ldd(1))."""
    done = subprocess.run(["ldd", *files], capture_output=True, text=True, check=False)
    return set(re.findall(r"(/\S+) \(0x", done.stdout))


def _needed(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    name = os.path.basename(entry.name)
    return None if name in _LEFT_OUT or name.startswith("config-") else entry


def _add_file(tar: tarfile.TarFile, name: str, text: str, mode: int = 0o644) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(text.encode()), mode
    tar.addfile(entry, io.BytesIO(text.encode()))


def _add(tar: tarfile.TarFile, name: str, kind: bytes, mode: int, link: str = "") -> None:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode, entry.linkname = kind, mode, link
    tar.addfile(entry)
