"""How large this machine is, by the names of ``ansible_runner.utils.capacity``.

Rules: the limits of a control group, and of the groups above it, count if they are smaller than the machine (versions
1 and 2, as the kernel's cgroup documentation has them)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

__all__ = ["get_cpu_count", "get_mem_in_bytes"]

_TOP = Path("/sys/fs/cgroup")
_MEMBERSHIP = Path("/proc/self/cgroup")


def get_cpu_count() -> float:
    """Processors that this process may use; a fraction if a control group says so."""
    count = float(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    count = min([count, *_cpu_limits()])
    return int(count) if count == int(count) else round(count, 1)


def get_mem_in_bytes() -> int:
    """Memory that this process may use."""
    return min([os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), *_memory_limits()])


def _cpu_limits() -> Iterator[float]:
    for group in _groups(""):
        words = _words(group / "cpu.max")
        if len(words) == 2 and words[0].isdigit() and words[1].isdigit():
            yield int(words[0]) / int(words[1])
    for group in _groups("cpu"):
        quota, period = (_words(group / f"cpu.cfs_{name}_us") for name in ("quota", "period"))
        if quota and period and quota[0].isdigit() and period[0].isdigit():
            yield int(quota[0]) / int(period[0])


def _memory_limits() -> Iterator[int]:
    for controller, name in (("", "memory.max"), ("memory", "memory.limit_in_bytes")):
        for group in _groups(controller):
            words = _words(group / name)
            if words and words[0].isdigit():
                yield int(words[0])


def _groups(controller: str) -> Iterator[Path]:
    """The directory of our group and those above it. ``controller`` is empty for version 2.

    Inside of a container the path may name groups outside of it: what is not there tells nothing.
    """
    for line in _lines(_MEMBERSHIP):
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controller in controllers.split(","):
            top = _TOP / controller
            group = top / path.strip("/")
            yield from (place for place in (group, *group.parents) if place == top or top in place.parents)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []


def _words(path: Path) -> list[str]:
    return " ".join(_lines(path)[:1]).split()
