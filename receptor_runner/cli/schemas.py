"""What the commands print as JSON: a type for each object, and which command prints it.

Rules: keys are stable. The reference is made from here (``docs/generate.py``), and a test compares what is printed."""

from __future__ import annotations

from typing import Any, TypedDict

from ..reports.data import ReportView
from .inspect import InsightView
from .views import JobView

__all__ = ["OUTPUTS", "ConfigurationView", "DoctorView", "FindingView", "NodeView", "PrunableView", "WorkerInfo"]


class JobError(TypedDict):
    """A job of which the command could not do what it was asked."""

    id: str
    error: str


class WorktypeView(TypedDict):
    """A worktype that a node offers."""

    signed: bool


class StoreUse(TypedDict, total=False):
    """The store of a node."""

    directory: str
    used_in_bytes: int
    limit_in_bytes: int
    keeps_directories: bool


class WorkerInfo(TypedDict, total=False):
    """What a node tells about itself. A worker of ansible-runner tells the first five and ``errors``."""

    runner_version: str
    cpu_count: float
    mem_in_bytes: int
    uuid: str
    errors: list[str]
    version: str
    python_version: str
    ansible_core_version: str | None
    container_engines: list[str]
    stream_extensions: list[str]
    archive_formats: list[str]
    store: StoreUse | None
    seal_key: str | None
    seals_in_memory: bool | None
    disk_free_in_bytes: int
    time: float


class _NodeView(TypedDict):
    node: str
    reachable: bool
    worktypes: dict[str, WorktypeView] | None
    needs_tls: bool
    seen: str | None
    here: bool


class NodeView(_NodeView, total=False):
    """One node. ``worktypes`` is null if the node has not told them. ``here`` is true for the node of the socket.
    ``info`` is there with ``--info``.
    """

    info: WorkerInfo


class PrunableView(TypedDict):
    """One thing that a finished job left. ``kind`` is ``record``, ``unit`` or ``node``."""

    kind: str
    name: str
    why: str
    deleted: bool


class FindingView(TypedDict):
    """What one check found. ``level`` is ``ok``, ``warning`` or ``fault``; ``check`` is a place on the page doctor."""

    group: str
    check: str
    level: str
    text: str
    advice: str | None
    exit_code: int


class DoctorView(TypedDict):
    """All findings. ``exit_code`` is that of the first fault."""

    ok: bool
    exit_code: int
    findings: list[FindingView]


class ValueView(TypedDict):
    """A value, and where it is from: a variable, a file, or built in."""

    value: Any
    source: str


class ConfigurationView(TypedDict):
    """Every value that can be configured, and the meshes. ``file`` is where the user's configuration is looked for."""

    file: str
    defaults: dict[str, ValueView]
    meshes: dict[str, dict[str, ValueView]]


#: By the name of the object: the commands that print it, its type, and whether they print a list of it.
OUTPUTS: dict[str, tuple[tuple[str, ...], Any, bool]] = {
    "A job": (("run", "submit", "attach", "status"), JobView, False),
    "Jobs": (("jobs",), JobView, True),
    "Jobs, or why not": (("wait", "cancel", "release"), JobView | JobError, True),
    "A node": (("nodes NODE",), NodeView, False),
    "Nodes": (("nodes",), NodeView, True),
    "What may go": (("prune",), PrunableView, True),
    "Findings": (("doctor",), DoctorView, False),
    "Configuration": (("config show",), ConfigurationView, False),
    "A running job": (("inspect",), InsightView, False),
    "Report": (("report --format json",), ReportView, False),
    "Worker": (("worker --worker-info",), WorkerInfo, False),
}
