"""A test report in the form of JUnit: a suite for each play, a case for each task of each host.

Rules: the elements and attributes are those that readers agree on (testsuites, testsuite, testcase, failure, error,
skipped). An unreachable host is an error, a failure that is ignored or rescued a case that passed. A case has the same
name in each run, and on each node. What XML 1.0 cannot hold is replaced."""

from __future__ import annotations

import datetime
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable

from ..results.history import FAILED, IGNORED, RESCUED, SKIPPED, UNREACHABLE, HostTask
from ..stream.messages import JSONObject
from .collect import NO_FAULT

__all__ = ["junit_xml"]

_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit_xml(job: str, results: Iterable[HostTask], ended: JSONObject) -> bytes:
    """:param ended: ``state`` and ``explanation`` of the job; a job that failed without a failed host is an error."""
    plays: dict[str, list[HostTask]] = {}
    for one in results:
        plays.setdefault(one.task.play_uuid or one.task.play, []).append(one)
    top = ET.Element("testsuites", name=_clean(job))
    for found in plays.values():
        top.append(_suite(found[0].task.play, found))
    state = str(ended.get("state"))
    failed = any(one.outcome in (FAILED, UNREACHABLE) for found in plays.values() for one in found)
    if state not in NO_FAULT and not failed:
        suite = ET.SubElement(
            top, "testsuite", name="job", tests="1", failures="0", errors="1", skipped="0", time="0.000"
        )
        case = ET.SubElement(suite, "testcase", classname="job", name=_clean(job) or "job", time="0.000")
        text = _clean(str(ended.get("explanation") or state))
        ET.SubElement(case, "error", message=text.partition("\n")[0], type=_clean(state)).text = text
    for name in ("tests", "failures", "errors", "skipped"):
        top.set(name, str(sum(int(suite.get(name, "0")) for suite in top)))
    top.set("time", f"{sum(float(suite.get('time', '0')) for suite in top):.3f}")
    written: bytes = ET.tostring(top, encoding="utf-8")
    return b'<?xml version="1.0" encoding="utf-8"?>\n' + written


def _suite(play: str, results: list[HostTask]) -> ET.Element:
    suite = ET.Element("testsuite", name=_clean(play) or "play", tests=str(len(results)))
    for name, outcome in (("failures", FAILED), ("errors", UNREACHABLE), ("skipped", SKIPPED)):
        suite.set(name, str(sum(one.outcome == outcome for one in results)))
    suite.set("time", f"{sum(one.seconds or 0.0 for one in results):.3f}")
    begun = min((one.started for one in results if one.started is not None), default=None)
    if begun is not None:
        suite.set(
            "timestamp", datetime.datetime.fromtimestamp(begun, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")
        )
    for one in results:
        suite.append(_case(one))
    return suite


def _case(one: HostTask) -> ET.Element:
    file, _, line = one.task.path.rpartition(":")
    case = ET.Element(
        "testcase",
        classname=_clean(one.task.role or file or one.task.play),
        name=_clean(f"[{one.host}] {one.task.name}"),
        time=f"{one.seconds or 0.0:.3f}",
    )
    if file:
        case.set("file", _clean(file))
        case.set("line", _clean(line))
    text = _clean(one.text)
    if one.outcome in (FAILED, UNREACHABLE):
        kind = "failure" if one.outcome == FAILED else "error"
        message = text.splitlines()[0] if text else one.outcome
        ET.SubElement(case, kind, message=message, type=one.outcome).text = text
    elif one.outcome == SKIPPED:
        ET.SubElement(case, "skipped", message=text)
    elif one.outcome in (IGNORED, RESCUED):
        ET.SubElement(case, "system-out").text = f"{one.outcome}: {text}"
    return case


def _clean(text: str) -> str:
    return _NO_XML.sub("\ufffd", text)
