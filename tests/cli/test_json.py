"""What ``-o json`` prints is what the reference says."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import pytest

from receptor_runner.cli.schemas import OUTPUTS
from tests.support.commands import ROOT, ours
from tests.support.nodes import running
from tests.support.private_data import DirFactory, tasks

pytestmark = pytest.mark.slow

KINDS: dict[str, Any] = {
    "string": str, "integer": int, "number": (int, float), "boolean": bool, "null": type(None), "array": list, "object": dict,
}  # fmt: skip


@pytest.fixture(scope="module")
def schemas() -> dict[str, dict[str, Any]]:
    made = runpy.run_path(str(ROOT / "docs" / "generate.py"))
    return {name: made["schema_of"](kind) for name, (_, kind, _) in OUTPUTS.items()}


def check(value: Any, schema: dict[str, Any], where: str) -> None:
    """As a validator of JSON Schema would, for the words that ours use."""
    for one in schema.get("anyOf", []):
        try:
            return check(value, one, where)
        except AssertionError:
            continue
    assert "anyOf" not in schema, where
    kinds = schema.get("type", list(KINDS))
    names = [kinds] if isinstance(kinds, str) else kinds
    assert any(isinstance(value, KINDS[name]) for name in names), f"{where}: {value!r} is not {names}"
    assert not isinstance(value, bool) or "boolean" in names, where
    if isinstance(value, dict):
        known, more = schema.get("properties", {}), schema.get("additionalProperties")
        assert set(schema.get("required", [])) <= set(value), where
        for key, content in value.items():
            assert key in known or more is not None, f"{where}: {key} is not in the reference"
            check(content, known.get(key, more), f"{where}.{key}")
    if isinstance(value, list):
        for one in value:
            check(one, schema.get("items", {}), where)
    return None


def test_every_object_is_as_the_reference_says(
    schemas: dict[str, dict[str, Any]], make_dir: DirFactory, tmp_path: Path
) -> None:
    def printed(name: str, *words: str | Path, several: bool = False, code: int = 0) -> None:
        done = ours(*words, "-o", "json")
        assert done.returncode == code, done.stderr
        schema = {"type": "array", "items": schemas[name]} if several else schemas[name]
        check(json.loads(done.stdout), schema, " ".join(map(str, words[:2])))

    with running("embedded-1.4") as mesh:
        at = mesh.arguments()
        directory = make_dir(tasks("debug: {msg: hello}"))
        printed("A job", "run", directory, "-p", "test.yml")
        printed("A job", "submit", directory, "-p", "test.yml", "-i", "j", *at)
        printed("Jobs", "wait", "j", several=True)
        printed("Jobs", "jobs", several=True)
        printed("A job", "status", "j")
        printed("A running job", "inspect", "j")
        printed("A job", "attach", "j", "-q")
        report = ours("report", directory / "artifacts" / "j", "--format", "json")
        check(json.loads(report.stdout), schemas["Report"], "report")
        printed("What may go", "prune", several=True)
        printed("Jobs", "cancel", "j", several=True)
        printed("Jobs", "release", "j", several=True)
        printed("A node", "nodes", mesh.executor.name, "--info", *at)
        printed("Nodes", "nodes", *at, several=True)
        printed("Findings", "doctor", *at)
        printed("Findings", "doctor", "--socket", tmp_path / "none", code=69)
    printed("Configuration", "config", "show")
    check(json.loads(ours("worker", "--worker-info").stdout), schemas["Worker"], "worker")
