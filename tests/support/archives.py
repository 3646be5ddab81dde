"""Archives as anybody may write them."""

from __future__ import annotations

import io
import stat
import zipfile


def zip_of(*members: tuple[str, int, bytes]) -> bytes:
    """A zip of ``name, mode, content``, names as they are."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, mode, content in members:
            info = zipfile.ZipInfo("x")
            info.filename = name
            info.create_system = 3
            info.external_attr = mode << 16
            archive.writestr(info, content)
    return buffer.getvalue()


LINK, FILE, DIRECTORY = stat.S_IFLNK | 0o777, stat.S_IFREG | 0o644, stat.S_IFDIR | 0o755
