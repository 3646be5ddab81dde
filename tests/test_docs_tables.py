"""The tables of the documentation say what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import receptor_runner
from receptor_runner.mesh.following.unit_end import unfinished
from receptor_runner.receptor.work_unit import CANCELED, FAILED, SUCCEEDED, UnitStatus
from receptor_runner.results.verdict import STATUSES, Evidence, judge

TOP = Path(__file__).parent.parent

#: A work unit for each row of docs/mesh.md whose stream is not whole.
ROWS = {
    "its runner is gone, or the unit itself": (FAILED, "the process that ran the command is gone"),
    "cancelled": (CANCELED, "Canceled"),
    "expired": (FAILED, "Work unit expired on Mon"),
    "refused for its signature or TLS": (FAILED, "could not verify signature"),
    "refused by its node": (FAILED, "Error starting worker: unknown work type"),
    "its command cannot be started": (FAILED, "fork/exec /x: no such file or directory"),
    "succeeded or failed, all its bytes read": (SUCCEEDED, "exit status 0"),
}


def table(page: str, head: str) -> list[list[str]]:
    """The rows of the table that begins with ``head``."""
    text = (TOP / "docs" / page).read_text()
    (body,) = re.findall(rf"^\| {re.escape(head)} \|.*\n\|[-|]+\n((?:\|.*\n)+)", text, re.M)
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in body.splitlines()]


def test_the_verdicts_of_the_mesh_page_are_those_of_the_judge() -> None:
    rows = {unit: verdict for stream, unit, verdict in table("mesh.md", "the stream") if stream == "not whole"}
    assert set(rows) == set(ROWS)
    for unit, verdict in rows.items():
        state, detail = ROWS[unit]
        found = judge(Evidence(fault=unfinished(UnitStatus(state, detail, 0, "w"), 0)))
        name, _, code = verdict.replace("`", "").partition(", ")
        assert found.state == name, unit
        assert not code or found.exit_code == int(code), unit


def test_the_states_of_the_mesh_page_have_their_exit_statuses() -> None:
    rows = {state.strip("`"): code for state, _, code in table("mesh.md", "state")}
    assert (rows["lost"], rows["truncated"], rows["detached"], rows["unreachable"]) == ("74", "76", "75", "75")
    assert rows["pending"] == rows["running"] == ""


def test_every_final_status_has_its_exit_status_on_the_page() -> None:
    rows = {status.strip("`"): code for status, code in table("exit-status.md", "final status")}
    assert set(rows) == {*STATUSES, "none, or the stream is not whole"}
    for status, code in STATUSES.items():
        assert code is None or rows[status] == str(code)


def test_the_tree_of_the_maintainers_page_is_that_of_the_package() -> None:
    page = (TOP / "docs" / "onboarding.md").read_text()
    package = Path(receptor_runner.__file__).parent
    folders = {path.name for path in package.iterdir() if path.is_dir() and not path.name.startswith("__")}
    assert set(re.findall(r"^  (\w+)/ ", page, re.M)) | {"utils"} == folders
    for file in re.findall(r"`([a-z_]+/[a-z_/]+\.py)`", page):
        assert (package / file).is_file(), file


def test_few_files_lie_directly_in_the_package() -> None:
    assert len(list(Path(receptor_runner.__file__).parent.glob("*.py"))) <= 10


@pytest.mark.parametrize(
    "path", sorted(Path(receptor_runner.__file__).parent.glob("*/__init__.py")), ids=lambda path: path.parent.name
)
def test_every_folder_says_what_lives_there_and_what_does_not(path: Path) -> None:
    text = path.read_text()
    assert text.startswith('"""')
    assert re.search(r"\b(not|nothing|only)\b", text, re.I), "and what does not"
