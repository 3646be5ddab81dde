"""What receptorctl's own command line says to a node, as data: the same calls for the real daemon and the embedded
node.

``python -m tests.support.receptorctl_calls`` records the daemon's answers anew, in ``receptorctl_calls.json``."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

from tests.support.commands import BIN
from tests.support.nodes import CAT, SHELL, Node, daemon_binary, node_directory

RECORDED = Path(__file__).with_name("receptorctl_calls.json")
NAME = "solo"
ITEMS: list[dict[str, Any]] = [
    {"local-only": None},
    CAT,
    SHELL,
    {"work-command": {"worktype": "nope", "command": "/nonexistent/x"}},
]
UNIT = "UNIT"

#: In order; ``UNIT`` is the unit of the last submit that printed one.
CALLS = [
    ["status"],
    ["status", "--json"],
    ["version"],
    ["ping", NAME, "--count", "1"],
    ["ping", "nosuch", "--count", "1"],
    ["traceroute", NAME],
    ["traceroute", "nosuch"],
    ["reload"],
    ["work", "list"],
    ["work", "list", "--quiet"],
    ["work", "submit", "cat", "-l", "hello"],
    ["work", "results", UNIT],
    ["work", "list"],
    ["work", "list", "--quiet"],
    ["work", "list", "--node", NAME],
    ["work", "list", "--unit_id", UNIT],
    ["work", "list", "--unit_id", "nosuch12"],
    ["work", "cancel", UNIT],
    ["work", "release", UNIT],
    ["work", "release", UNIT],
    ["work", "release", "--force", UNIT],
    ["work", "results", UNIT],
    ["work", "cancel", "nosuch12"],
    ["work", "submit", "cat", "-l", "followed", "-f"],
    ["work", "submit", "cat", "-l", "followed", "-f", "--rm"],
    ["work", "submit", "sh", "-n", "-f", "--param", "params='echo hi; exit 3'"],
    ["work", "submit", "sh", "-n", "-f", "--rm", "'exit 3'"],
    ["work", "submit", "sh", "-n", "-f", "--param", "params='echo"],
    ["work", "submit", "nope", "-n", "-f"],
    ["work", "submit", "nosuchtype", "-n"],
    ["work", "submit", "cat", "-n", "--param", "params=-n"],
    ["work", "submit", "cat", "-n", "--ttl", "10s"],
    ["work", "submit", "cat", "-n", "--tls-client", "nosuch", "--node", "other"],
    ["work", "submit", "cat", "-n", "--ttl", "soon", "--node", "other"],
    ["work", "submit", "cat", "-n", "--node", "nosuchnode"],
    ["work", "cancel", UNIT],
    ["work", "list", "--unit_id", UNIT],
    ["work", "release", UNIT],
    ["work", "submit", "sh", "-n", "--param", "params='sleep 100'"],
    ["work", "cancel", UNIT],
    ["work", "list", "--unit_id", UNIT],
    ["work", "release", UNIT],
    ["work", "submit", "sh", "-n", "--param", "params='sleep 100'"],
    ["work", "release", UNIT],
    ["work", "release", "--all"],
    ["work", "list"],
    ["connect", "nosuch", "control"],
    ["connect", NAME, "nosuch"],
]  # fmt: skip


def answers(node: Node) -> list[dict[str, Any]]:
    """Exit status and output of every call, with what differs from run to run made equal."""
    unit = "none"
    found = []
    for call in CALLS:
        words = [unit if word == UNIT else word for word in call]
        done = subprocess.run(
            [str(BIN / "receptorctl"), "--socket", str(node.socket), *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        match = re.search(r"Unit ID: (\S+)", done.stdout)
        unit = match[1] if match else unit
        found.append({"call": call, "code": done.returncode, "out": _same(done.stdout), "err": _same(done.stderr)})
    return found


def _same(text: str) -> str:
    text = re.sub(r"Warning: receptorctl and receptor are different versions.*\n", "", text)
    text = re.sub(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d[.\d]*Z?", "TIME", text)
    text = re.sub(r"(?<!\w)\d+(\.\d+)?(ns|µs|ms|s)\b", "DURATION", text)
    text = re.sub(r'("Version": |Version: |receptor {5})"?[\d.]*(\+\S*)?"?', r"\1VERSION", text)
    text = re.sub(r"/\S*/bash: ", "bash: ", text)
    text = re.sub(r'"Pid": \d+|PID \d+', "PID", text)
    units = dict.fromkeys(
        re.findall(
            r'"(\w{8})": \{|\((\w{8}), (?:released|cancelled|not found)\)|Unit ID: (\w{8})|^(\w{8})$', text, re.M
        )
    )
    names = sorted({name for groups in units for name in groups if name and name not in ("followed",)})
    for name in names:
        text = text.replace(name, UNIT)
    text = re.sub(r"(ERROR: |unknown work unit )(?!nosuch)\w{8}(:|$)", rf"\1{UNIT}\2", text, flags=re.M)
    # a submit that the daemon refuses for its parameters leaves it a unit more
    return re.sub(rf"(\({UNIT}, released\)\n)+", r"\1", text)


def record() -> None:
    with node_directory() as directory:
        node = Node(directory, NAME, ITEMS, [str(daemon_binary())])
        node.start()
        try:
            RECORDED.write_text(json.dumps(answers(node), indent=1, ensure_ascii=False) + "\n")
        finally:
            node.stop()


if __name__ == "__main__":
    record()
