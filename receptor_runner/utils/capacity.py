"""How large this machine is, by the names of ``ansible_runner.utils.capacity``.

Rules: a control group's limits count when they are smaller than the machine (version 1 and 2, as the kernel's cgroup
documentation has them)."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["get_cpu_count", "get_mem_in_bytes"]

_GROUPS = Path("/sys/fs/cgroup")


def get_cpu_count() -> float:
    """Processors that this process may use; a fraction if a control group says so."""
    count = float(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    limit = _cpu_limit()
    return _whole(min(count, limit) if limit else count)


def get_mem_in_bytes() -> int:
    """Memory that this process may use."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limits = [_number(path) for path in (_own_group() / "memory.max", _GROUPS / "memory" / "memory.limit_in_bytes")]
    return min([memory, *(limit for limit in limits if limit)])


def _whole(count: float) -> float:
    return int(count) if count == int(count) else round(count, 1)


def _cpu_limit() -> float | None:
    try:
        quota, period = (_own_group() / "cpu.max").read_text().split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError):
        pass
    quota_v1 = _number(_GROUPS / "cpu" / "cpu.cfs_quota_us")
    period_v1 = _number(_GROUPS / "cpu" / "cpu.cfs_period_us")
    return quota_v1 / period_v1 if quota_v1 and period_v1 else None


def _own_group() -> Path:
    try:
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            number, _, path = line.split(":", 2)
            if number == "0":
                return _GROUPS / path.lstrip("/")
    except (OSError, ValueError):
        pass
    return _GROUPS


def _number(path: Path) -> int | None:
    try:
        value = int(path.read_text())
    except (OSError, ValueError):
        return None
    return value if value > 0 else None
