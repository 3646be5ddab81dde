"""A configuration is understood as the daemon would, or refused with file and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from receptor_runner.errors import ConfigurationError, InputError
from receptor_runner.receptor.configuration import read_items, read_text


def test_items_have_their_fields_and_lines() -> None:
    node, service, alone, bare = read_text(
        "- node: {ID: ctl, dataDir: /d}\n- control-service:\n    service: control\n- log-level: debug\n- local-only\n",
        "f",
    )
    assert (node.name, node.text("id"), node.text("datadir"), node.line) == ("node", "ctl", "/d", 1)
    assert (service.text("service"), service.text("filename", "none"), service.where) == (
        "control",
        "none",
        "f, line 2",
    )
    assert alone.text("level") == "debug", "a single value is the first field"
    assert bare.fields == {}


@pytest.mark.parametrize(("value", "flag"), [("true", True), ("'yes'", False), ("1", True), ("false", False)])
def test_a_flag_is_true_or_false(value: str, flag: bool) -> None:
    text = f"- work-command: {{worktype: w, command: c, allowruntimeparams: {value}}}"
    if "yes" in value:
        with pytest.raises(ConfigurationError, match="must be true or false"):
            read_text(text, "f")
        return
    assert read_text(text, "f")[0].flag("allowruntimeparams") is flag


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("- node: {id: a\n", "f, line 2: not YAML"),
        ("---\n- node: {id: a}\n---\n- node: {id: b}\n", "f, line 4: a second document"),
        ("node: {id: a}\n", "f, line 1: a mapping, as version 2"),
        ("text\n", "f, line 1: not a list"),
        ("- local-only\n- {}\n", "f, line 2: not an item"),
        ("- local-only\n- node: {id: a}\n  datadir: x\n", "line 2: one item has several names"),
        ("- nodes: {id: a}\n", "Receptor has no item 'nodes'"),
        ("- node: {name: a}\n", "Receptor has no field 'name' here"),
        ("- node: [a]\n", "takes fields"),
        ("- trace: yes\n", "takes fields"),
        ("- work-command: {worktype: w}\n", "the field 'command' is missing"),
        ("- tcp-listener: {bindaddr: x}\n", "the field 'port' is missing"),
        ("- local-only\n- node:\n    id: n\n", "f, line 3: 'n' is true or false for YAML"),
    ],
)
def test_what_the_daemon_would_refuse_is_named_with_its_line(text: str, says: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        read_text(text, "f")
    assert says in str(refused.value)


def test_an_empty_file_has_no_items_and_a_missing_one_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("# nothing\n")
    assert read_items([tmp_path / "empty"]) == []
    with pytest.raises(InputError, match="cannot read the configuration"):
        read_items([tmp_path / "missing"])
    (tmp_path / "odd").write_bytes(b"- local-only\n# \xff\n")
    with pytest.raises(ConfigurationError, match="not UTF-8 at byte 15"):
        read_items([tmp_path / "odd"])
