"""One of each kind of JSON, odd ones among them, and where in a job they may stand."""

from __future__ import annotations

from typing import Any

VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 1.5, float("nan"), float("inf"), 10**400, "", "x", "\0", "\ud800", "a\nb", "a" * 300,
    "a" * 5000, "..", "/", "../..", "~", "-", [], [None], [1], ["x"], ["\0"], [["x"]], [{}], {}, {"a": 1}, {"": ""},
    {"\0": "x"}, {"a\ud800": "\ud800"}, {"x": None}, {"a": {"b": [1]}}, [{"hosts": "all"}],
)  # fmt: skip

#: What a job's settings may have beside what is a parameter, too.
SETTINGS = ("job_timeout", "idle_timeout", "pexpect_timeout", "fact_cache", "fact_cache_type", "suppress_env_files")
