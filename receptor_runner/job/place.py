"""A job in place: it works in a private data dir of the machine that it was started on, and nothing travels.

Rules: every path is absolute. Whoever reads one from a stream must trust the stream."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from ..errors import ConfigurationError
from ..stream.messages import JSONObject

__all__ = ["IN_PLACE", "Place"]

#: The worktype of a private node for such jobs.
IN_PLACE = "in-place"


class Place(NamedTuple):
    """``artifact_dir`` has one directory for each ident. ``roles_path`` is joined with ``:``; it and ``project_dir``
    are empty for those of the private data dir."""

    private_data_dir: str
    artifact_dir: str
    project_dir: str = ""
    roles_path: str = ""

    def to_json(self) -> JSONObject:
        return self._asdict()

    @classmethod
    def from_json(cls, data: Mapping[str, Any] | None) -> Place:
        """:raises ConfigurationError: it is none."""
        values = {name: (data or {}).get(name) for name in cls._fields}
        if not all(isinstance(value, str) for value in values.values()) or not values["private_data_dir"]:
            raise ConfigurationError("the job does not say in which directory it is to work")
        return cls(**{name: str(value) for name, value in values.items()})
