"""What is to be run: the outcome of the preparation, and the guard's order.

Rules: plain data that travels as JSON. Loads next to nothing, because each guard has it. A field that is unknown or
missing is no error: a stage of the version before may have written it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, TypedDict

from ..isolation.isolated import Isolated
from .masking import Masker

__all__ = ["MaskedCommand", "RunSpec"]


class MaskedCommand(TypedDict):
    """What may be sent and stored about a command: no secret is in it."""

    command: list[str]
    env: dict[str, str]
    cwd: str


@dataclass
class RunSpec:
    """Everything that the guard needs to run a job. Times are seconds, None for no limit."""

    ident: str
    argv: list[str]
    env: dict[str, str]
    cwd: str
    artifact_dir: str
    isolated: Isolated | None = None
    #: Pairs of a regular expression and the answer to what matches it, in the user's order.
    prompts: list[tuple[str, str]] = field(default_factory=list)
    job_timeout: float | None = None
    idle_timeout: float | None = None
    #: Whether ``stdout`` and ``stderr`` are kept as artifacts.
    output_files: bool = True
    ssh_key: str | None = None
    ssh_key_path: str | None = None
    event_key: str = ""
    event_key_path: str = ""
    #: The directory of the fact cache, empty if the job has none of its own; and the version of ansible-core, if it is
    #: known.
    fact_cache: str = ""
    core: str | None = None
    #: Files and directories that were made for this job beside the user's, and go when it is over.
    made: list[str] = field(default_factory=list)
    #: What the submitter should know about how the job was understood.
    warnings: list[str] = field(default_factory=list)
    #: Whether a command that succeeds must have told events.
    tells_events: bool = False

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> RunSpec:
        known = {one.name for one in fields(cls)}
        spec = cls(**{name: value for name, value in data.items() if name in known})
        isolated = data.get("isolated")
        spec.isolated = Isolated.from_json(isolated) if isolated is not None else None
        spec.prompts = [(pattern, answer) for pattern, answer in spec.prompts]
        return spec

    def masked(self) -> MaskedCommand:
        masker = Masker([answer for _, answer in self.prompts] + ([self.ssh_key] if self.ssh_key else []))
        return {"command": masker.argv(self.argv), "env": masker.env(self.env), "cwd": self.cwd}
