"""Hypothesis strategies: streams, ways to split bytes, trees of files, hostile archives."""

from __future__ import annotations

import contextlib
import io
import os
import stat
import warnings
import zipfile
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)

names = st.text(
    st.characters(
        codec="utf-8", exclude_characters="/\0", categories=("L", "M", "N", "P", "S", "Z", "Cc", "Cf", "Co", "Cn")
    ),
    min_size=1,
    max_size=12,
).filter(lambda name: name not in (".", "..") and len(name.encode()) < 200)

#: Nanoseconds: before 1980, before 1970, now, after 2038, after 2107.
times = st.integers(min_value=-(10**9) * 10**9 // 2, max_value=5 * 10**9 * 10**9)

modes = st.sampled_from([0o600, 0o644, 0o755, 0o700, 0o400, 0o555, 0o640])


@st.composite
def splits(draw: st.DrawFn, data: bytes) -> list[bytes]:
    """``data`` in pieces."""
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=12)))
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]


file_nodes = st.tuples(
    st.just("file"), st.binary(max_size=200) | st.integers(600_000, 600_100).map(lambda size: b"x" * size), modes, times
)
link_nodes = st.tuples(st.just("link"), names | st.sampled_from(["../..", "/etc/passwd", "a/b"]), st.just(0), times)
trees: st.SearchStrategy[Any] = st.recursive(
    st.dictionaries(names, file_nodes | link_nodes, max_size=4),
    lambda inner: st.dictionaries(
        names,
        file_nodes | link_nodes | st.tuples(st.just("dir"), inner, modes.map(lambda m: m | 0o500), times),
        max_size=4,
    ),
    max_leaves=10,
)


def build(tree: dict[str, Any], top: Path) -> None:
    """Makes a drawn tree on disk."""
    for name, (kind, content, mode, mtime) in tree.items():
        path = top / name
        if kind == "file":
            path.write_bytes(content)
            path.chmod(mode)
        elif kind == "link":
            os.symlink(content, path)
        else:
            path.mkdir()
            build(content, path)
            path.chmod(mode)
        os.utime(path, ns=(mtime, mtime), follow_symlinks=False)


def describe(top: Path) -> dict[str, tuple[Any, ...]]:
    """Everything about a tree that an archive keeps; times to 100 ns."""
    found: dict[str, tuple[Any, ...]] = {}
    for directory, below, files in os.walk(top):
        for name in [*below, *files]:
            path = Path(directory, name)
            info = path.lstat()
            content: Any = None
            if stat.S_ISLNK(info.st_mode):
                content = os.readlink(path)
            elif stat.S_ISREG(info.st_mode):
                content = path.read_bytes()
            mode = 0 if stat.S_ISLNK(info.st_mode) else info.st_mode
            found[str(path.relative_to(top))] = (mode, content, info.st_mtime_ns // 100)
    return found


hostile_names = st.one_of(
    names,
    st.sampled_from(
        [
            "..",
            "../x",
            "a/../../x",
            "/etc/x",
            "//x",
            "a//b",
            "./a",
            "a/./b",
            "link/x",
            "link",
            "a/",
            "",
            ".",
            "a\\..\\x",
            "job_events/x",
        ]
    ),
    st.text(st.sampled_from("ab./\\\0é"), max_size=10),
)
hostile_modes = st.one_of(
    st.integers(0, 0xFFFF),
    st.sampled_from([stat.S_IFLNK | 0o777, stat.S_IFREG | 0o6777, stat.S_IFIFO | 0o600, stat.S_IFCHR | 0o600, 0]),
)


@st.composite
def hostile_archives(draw: st.DrawFn, outside: str) -> bytes:
    """A zip that tries to get out."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for _ in range(draw(st.integers(0, 6))):
            info = zipfile.ZipInfo("x")
            info.filename = draw(hostile_names)
            info.external_attr = draw(hostile_modes) << 16
            info.create_system = 3
            body = draw(
                st.one_of(st.binary(max_size=20), st.sampled_from([outside.encode(), b"..", b"../..", b"link"]))
            )
            with warnings.catch_warnings(), contextlib.suppress(ValueError, IndexError, UnicodeError):
                warnings.simplefilter("ignore")  # of duplicate names
                archive.writestr(info, body)
    data = bytearray(buffer.getvalue())
    for _ in range(draw(st.integers(0, 3))):
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    return bytes(data)
