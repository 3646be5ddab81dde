"""Events of jobs that never ran, of any size."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import Any

_BEGUN = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc)
_TEXT = "Reading package lists... done; 0 upgraded, 3 newly installed, 0 to remove and 7 not upgraded. "


def made_events(hosts: int, tasks: int, *, failing: int = 3, size: int = 400) -> Iterator[dict[str, Any]]:
    """About ``2 * hosts * tasks`` events. Every ``failing``-th task fails on one host, which goes on.

    :param size: how much each result says, in characters.
    """
    counter = 0
    now = 0.0

    def event(name: str, stdout: str = "", **data: Any) -> dict[str, Any]:
        nonlocal counter, now
        counter += 1
        now += 0.01
        created = (_BEGUN + datetime.timedelta(seconds=now)).isoformat()
        lines = stdout.count("\n") + 1 if stdout else 0
        return {
            "counter": counter, "uuid": f"u{counter}", "event": name, "stdout": stdout, "created": created,
            "start_line": 0, "end_line": lines, "event_data": data,
        }  # fmt: skip

    play = {"playbook": "site.yml", "play": "everything", "play_uuid": "p"}
    yield event("playbook_on_start", playbook="site.yml")
    yield event("playbook_on_play_start", "\nPLAY [everything]", **play)
    for task in range(tasks):
        what = {
            **play, "task": f"install part {task}", "task_uuid": f"t{task}", "task_path": f"/runner/site.yml:{task + 3}",
            "task_action": "command", "resolved_action": "ansible.builtin.command",
        }  # fmt: skip
        yield event("playbook_on_task_start", f"\nTASK [install part {task}]", **what)
        for host in range(hosts):
            yield event("runner_on_start", host=f"web{host}.example.org", **what)
        for host in range(hosts):
            name = f"web{host}.example.org"
            text = (_TEXT * (1 + size // len(_TEXT)))[:size] + f" needle{task}x{host}"
            if host == 0 and task % failing == 0:
                result = {"msg": f"part {task} is broken", "failed": True, "rc": 100, "stderr": text}
                yield event("runner_on_failed", f"fatal: [{name}]: FAILED!", host=name, res=result, **what)
            else:
                result = {"changed": host % 2 == 0, "stdout": text, "rc": 0}
                yield event("runner_on_ok", f"ok: [{name}]", host=name, res=result, **what)
    yield event("playbook_on_stats", "\nPLAY RECAP", failures={"web0.example.org": 1}, ok={})
