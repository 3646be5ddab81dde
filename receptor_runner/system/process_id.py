"""What names a process for ever: its number is another one's one day.

Rules: this module imports nothing, because every runner has it."""

from __future__ import annotations

__all__ = ["start_ticks"]


def start_ticks(pid: int) -> int | None:
    """When a process was started, in clock ticks since the machine was: with its number, this names it for ever
    (proc(5)). None if there is no such process.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return None
