"""Archives as anybody may write them."""

from __future__ import annotations

import io
import stat
import struct
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
            archive.NameToInfo.pop(name, None)  # a second one of the same name
            archive.writestr(info, content)
    return buffer.getvalue()


def headers_only(count: int, *, told: int | None = None, size: int = 0, comment: bytes = b"") -> bytes:
    """A zip with a directory of ``count`` members of ``size`` bytes, and no data.

    :param told: how many the end record says that there are.
    """
    header = struct.Struct("<4s6H3L5H2L")
    data = bytearray(31 * count)
    start = len(data)
    for number in range(count):
        data += header.pack(b"PK\1\2", 788, 20, 0, 0, 0, 33, 0, 0, size, 1, 0, 0, 0, 0, FILE << 16, 31 * number) + b"n"
    told = count if told is None else told
    return (
        bytes(data)
        + struct.pack("<4sHHHHLLH", b"PK\5\6", 0, 0, told, told, len(data) - start, start, len(comment))
        + comment
    )


def overlapping(count: int, size: int) -> bytes:
    """A zip of ``count`` members that have the same ``size`` packed bytes of zeros as their data."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        info = zipfile.ZipInfo("n")
        info.external_attr = FILE << 16
        info.compress_type = zipfile.ZIP_DEFLATED
        archive.writestr(info, bytes(size))
    data = buffer.getvalue()
    start, end = data.index(b"PK\1\2"), data.index(b"PK\5\6")
    return (
        data[:start]
        + data[start:end] * count
        + struct.pack("<4sHHHHLLH", b"PK\5\6", 0, 0, count, count, (end - start) * count, start, 0)
    )


LINK, FILE, DIRECTORY = stat.S_IFLNK | 0o777, stat.S_IFREG | 0o644, stat.S_IFDIR | 0o755
