"""A source becomes files, whichever form it has."""

from __future__ import annotations

from pathlib import Path

import pytest

from receptor_runner.job.inventory import as_files, external_files, find_source, is_host_list, merged_files


@pytest.mark.parametrize(
    ("source", "name", "content"),
    [
        ("a,b ,", "hosts", b"a\nb\n"),
        ("[all]\na\n", "hosts", b"[all]\na\n"),
        ({"all": {"hosts": {"a": None}}}, "hosts.json", b'{"all": {"hosts": {"a": null}}}'),
    ],
)
def test_data_and_text_become_a_file(source: str | dict[str, object], name: str, content: bytes) -> None:
    assert as_files(source) == (name, content)


@pytest.mark.parametrize(
    ("source", "answer"), [("a,b", True), ("a,", True), ("hosts", False), ("a x=1,2", False), ("a,\nb", False)]
)
def test_a_host_list_is_told_from_a_file_and_a_text(source: str, answer: bool) -> None:
    assert is_host_list(source) is answer


def test_a_source_is_looked_for_in_the_order_of_the_directories(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for base in (first, second):
        base.mkdir()
        (base / "hosts").write_text(base.name)
    (second / "other").write_text("x")
    assert find_source("hosts", [first, second]) == first / "hosts"
    assert find_source("other", [first, second]) == second / "other"
    for text in ("missing", "a\nb", "x" * 5000, "x" * 300):
        assert find_source(text, [first, second]) is None


def test_the_variables_beside_a_file_travel_with_it(tmp_path: Path) -> None:
    (tmp_path / "hosts").write_text("a\n")
    for directory in ("group_vars", "host_vars", "roles"):
        (tmp_path / directory).mkdir()
        (tmp_path / directory / "all.yml").write_text("x: 1\n")
    names = [entry.name for entry in external_files(tmp_path / "hosts", "inventory/", print)]
    assert names == ["inventory/hosts", "inventory/group_vars", "inventory/group_vars/all.yml",
                     "inventory/host_vars", "inventory/host_vars/all.yml"]  # fmt: skip


def test_several_sources_become_one_directory_in_their_order(tmp_path: Path) -> None:
    for number in "12":
        (tmp_path / number / "group_vars").mkdir(parents=True)
        (tmp_path / number / "hosts").write_text(f"h{number}\n")
        (tmp_path / number / "group_vars" / "all.yml").write_text(f"n: {number}\n")
    entries = list(merged_files(["1/hosts", "x,y", "2/hosts"], [tmp_path], "inventory/", print))
    assert [entry.name for entry in entries] == [
        "inventory/000-hosts",
        "inventory/group_vars",
        "inventory/group_vars/all",
        "inventory/group_vars/all/000-all.yml",
        "inventory/001-hosts",
        "inventory/002-hosts",
        "inventory/group_vars/all/002-all.yml",
    ]
